/* SPDX-License-Identifier: MIT */
/*
 * The kernel's view of how far a socket's stream has been read and written:
 * authoritative when the process that did so died before recording it.
 */
#ifndef HANDOFF_BASE_PROGRESS_H
#define HANDOFF_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct handoff__progress {
	uint64_t read;    /* bytes that the process has received */
	uint64_t written; /* bytes that the process has sent, acked or not */
	bool ended;       /* it has sent the end, after these */
};

/* For an accepted (not a connected) TCP socket. -ENOTCONN if both sides have
 * closed or the connection was reset; -EOPNOTSUPP for other sockets, which have
 * no such counters, and for kernels without them; -EAGAIN if the counters kept
 * changing. */
int handoff__progress(int fd, struct handoff__progress *progress);

/* Returns 0 if the kernel has all the counters that handoff__progress needs for
 * this TCP socket, connected or not, or a negative errno. */
int handoff__progress_known(int fd);

#endif
