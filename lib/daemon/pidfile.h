/* SPDX-License-Identifier: MIT */
/* A file that says which process runs, locked for as long as it does. */
#ifndef HANDOFF_DAEMON_PIDFILE_H
#define HANDOFF_DAEMON_PIDFILE_H

#include "base/text.h"

#include <sys/types.h>

struct handoff__pidfile {
	char *path; /* absolute, the caller's */
	int fd;     /* -1: not taken */
	pid_t pid;  /* that took it */
};

/* Locks the file and writes this process' number into it; what a dead process
 * left is taken over. -EALREADY with the number of the process that holds it,
 * after a second: one that is ending may be about to let go. */
int handoff__pidfile_take(
	struct handoff__pidfile *file, struct handoff__error *error);

/* Removes the file if this process took it; a forked child only forgets it. */
void handoff__pidfile_leave(struct handoff__pidfile *file);

#endif
