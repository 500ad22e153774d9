/* SPDX-License-Identifier: MIT */
/* The process between handoffctl and a program that it starts: ends the program
 * if handoffctl is killed, and ends itself once that is no longer wanted. */
#ifndef HANDOFFCTL_STARTER_H
#define HANDOFFCTL_STARTER_H

#include <sys/types.h>

/* To the starter, a byte each. The end of the socket is STARTER_END. */
enum starter_order {
	STARTER_RELEASE = 'r', /* the program goes on, the starter ends */
	STARTER_END = 'e',     /* the program is to end, at last by SIGKILL */
};

/* From the starter, once: */
struct starter_word {
	int errnum; /* of the start, or 0 */
	int status; /* of wait(2): the program has ended */
};

#define STARTER_GRACE_MS 5000 /* from SIGTERM to SIGKILL */

/* Forks the starter, which starts `argv` in a session of its own, with an empty
 * standard input and `out` (-1: what handoffctl has) as output. Returns its
 * process ID, and its socket in `*line`; or a negative errno. */
pid_t starter_fork(char *const argv[], int out, int *line);

/* Whether the process is the starter's child, or a child's child and so on. A
 * process whose parent has ended becomes the starter's child (PR_SET_CHILD_
 * SUBREAPER). */
int starter_has(pid_t starter, pid_t pid);

#endif
