/* SPDX-License-Identifier: MIT */
/*
 * The operations on a record at every request. Part of record.h, and inline:
 * after each system call the code of a turn has to be fetched into the caches
 * again, so it should be short and contiguous.
 */
#ifndef HANDOFF_RECORD_INLINE_H
#define HANDOFF_RECORD_INLINE_H

#include <string.h>

/* Moves unconsumed input to the front of the buffer. */
__attribute__((cold)) void handoff__record_compact(
	const struct handoff__view *view);

/* The same where states follow the record, and where they lie apart. */
static inline void *
handoff__state_beside(const struct handoff__view *view, uint32_t which)
{
	const struct handoff__geometry *geo = &view->seg->geo;

	return geo->state_size > 0
		       ? (char *)(view->rec + 1) + (size_t)which * geo->half
		       : NULL;
}
void *handoff__state_apart(const struct handoff__view *view, uint32_t which);

static inline void *
handoff__record_state(const struct handoff__view *view, uint32_t which)
{
	return view->seg->geo.fold_size > 0
		       ? handoff__state_apart(view, which)
		       : handoff__state_beside(view, which);
}

/* Where a short state rests, see state.c. */
static inline void *
handoff__record_fold(const struct handoff__view *view)
{
	return view->rec + 1;
}

static inline const void *
handoff__record_valid_state(const struct handoff__view *view)
{
	uint32_t sequence = atomic_load_explicit(
		&view->rec->sequence, memory_order_acquire);

	return handoff__commit_of(view->rec, sequence)->folded
		       ? handoff__record_fold(view)
		       : handoff__record_state(view, sequence & 1);
}

/* A damaged number must not lead outside of the record. */
static inline uint64_t
handoff__record_deadline(const struct handoff__record *rec)
{
	uint32_t number = handoff__record_commit(rec)->deadline;

	return number == 0 ? 0
			   : atomic_load_explicit(
				     &rec->extra.deadline_ms[(number - 1) & 1],
				     memory_order_relaxed);
}

/* Also of a connection that another thread serves, which may overwrite the
 * flags meanwhile: with SESSION as it was. */
static inline __attribute__((no_sanitize_thread)) uint64_t
handoff__record_session(const struct handoff__record *rec)
{
	return handoff__record_commit(rec)->flags & HANDOFF__SESSION
		       ? atomic_load_explicit(
				 &rec->extra.session, memory_order_relaxed)
		       : 0;
}

static inline uint64_t
handoff__record_number(const struct handoff__record *rec)
{
	uint64_t session = handoff__record_session(rec);

	return session > 0 ? session : handoff__record_id(rec);
}

static inline struct handoff__post_reader
handoff__record_reader(const struct handoff__record *rec)
{
	return (struct handoff__post_reader){
		.id = handoff__record_number(rec),
		.tag = atomic_load_explicit(
			&rec->extra.tag, memory_order_relaxed),
		.outgoing = rec->extra.outgoing != 0,
	};
}

/* Whether these are the flags of a session without a socket. */
static inline bool
handoff__flags_absent(uint32_t flags)
{
	return (flags & (HANDOFF__SESSION | HANDOFF__GONE)) ==
	       (HANDOFF__SESSION | HANDOFF__GONE);
}

static inline int64_t
handoff__record_absent(const struct handoff__record *rec)
{
	return handoff__flags_absent(handoff__record_commit(rec)->flags)
		       ? atomic_load_explicit(
				 &rec->extra.absent_ms, memory_order_relaxed)
		       : 0;
}

/* Call it after a store that allows something (a commit, or bytes) to be
 * overwritten: a concurrent reader (snapshot.c) that sees the overwritten bytes
 * must also see this store. */
static inline void
handoff__overwriting_follows(void)
{
	atomic_thread_fence(memory_order_release);
}

/* Makes the spare commit and state the valid ones. */
static inline void
handoff__flip(const struct handoff__view *view)
{
	atomic_store_explicit(&view->rec->sequence,
		handoff__record_sequence(view->rec) + 1, memory_order_release);
	handoff__overwriting_follows();
}

/* Copies the valid commit to the spare one, where changes take effect with the
 * flip. Does not copy the state. */
