/* SPDX-License-Identifier: MIT */
/*
 * Desks: pairs of buffers in shared memory in which turns are run, one
 * connection at a time, so that most connections need no buffers of their own
 * and a server's input and output stay in the same few pages. At the end of a
 * turn any rest is copied into the record's own buffers. A survivor finds on
 * the desk what the dead process had there.
 */
#ifndef HANDOFF_RECORD_DESK_H
#define HANDOFF_RECORD_DESK_H

#include "record/record.h"

/* The desk of a peer's n-th worker, counted from 0. */
static inline uint32_t
handoff__desk_number(int place, uint32_t worker)
{
	return (uint32_t)(place - 1) * (HANDOFF__DESKS / 2) + worker + 1;
}

/* Gives `at`, a copy of the record's view, the buffers of a desk. */
static inline void
handoff__desk_buffers(struct handoff__view *at, uint32_t desk)
{
	const struct handoff__segment *seg = at->seg;

	at->rx = seg->desks + (desk - 1) * seg->geo.buffer_stride;
	at->tx = at->rx + 2 * (size_t)seg->geo.rx_size;
}

/* From here on the bytes are on desk `number` (0: in the record's own buffers).
 * The other bits count, so that a concurrent reader notices every change. */
static inline void
handoff__desk_set(struct handoff__record *rec, uint32_t number)
{
	uint32_t word = handoff__desk_word(rec);

	atomic_store_explicit(&rec->desk,
		(word | HANDOFF__DESK_NUMBER) + 1 + number,
		memory_order_release);
	handoff__overwriting_follows();
}

/* The desk that the record names, or 0. */
static inline uint32_t
handoff__desk_of(const struct handoff__record *rec)
{
	return handoff__desk_word(rec) & HANDOFF__DESK_NUMBER;
}

/* Changes `*at`, a copy of a record's view, to the buffers that the record's
 * `desk` word `word` selects. False if there is no such desk. */
bool handoff__desk_view(struct handoff__view *at, uint32_t word);

/* Copies the bytes from the desk, if the record has one, into its own buffers.
 * Idempotent: a survivor may repeat it after a death half-way. */
void handoff__desk_clear(const struct handoff__view *view);

/* Wipes what the ending connection, and others before it, may have left on the
 * desk. `at` is the view with the desk's buffers. Called by the worker that has
 * the desk, during the turn. */
__attribute__((cold)) void handoff__desk_wipe(const struct handoff__view *at);

#endif
