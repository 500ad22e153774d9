/* SPDX-License-Identifier: MIT */
/*
 * Memory that malloc(3) keeps once many connections of a process are gone, or
 * idle: mostly of their handshakes.
 */
#ifndef HANDOFF_TLS_HEAP_H
#define HANDOFF_TLS_HEAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: nothing is given back. */
struct handoff__tls_heap {
	bool trims;
	_Atomic size_t most;        /* entries, since the last time */
	_Atomic int64_t trimmed_ms; /* CLOCK_MONOTONIC */
};

/* There are `count` entries now. Gives memory back to the system when they have
 * become half as many, at most four times a second. */
void handoff__tls_heap_shrink(struct handoff__tls_heap *heap, size_t count);

#endif
