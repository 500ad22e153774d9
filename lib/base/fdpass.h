/* SPDX-License-Identifier: MIT */
/*
 * What the library itself needs beside <handoff/fdpass.h>: frames whose
 * descriptors were lost, and text over a Unix socket of type SOCK_STREAM, of
 * which a piece may carry one descriptor.
 */
#ifndef HANDOFF_BASE_FDPASS_H
#define HANDOFF_BASE_FDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As handoff_fdpass_recv, but a frame whose descriptors found no room in the
 * table is a frame still: returns 1 with `*lost` set and no descriptor. */
int handoff__fdpass_recv_frame(int sock, int *fds, size_t *nfds, void *payload,
	size_t *len, bool *lost);

/* As send(2), with `fd` (-1: none) beside the first byte. Returns how many
 * bytes were sent, or a negative errno; never blocks. */
ssize_t handoff__fdpass_send_text(
	int sock, const void *data, size_t len, int fd);

/* As recv(2), with the descriptor that came along in `*fd`, the caller's, or
 * -1. Returns how many bytes came, 0 at the end, or a negative errno: -EAGAIN
 * nothing is there; -EMFILE a descriptor did not fit in the table, -EBADMSG
 * more than one came: these bytes are gone and so is what came with them. */
ssize_t handoff__fdpass_recv_text(int sock, void *data, size_t size, int *fd);

#endif