static inline struct handoff__commit *
handoff__prepare_commit(const struct handoff__view *view, uint32_t sequence)
{
	struct handoff__commit *next =
		handoff__commit_of(view->rec, sequence + 1);

	*next = *handoff__commit_of(view->rec, sequence);
	next->sequence = sequence + 1;
	return next;
}

/* Records that a state gets data, which has pages of its own. */
static inline void
handoff__state_touch(const struct handoff__view *view, size_t len)
{
	if (len > HANDOFF__SEGMENT_PAGE || view->seg->geo.fold_size > 0)
		view->rec->touched |= HANDOFF__PAGES;
}

/* Copies a state that lies apart, or is folded, to the spare one. */
void *handoff__state_prepare(
	const struct handoff__view *view, struct handoff__commit *next);

/* Copies the used part of the state too, and stores the address of the spare
 * state in `*state`. */
static inline struct handoff__commit *
handoff__prepare_all(const struct handoff__view *view, void **state)
{
	uint32_t sequence = handoff__record_sequence(view->rec);
	struct handoff__commit *next = handoff__prepare_commit(view, sequence);

	if (view->seg->geo.fold_size > 0) {
		*state = handoff__state_prepare(view, next);
		return next;
	}
	*state = handoff__state_beside(view, (sequence & 1) ^ 1);
	if (next->state_len > 0)
		memcpy(*state, handoff__state_beside(view, sequence & 1),
			next->state_len);
	return next;
}

static inline struct handoff__commit *
handoff__prepare(const struct handoff__view *view)
{
	void *state;

	return handoff__prepare_all(view, &state);
}

static inline size_t
handoff__record_rx_room(const struct handoff__view *view, void **at)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	uint64_t head = handoff__rx_head(view->rec);
	size_t room = view->seg->geo.rx_size - (size_t)(head - c->rx_tail);

	if (room == 0)
		return 0;
	if (__builtin_expect(
		    c->rx_tail - c->rx_origin >= view->seg->geo.rx_size,
		    false)) {
		handoff__record_compact(view);
		c = handoff__record_commit(view->rec);
	}
	*at = view->rx + (head - c->rx_origin);
	return room;
}

static inline void
handoff__record_received(const struct handoff__view *view, size_t len)
{
	atomic_store_explicit(&view->rec->rx_head,
		handoff__rx_head(view->rec) + len, memory_order_release);
}

static inline int
handoff__record_tx_pieces(const struct handoff__view *view, struct iovec iov[2])
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	uint64_t tail = handoff__tx_tail(view->rec);
	size_t len = (size_t)(c->tx_head - tail);
	size_t at =
		(size_t)((tail - c->tx_origin) & (view->seg->geo.tx_size - 1));
	size_t first = view->seg->geo.tx_size - at;

	if (len == 0)
		return 0;
	iov[0].iov_base = view->tx + at;
	iov[0].iov_len = len < first ? len : first;
	if (len <= first)
		return 1;
	iov[1].iov_base = view->tx;
	iov[1].iov_len = len - first;
	return 2;
}

static inline void
handoff__record_sent(const struct handoff__view *view, size_t len)
{
	atomic_store_explicit(&view->rec->tx_tail,
		handoff__tx_tail(view->rec) + len, memory_order_release);
	handoff__overwriting_follows();
}

/* Begins a transaction in the existing view. */
static inline void
handoff__txn_again(struct handoff_conn *txn)
{
	const struct handoff__view *view = &txn->view;

	txn->next = handoff__prepare_all(view, &txn->state);
	txn->rx_head = handoff__rx_head(view->rec);
	txn->tx_tail = handoff__tx_tail(view->rec);
	/* the kernel has taken all output: the old bytes are not needed */
	if (txn->tx_tail == txn->next->tx_head)
		txn->next->tx_origin = txn->next->tx_head;
}

static inline void
handoff__txn_begin(struct handoff_conn *txn, const struct handoff__view *view)
{
	txn->view = *view;
	handoff__txn_again(txn);
}

static inline void
handoff__txn_commit(struct handoff_conn *txn)
{
	if (txn->next->rx_tail == txn->rx_head)
		txn->next->rx_origin = txn->rx_head;
	handoff__flip(&txn->view);
}

#endif
