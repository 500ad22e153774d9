/* SPDX-License-Identifier: MIT */
/*
 * A child process that serves one connection, seen from its parent.
 */
#ifndef HANDOFF_SERVER_CHILD_H
#define HANDOFF_SERVER_CHILD_H

#include "server/internal.h"

#include <sys/types.h>

struct handoff__child {
	struct handoff__member *member;
	pid_t pid;
	struct handoff__watch watch; /* of its pidfd */
	TAILQ_ENTRY(handoff__child) node;
};

/* What a child is told, by signal; it blocks them and looks. */
#define HANDOFF__CHILD_RETURN SIGTERM /* give the connection back */
#define HANDOFF__CHILD_LOOK   SIGUSR1 /* there is something to do */
#define HANDOFF__CHILD_REOPEN SIGHUP  /* open the log anew: opts.reopen */

/* Its exit status: this and the turn that it ended with, and, if that is the
 * end of the connection, the kind of it. */
#define HANDOFF__CHILD_STATUS 64

/* Forks a child for `events` of the connection. Negative errno. */
int handoff__child_start(struct handoff__child *child, uint32_t events);

/* Waits for the end of a child that was killed. */
void handoff__child_reap(pid_t pid);

#endif
