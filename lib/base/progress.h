/* SPDX-License-Identifier: MIT */
/*
 * How far the stream of a socket has come, as the kernel knows it: what is
 * true when the process that read and wrote it died before noting it.
 */
#ifndef HANDOFF_BASE_PROGRESS_H
#define HANDOFF_BASE_PROGRESS_H

#include <stdint.h>

struct handoff__progress {
	uint64_t read;    /* bytes that have been received by the process */
	uint64_t written; /* bytes that have been sent by it, acked or not */
};

/* For a TCP socket that was accepted, not connected. -ENOTCONN if both sides
 * have ended or the connection was reset; -EOPNOTSUPP for other sockets, which
 * have no such counters, and for all where the kernel has none; -EAGAIN if
 * they never stood still. */
int handoff__progress(int fd, struct handoff__progress *progress);

/* Has this TCP socket, connected or not, all that progress takes? 0, or a
 * negative errno. */
int handoff__progress_known(int fd);

#endif
