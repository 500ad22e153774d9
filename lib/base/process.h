/* SPDX-License-Identifier: MIT */
/*
 * Identifies the process at the other end of a Unix socket and holds it by a
 * pidfd. Its process ID may be 0 (another PID namespace) or may have been
 * reused, and is only shown to people.
 */
#ifndef HANDOFF_BASE_PROCESS_H
#define HANDOFF_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A pidfd of this process, to be sent to a peer; -1 if no descriptor is
 * free. */
int handoff__process_self(void);

/* Returns a pidfd of the process at the other end of `sock`, a connected Unix
 * socket. `passed` (or -1) is the pidfd which that process sent of itself;
 * ownership passes to this call. `*pid` is its process ID here, or 0 if it has
 * none. Errors: -EPERM if the two are different processes, -EOPNOTSUPP if the
 * process cannot be watched, -ESRCH if it is gone; `why` has the reason. */
int handoff__process_of(
	int sock, int passed, pid_t *pid, char *why, size_t size);

/* Returns 0 if this process may kill it, -EPERM, or -EINVAL for a process in a
 * PID namespace that is not a descendant of ours (pidfd_send_signal(2)). */
int handoff__process_may_kill(int pidfd);

#endif
