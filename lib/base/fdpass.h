/* SPDX-License-Identifier: MIT */
/*
 * What the library needs beyond <handoff/fdpass.h>: frames whose descriptors
 * were lost, and text over a SOCK_STREAM Unix socket that may carry one
 * descriptor with each piece.
 */
#ifndef HANDOFF_BASE_FDPASS_H
#define HANDOFF_BASE_FDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Like handoff_fdpass_recv, except that a frame whose descriptors did not fit
 * into the descriptor table is still delivered: returns 1 with `*lost` set and
 * no descriptors. */
int handoff__fdpass_recv_frame(int sock, int *fds, size_t *nfds, void *payload,
	size_t *len, bool *lost);

/* Like send(2), with `fd` (-1: none) attached to the first byte. Returns the
 * number of bytes sent, or a negative errno; never blocks. */
ssize_t handoff__fdpass_send_text(
	int sock, const void *data, size_t len, int fd);

/* Like recv(2); `*fd` is the descriptor that came with the bytes, now the
 * caller's, or -1. Returns the number of bytes, 0 at the end of the stream, or
 * a negative errno: -EAGAIN if nothing is there; -EMFILE if a descriptor did
 * not fit into the table, -EBADMSG if more than one came. After these two the
 * bytes are discarded and the descriptors closed. */
ssize_t handoff__fdpass_recv_text(int sock, void *data, size_t size, int *fd);

/* Closes received descriptors that are not wanted. */
void handoff__fdpass_close(const int *fds, size_t nfds);

#endif
