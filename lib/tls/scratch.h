/* SPDX-License-Identifier: MIT */
/*
 * A thread's buffers for one turn of a connection: plain text that came, plain
 * text that goes, and TLS records that go. They are this process's own memory.
 */
#ifndef HANDOFF_TLS_SCRATCH_H
#define HANDOFF_TLS_SCRATCH_H

#include <stddef.h>

struct handoff__tls_scratch {
	unsigned char *in, *out, *sealed;
	size_t in_size, out_size, sealed_size;
};

/* This thread's, each of at least that size; freed with the thread. NULL: no
 * memory. */
struct handoff__tls_scratch *handoff__tls_scratch(
	size_t in, size_t out, size_t sealed);

#endif
