/* SPDX-License-Identifier: MIT */
/*
 * A thread's buffers for one turn of a connection: plain text that came, and
 * what goes, if that cannot be sealed where it is. They are this process's own
 * memory.
 */
#ifndef HANDOFF_TLS_SCRATCH_H
#define HANDOFF_TLS_SCRATCH_H

#include <stddef.h>

struct handoff__tls_scratch {
	unsigned char *in, *out;
	size_t in_size, out_size;
};

/* This thread's, each of at least that size; freed with the thread. NULL: no
 * memory. */
struct handoff__tls_scratch *handoff__tls_scratch(size_t in, size_t out);

#endif
