/* SPDX-License-Identifier: MIT */
/*
 * glibc returns memory at the end of its heap alone, and what a connection
 * keeps lies between what its handshake had: so most of that stays with the
 * process, unless malloc_trim(3) is called.
 */
#include "tls/heap.h"

#include <time.h>

#ifdef __GLIBC__
#include <malloc.h>
#else
#define malloc_trim(pad) ((void)(pad))
#endif

#define FEW         64u /* entries: not worth it */
#define INTERVAL_MS 250

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Several threads may come here at a time: one of them trims. */
void
handoff__tls_heap_shrink(struct handoff__tls_heap *heap, size_t count)
{
	size_t most = atomic_load(&heap->most);
	int64_t last, now;

	if (!heap->trims)
		return;
	if (count >= most) {
		atomic_store(&heap->most, count);
		return;
	}
	if (most < FEW || count > most / 2)
		return;
	last = atomic_load(&heap->trimmed_ms);
	now = now_ms();
	if (now - last < INTERVAL_MS ||
		!atomic_compare_exchange_strong(&heap->trimmed_ms, &last, now))
		return;
	atomic_store(&heap->most, count);
	malloc_trim(0);
}
