/* SPDX-License-Identifier: MIT */
/*
 * Shared by the echo servers that the library is compared with.
 */
#ifndef TESTS_BENCH_PEER_H
#define TESTS_BENCH_PEER_H

/* Bytes of one receive, as the library's default input_size. */
#define PEER_BUFFER 65536

/* Raises the limit of descriptors, listens on a free port of 127.0.0.1 and
 * prints where. Accepted sockets inherit TCP_NODELAY. Exits on failure. */
int peer_listen(int flags);

#endif
