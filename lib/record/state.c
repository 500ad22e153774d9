/* SPDX-License-Identifier: MIT */
/*
 * How much of a connection's state is in use, and its deadline. A transaction
 * copies that much, and a snapshot too; the rest of the memory may have no page
 * yet. Writes what takes effect with the commit only.
 *
 * The two states of a large one that grows have pages of their own, apart from
 * the record. When nothing has happened for a while a short one is folded: a
 * transaction copies it beside the record, where others lie in the same page,
 * and both states give all their pages back. The next transaction copies it
 * from there. The fold is written only while it is not what is valid, so that
 * one of it is enough.
 */
#include "base/loop.h"
#include "record/record.h"

#include <errno.h>
#include <fcntl.h>

#define PAGE 4096u /* of a larger page nothing may be given back */

size_t
handoff_conn_state_len(const struct handoff_conn *conn)
{
	return conn->next->state_len;
}

/* What is behind the length in use may be of any earlier transaction, unless
 * it is secret: then it is zero. */
void *
handoff_conn_state_resize(struct handoff_conn *conn, size_t len)
{
	size_t now = conn->next->state_len;
	bool secret = conn->view.seg->arena && conn->view.seg->arena->secret;

	if (len > conn->view.seg->geo.state_size)
		return NULL;
	/* that they are there is known when it is short again, too */
	handoff__state_touch(&conn->view, len);
	if (len > now)
		memset((char *)conn->state + now, 0, len - now);
	if (secret)
		conn->next->flags |= HANDOFF__ERASE;
	if (secret && len < now)
		memset((char *)conn->state + len, 0, now - len);
	conn->next->state_len = (uint32_t)len;
	return conn->state;
}

void *
handoff__state_apart(const struct handoff__view *view, uint32_t which)
{
	const struct handoff__segment *seg = view->seg;
	uint32_t slot = handoff__segment_slot(seg, view->rec);

	return handoff__segment_buffers(seg, slot + 1) -
	       (2 - which) * (size_t)seg->geo.half;
}

/* The commit of the spare state, valid or not, says how long it is. The fold
 * may be of any earlier one. */
void
handoff__state_erase(const struct handoff__view *view)
{
	uint32_t sequence = handoff__record_sequence(view->rec);
	const struct handoff__commit *spare =
		handoff__commit_of(view->rec, sequence + 1);
	size_t len = spare->state_len, size = view->seg->geo.state_size;

	if (!view->seg->arena->secret || size == 0)
		return;
	if (!spare->folded)
		memset(handoff__record_state(view, (sequence & 1) ^ 1), 0,
			len < size ? len : size);
	if (!handoff__commit_of(view->rec, sequence)->folded)
		memset(handoff__record_fold(view), 0, view->seg->geo.fold_size);
}

void *
handoff__state_prepare(
	const struct handoff__view *view, struct handoff__commit *next)
{
	void *to = handoff__state_apart(view, next->sequence & 1);

	if (next->state_len > 0) {
		handoff__state_touch(view, next->state_len);
		memcpy(to, handoff__record_valid_state(view), next->state_len);
	}
	next->folded = 0;
	return to;
}

void
handoff__txn_commit_state(struct handoff_conn *txn)
{
	bool erase = (txn->next->flags & HANDOFF__ERASE) != 0;

	txn->next->flags &= ~(uint32_t)HANDOFF__ERASE;
	handoff__txn_commit(txn);
	if (erase)
		handoff__state_erase(&txn->view);
}

int
handoff_conn_deadline(struct handoff_conn *conn, int64_t ms)
{
	struct handoff__record *rec = conn->view.rec;
	uint16_t spare = handoff__record_commit(rec)->deadline == 1 ? 2 : 1;

	if (ms < 0 || ms > INT64_MAX / 2)
		return -EINVAL;
	conn->next->deadline = ms > 0 ? spare : 0;
	if (ms == 0)
		return 0;
	/* never before: the clock's reading is rounded down */
	atomic_store_explicit(&rec->extra.deadline_ms[spare - 1],
		handoff__boot_ms() + (uint64_t)ms + 1, memory_order_relaxed);
	rec->touched |= HANDOFF__TIMED;
	return 0;
}

int
handoff_conn_hold(struct handoff_conn *conn, int64_t ms)
{
	if (ms < 0 || ms > INT64_MAX / 2)
		return -EINVAL;
	atomic_store_explicit(&conn->view.rec->extra.hold_ms,
		ms > 0 ? handoff__boot_ms() + (uint64_t)ms : 0,
		memory_order_relaxed);
	return 0;
}

/* Gives back the pages of a range; what is in it does not matter. */
static void
give_back(const struct handoff__segment *seg, size_t from, size_t to)
{
	from = (from + PAGE - 1) & ~(size_t)(PAGE - 1);
	to &= ~(size_t)(PAGE - 1);
	if (from >= to)
		return;
	handoff__segment_wipe(seg, seg->base + from, to - from);
	fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)from, (off_t)(to - from));
}

/* Whether the state is in the fold now. */
static bool
fold(const struct handoff__view *view)
{
	const void *state = handoff__record_valid_state(view);
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	struct handoff__commit *next;

	if (c->folded || c->state_len > view->seg->geo.fold_size)
		return c->folded;
	if (c->state_len > 0)
		memcpy(handoff__record_fold(view), state, c->state_len);
	next = handoff__prepare_commit(
		view, handoff__record_sequence(view->rec));
	next->folded = 1;
	handoff__flip(view);
	return true;
}

void
handoff__state_trim(const struct handoff__view *view)
{
	const struct handoff__segment *seg = view->seg;
	bool apart = seg->geo.fold_size > 0, folded = apart && fold(view);
	size_t size = seg->geo.state_size;
	size_t len = folded ? 0 : handoff__record_commit(view->rec)->state_len;
	uint32_t valid = handoff__record_sequence(view->rec) & 1;

	for (uint32_t which = 0; size > 0 && which < 2; which++) {
		const unsigned char *state = handoff__record_state(view, which);
		size_t at = (size_t)(state - seg->base);

		/* the next transaction notes that the spare one has pages */
		give_back(seg, at + (apart && which != valid ? 0 : len),
			at + size);
	}
}
