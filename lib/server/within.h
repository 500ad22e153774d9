/* SPDX-License-Identifier: MIT */
/*
 * Who calls: the program in the thread of the handle, or a handler of its
 * service, in that thread, in another one, or in a child process? A handler may
 * only say lines (say.c); everything else works on what the loop's thread owns.
 */
#ifndef HANDOFF_SERVER_WITHIN_H
#define HANDOFF_SERVER_WITHIN_H

#include <stdbool.h>

struct handoff_server;

/* In a thread that the library has started: whatever it runs is a handler. */
void handoff__within_thread(void);

/* Is this called by a handler? Model loop marks its turns in `handling`, a
 * child has `forked` set. */
bool handoff__within(const struct handoff_server *server);

/* Is it one that runs in the thread of the loop? */
bool handoff__within_loop(const struct handoff_server *server);

/* May a public call go on? -EINVAL without a handle, -EDEADLK in a handler. */
int handoff__server_check(const struct handoff_server *server);

#endif
