/* SPDX-License-Identifier: MIT */
/*
 * Who calls: the program in the thread of the handle, or a handler of its
 * service, in that thread, in another one, or in a child process? A handler may
 * only say lines (say.c); everything else works on what the loop's thread owns.
 * Part of internal.h, and inline: each iteration of a loop asks.
 */
#ifndef HANDOFF_SERVER_WITHIN_H
#define HANDOFF_SERVER_WITHIN_H

#include <errno.h>

/* A thread of the library's own: whatever it runs is a handler. The model keeps
 * each look at it to one instruction, also in the shared library. */
extern _Thread_local bool handoff__is_servant
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

/* Is this called by a handler? Model loop marks its turns in `handling`, and in
 * a child it is set for good. */
static inline bool
handoff__within(const struct handoff_server *server)
{
	return handoff__is_servant || server->handling;
}

/* Is it one that runs in the thread of the loop? */
static inline bool
handoff__within_loop(const struct handoff_server *server)
{
	return !handoff__is_servant && !server->forked && server->handling;
}

/* May a public call go on? -EINVAL without a handle, -EDEADLK in a handler. */
static inline int
handoff__server_check(const struct handoff_server *server)
{
	if (!server)
		return -EINVAL;
	return handoff__within(server) ? -EDEADLK : 0;
}

#endif
