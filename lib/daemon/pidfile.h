/* SPDX-License-Identifier: MIT */
/* A file that holds the process ID of a daemon, locked for as long as it
 * runs. */
#ifndef HANDOFF_DAEMON_PIDFILE_H
#define HANDOFF_DAEMON_PIDFILE_H

#include "base/text.h"

#include <sys/types.h>

struct handoff__pidfile {
	char *path; /* absolute; owned by the caller */
	int fd;     /* -1: not taken */
	pid_t pid;  /* of the process that took it */
};

/* Locks the file and writes this process' ID into it; a file left by a dead
 * process is taken over. -EALREADY with the holder's process ID, after waiting
 * a second for a process that is ending. */
int handoff__pidfile_take(
	struct handoff__pidfile *file, struct handoff__error *error);

/* Removes the file if this process took it; a forked child only forgets it. */
void handoff__pidfile_leave(struct handoff__pidfile *file);

#endif
