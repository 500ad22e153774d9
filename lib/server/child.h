/* SPDX-License-Identifier: MIT */
/*
 * A child process that serves one connection, as seen by its parent.
 */
#ifndef HANDOFF_SERVER_CHILD_H
#define HANDOFF_SERVER_CHILD_H

#include "server/internal.h"

#include <sys/types.h>

struct handoff__child {
	struct handoff__member *member;
	struct handoff__member *other; /* its pair, served by the same child, or
					* NULL */
	pid_t pid;
	struct handoff__watch watch; /* of its pidfd */
	TAILQ_ENTRY(handoff__child) node;
};

/* Signals from the parent; the child blocks them and reads a signalfd. */
#define HANDOFF__CHILD_RETURN SIGTERM /* give the connection back */
#define HANDOFF__CHILD_LOOK   SIGUSR1 /* there is work to do */
#define HANDOFF__CHILD_REOPEN SIGHUP  /* reopen the log: opts.reopen */

/* The exit status: 64 + outcome of the last turn (+ kind of end if it ended);
 * 64 more if it is that of the pair. The other one of the two waits. */
#define HANDOFF__CHILD_STATUS 64
#define HANDOFF__CHILD_OTHER  64

/* Forks a child for `events` of the connection. Negative errno on failure. */
int handoff__child_start(struct handoff__child *child, uint32_t events);

/* Waits for the end of a child that was killed. */
void handoff__child_reap(struct handoff_server *server, pid_t pid);

/* A child has died, and with it what it was doing in the commons. */
void handoff__child_died(struct handoff_server *server, pid_t pid);

#endif
