/* SPDX-License-Identifier: MIT */
/*
 * Desks: places in shared memory where the turns of connections are worked
 * on, one connection at a time, so that most of them need no buffers of their
 * own and a server has all its input and output in the same few pages. What
 * is not finished at the end of a turn is put into the record's own buffers.
 * A survivor finds on the desk what its dead user had there.
 */
#ifndef HANDOFF_RECORD_DESK_H
#define HANDOFF_RECORD_DESK_H

#include "record/record.h"

/* Of the n-th worker of a peer, counted from 0. */
static inline uint32_t
handoff__desk_number(int place, uint32_t worker)
{
	return (uint32_t)(place - 1) * (HANDOFF__DESKS / 2) + worker + 1;
}

/* `at`, a copy of the record's view, gets the buffers of a desk. */
static inline void
handoff__desk_buffers(struct handoff__view *at, uint32_t desk)
{
	const struct handoff__segment *seg = at->seg;

	at->rx = seg->desks + (desk - 1) * seg->geo.buffer_stride;
	at->tx = at->rx + 2 * (size_t)seg->geo.rx_size;
}

/* The bytes are at desk `number` (0: in the record's own buffers) from here
 * on. It counts, so that a reader meanwhile sees every change. */
static inline void
handoff__desk_set(struct handoff__record *rec, uint32_t number)
{
	uint32_t word = handoff__desk_word(rec);

	atomic_store_explicit(&rec->desk,
		(word | HANDOFF__DESK_NUMBER) + 1 + number,
		memory_order_release);
	handoff__overwriting_follows();
}

/* Has the record a desk, by its own account? */
static inline uint32_t
handoff__desk_of(const struct handoff__record *rec)
{
	return handoff__desk_word(rec) & HANDOFF__DESK_NUMBER;
}

/* `*at`, a copy of a record's view, becomes what it was when `desk` of the
 * record was this. False if there is no such desk. */
bool handoff__desk_view(struct handoff__view *at, uint32_t word);

/* Puts what is on the desk, if the record has one, into its own buffers. Can
 * be done again by somebody else who finds it half done. */
void handoff__desk_clear(const struct handoff__view *view);

/* The connection ends: what it, and others before it, may have left on the
 * desk is wiped. `at` is the view with the desk's buffers. For the worker
 * that has the desk, in the turn. */
__attribute__((cold)) void handoff__desk_wipe(const struct handoff__view *at);

#endif
