/* SPDX-License-Identifier: MIT */
/*
 * Determines the caller: the program in the handle's thread, or a handler of
 * its service, in that thread, another thread or a child process. A handler may
 * only write lines (say.c); everything else works on data of the loop's thread.
 * Part of internal.h, and inline: each iteration of a loop checks.
 */
#ifndef HANDOFF_SERVER_WITHIN_H
#define HANDOFF_SERVER_WITHIN_H

#include <errno.h>

/* Set in the library's own threads, where every caller is a handler. The TLS
 * model makes each access one instruction, also in the shared library. */
extern _Thread_local bool handoff__is_library_thread
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

/* Whether a handler is calling. Model loop marks its turns in `handling`; in a
 * child it is always set. */
static inline bool
handoff__within(const struct handoff_server *server)
{
	return handoff__is_library_thread || server->handling;
}

/* Whether that handler runs in the loop's thread. */
static inline bool
handoff__within_loop(const struct handoff_server *server)
{
	return !handoff__is_library_thread && !server->forked &&
	       server->handling;
}

/* Checks a public call: -EINVAL without a handle, -EDEADLK in a handler. */
static inline int
handoff__server_check(const struct handoff_server *server)
{
	if (!server)
		return -EINVAL;
	return handoff__within(server) ? -EDEADLK : 0;
}

#endif
