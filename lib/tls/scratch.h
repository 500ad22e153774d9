/* SPDX-License-Identifier: MIT */
/*
 * A thread's buffers for one turn of a connection: plain text that came, and
 * what goes, if that cannot be sealed where it is. They are this process's own
 * memory.
 */
#ifndef HANDOFF_TLS_SCRATCH_H
#define HANDOFF_TLS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

struct handoff__tls_scratch {
	unsigned char *in, *out;
	size_t in_size, out_size;
	uint64_t user; /* the connection that had them last */
};

/* This thread's, each of at least that size; freed with the thread. NULL: no
 * memory. */
struct handoff__tls_scratch *handoff__tls_scratch(
	uint64_t user, size_t in, size_t out);

/* Erases and frees this thread's, if no other connection has had them since: so
 * a thread with one connection keeps nothing while that is idle. */
void handoff__tls_scratch_rest(uint64_t user);

#endif
