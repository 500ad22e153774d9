/* SPDX-License-Identifier: MIT */
/*
 * The process at the other end of a Unix socket, held by a pidfd: a number that
 * the kernel gives for it may be 0 (another pid namespace) or another process's
 * by now, and is only for people.
 */
#ifndef HANDOFF_BASE_PROCESS_H
#define HANDOFF_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A pidfd of this process, to be passed on; -1 without a descriptor for it. */
int handoff__process_self(void);

/* A pidfd of the process that `sock` (a connected Unix socket) ends in.
 * `passed` (or -1) is what that sent as a pidfd of its own; it is taken over.
 * `*pid` is its number here, or 0 if it has none. Errors: -EPERM with `why`
 * where the two are not the same process, -EOPNOTSUPP where it can't be
 * watched, -ESRCH it is gone. */
int handoff__process_of(
	int sock, int passed, pid_t *pid, char *why, size_t size);

/* May this process kill it? 0, or -EPERM, or -EINVAL for one in a pid
 * namespace that is no child of ours (pidfd_send_signal(2)). */
int handoff__process_may_kill(int pidfd);

#endif
