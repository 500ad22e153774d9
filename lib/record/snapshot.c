/* SPDX-License-Identifier: MIT */
/*
 * Copies of records that others write to; `sequence` works as a seqlock. A
 * writer touches only the spare commit and state, input behind the received
 * bytes, and output that is sent or not yet produced; anything else only after
 * it has raised `sequence`. So what is copied between two equal values of it is
 * not torn; and it was copied from the right buffers if `desk` has not changed.
 * Writes nothing.
 */
#include "record/snapshot.h"

#include "record/desk.h"
#include "record/handling.h"
#include "record/older.h"

#include <string.h>

#define TRIES 100

static size_t
at_most(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

static uint32_t
copy_input(const struct handoff__view *view, const struct handoff__commit *c,
	const struct handoff__snapshot *snap, unsigned char *to, size_t most)
{
	size_t len = at_most(snap->received - c->rx_tail, most);

	memcpy(to, view->rx + (c->rx_tail - c->rx_origin), len);
	return (uint32_t)len;
}

static uint32_t
copy_output(const struct handoff__view *view, const struct handoff__commit *c,
	const struct handoff__snapshot *snap, unsigned char *to, size_t most)
{
	size_t size = view->seg->geo.tx_size;
	size_t len = at_most(c->tx_head - snap->sent, most);
	size_t at = (size_t)((snap->sent - c->tx_origin) & (size - 1));
	size_t first = at_most(size - at, len);

	memcpy(to, view->tx + at, first);
	memcpy(to + first, view->tx, len - first);
	return (uint32_t)len;
}

/* As of that commit, whose length may be any. */
static void
copy_state(struct handoff__snapshot *snap, const struct handoff__view *view,
	const struct handoff__commit *c, void *to)
{
	const struct handoff__geometry *geo = &view->seg->geo;

	snap->state_len = (uint32_t)at_most(
		c->state_len, c->folded ? geo->fold_size : geo->state_size);
	if (snap->state_len > 0)
		memcpy(to, handoff__older_state_of(view, c), snap->state_len);
}

/* Makes one copy. False if it is torn. */
static bool
copy(struct handoff__snapshot *snap, const struct handoff__view *view,
	void *state, unsigned char *bytes, size_t most)
{
	const struct handoff__record *rec = view->rec;
	uint32_t sequence =
		atomic_load_explicit(&rec->sequence, memory_order_acquire);
	uint32_t desk = atomic_load_explicit(&rec->desk, memory_order_acquire);
	struct handoff__commit c;
	struct handoff__view at = *view;
	uint64_t sent;
	uint8_t handling;

	handoff__older_commit(view, sequence & 1, &c);
	snap->flags = c.flags;
	snap->line_pos = c.line_pos;
	snap->consumed = c.rx_tail;
	snap->produced = c.tx_head;
	snap->received =
		atomic_load_explicit(&rec->rx_head, memory_order_acquire);
	snap->sent = atomic_load_explicit(&rec->tx_tail, memory_order_acquire);
	snap->activity =
		atomic_load_explicit(&rec->activity, memory_order_relaxed);
	handling = handoff__handling(rec);
	snap->handling = (handling & HANDOFF__HANDLING) != 0;
	snap->deaths = handling & HANDOFF__DEATHS_MASK;
	snap->session = 0;
	snap->absent_ms = 0;
	if (!handoff__older(view->seg) && (c.flags & HANDOFF__SESSION)) {
		snap->session = atomic_load_explicit(
			&rec->extra.session, memory_order_relaxed);
		if (c.flags & HANDOFF__GONE)
			snap->absent_ms = atomic_load_explicit(
				&rec->extra.absent_ms, memory_order_relaxed);
	}
	snap->in = snap->out = 0;
	snap->unstable =
		c.sequence != sequence || !handoff__desk_view(&at, desk);
	snap->state_len = 0;
	if (state)
		copy_state(snap, view, &c, state);
	/* lengths and offsets come from the checked copies */
	if (handoff__commit_ok(
		    &view->seg->geo, &c, snap->received, snap->sent)) {
		snap->in = copy_input(&at, &c, snap, bytes, most);
		snap->out = copy_output(&at, &c, snap, bytes + snap->in, most);
	} else {
		snap->unstable = true;
	}
	atomic_thread_fence(memory_order_acquire);
	/* sent output may be overwritten before the next commit */
	sent = atomic_load_explicit(&rec->tx_tail, memory_order_acquire);
	return (snap->out == 0 || sent == snap->sent) &&
	       atomic_load_explicit(&rec->desk, memory_order_relaxed) == desk &&
	       atomic_load_explicit(&rec->sequence, memory_order_relaxed) ==
		       sequence;
}

bool
handoff__snapshot_take(struct handoff__snapshot *snap,
	const struct handoff__view *view, void *state, unsigned char *bytes,
	size_t most)
{
	const struct handoff__record *rec = view->rec;
	bool still = false;

	snap->owner = handoff__owner_place(&rec->owner);
	snap->id = handoff__record_id(rec);
	snap->kind = rec->kind;
	for (int i = 0; i < TRIES && !still; i++)
		still = copy(snap, view, state, bytes, most);
	snap->unstable |= !still;
	/* ids are never reused, and clearing a record clears its id first */
	return snap->owner != 0 && snap->id != 0 &&
	       handoff__owner_word(&rec->owner) != 0 &&
	       handoff__record_id(rec) == snap->id;
}
