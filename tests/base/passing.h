/* SPDX-License-Identifier: MIT */
/*
 * Pairs of sockets for passing descriptors, also with sendmsg(2) directly, and
 * the checks after a refused message.
 */
#ifndef TESTS_BASE_PASSING_H
#define TESTS_BASE_PASSING_H

#include "support/support.h"

void passing_pair(int type, int sv[2]);
void passing_close(const int *fds, size_t n);

/* Distinct files, so that a mix-up shows. */
void passing_files(int *fds, size_t n);

/* Two descriptors of one file. */
void passing_same_file(int a, int b);

void passing_u32(unsigned char *p, uint32_t v);

/* Sends `len` bytes and the descriptors, in `parts` control messages. */
void passing_send(int sock, const void *data, size_t len, const int *fds,
	size_t nfds, size_t parts);

/* Receives what must be refused, with room for all or for so much; nothing may
 * be left open and the counts stay. Returns the error. */
int passing_refused(int sock);
int passing_refused_with(int sock, size_t max_fds, size_t max_len);

/* Nothing is there to be received. */
void passing_empty(int sock);

/* One good message goes through: the socket is usable after a refusal. */
void passing_usable(int from, int to);

#endif
