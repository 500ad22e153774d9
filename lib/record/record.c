/* SPDX-License-Identifier: MIT */
/*
 * One record: positions, two buffers, the double-buffered state. Knows no
 * sockets: it says where bytes go and takes how many went.
 *
 * The input buffer is linear, with room for twice the input a handler may wait
 * for: when its end is reached, the unconsumed input fits below its own start,
 * so that moving it to the front overwrites nothing that the valid commit
 * describes. The output buffer is a ring. Both restart at offset 0 whenever
 * they are empty, which keeps a quiet connection on one page. The layout is
 * part of the commit and changes only with it.
 */
#include "record/record.h"

#include "record/desk.h"
#include "record/handling.h"
#include "record/older.h"
#include "record/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* no stream gets this long, so positions never wrap */
#define NEVER (UINT64_C(1) << 63)

/* A lock hidden in an atomic would be private to each process, and would stay
 * held if its holder is killed. */
static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LONG_LOCK_FREE == 2 &&
		      ATOMIC_LLONG_LOCK_FREE == 2 &&
		      sizeof(_Atomic uint32_t) == sizeof(uint32_t) &&
		      sizeof(_Atomic uint64_t) == sizeof(uint64_t),
	"atomics of 32 and of 64 bits need no lock, and no room for one");
static_assert(sizeof(struct handoff__record) % 16 == 0,
	"the states that follow a record are 16-byte aligned");

void
handoff__view_make(struct handoff__view *view,
	const struct handoff__segment *seg, uint32_t slot)
{
	view->seg = seg;
	view->rec = handoff__segment_record(seg, slot);
	view->rx = handoff__segment_buffers(seg, slot);
	view->tx = view->rx + 2 * (size_t)seg->geo.rx_size;
}

bool
handoff__commit_ok(const struct handoff__geometry *geo,
	const struct handoff__commit *c, uint64_t rx_head, uint64_t tx_tail)
{
	uint32_t most = c->folded ? geo->fold_size : geo->state_size;

	return (!c->folded || geo->fold_size > 0) && c->state_len <= most &&
	       rx_head < NEVER && c->tx_head < NEVER && c->rx_tail <= rx_head &&
	       rx_head - c->rx_tail <= geo->rx_size &&
	       c->rx_origin <= c->rx_tail &&
	       rx_head - c->rx_origin <= 2 * (uint64_t)geo->rx_size &&
	       tx_tail <= c->tx_head && c->tx_head - tx_tail <= geo->tx_size &&
	       c->tx_origin <= tx_tail;
}

bool
handoff__record_ok(const struct handoff__view *view)
{
	const struct handoff__record *rec = view->rec;
	struct handoff__view at = *view;
	struct handoff__commit c;

	handoff__older_commit(view, handoff__record_sequence(rec) & 1, &c);
	return c.sequence == handoff__record_sequence(rec) &&
	       handoff__desk_view(&at, handoff__desk_word(rec)) &&
	       handoff__commit_ok(&view->seg->geo, &c, handoff__rx_head(rec),
		       handoff__tx_tail(rec));
}

int
handoff__record_repair(
	const struct handoff__view *view, uint64_t read, uint64_t written)
{
	struct handoff__record *rec = view->rec;
	struct handoff__commit c;
	uint64_t rx_head = rec->rx_base + read,
		 tx_tail = rec->tx_base + written;
	bool stale = rx_head != handoff__rx_head(rec) ||
		     tx_tail != handoff__tx_tail(rec);

	handoff__older_commit(view, handoff__record_sequence(rec) & 1, &c);
	/* only forward, and never beyond what fits into the buffers */
	if (rx_head < handoff__rx_head(rec) ||
		rx_head - c.rx_tail > view->seg->geo.rx_size ||
		rx_head - c.rx_origin > 2 * (uint64_t)view->seg->geo.rx_size ||
		tx_tail < handoff__tx_tail(rec) || tx_tail > c.tx_head)
		return -ERANGE;
	handoff__record_set_positions(rec, rx_head, tx_tail);
	return stale;
}

uint64_t
handoff__record_due(const struct handoff__view *view)
{
	uint64_t owed = handoff__older(view->seg)
				? 0
				: atomic_load(&view->rec->extra.owed);

	return owed ? owed
		    : atomic_load_explicit(
			      &view->rec->tx_tail, memory_order_acquire);
}

/* Modulo 2^64: a base may be negative. */
bool
handoff__record_lacks(const struct handoff__record *rec, uint64_t due,
	uint64_t written, bool ended)
{
	uint64_t position = due & ~HANDOFF__OWED_END;

	return (int64_t)(rec->tx_base + written - position) < 0 ||
	       ((due & HANDOFF__OWED_END) && !ended);
}

/* Moves unconsumed input to the front of the buffer. It is in the upper half
 * and no longer than the lower one, so source and target do not overlap and the
 * old layout stays valid until the flip. */
void
handoff__record_compact(const struct handoff__view *view)
{
	struct handoff__commit *next = handoff__prepare(view);
	size_t len = (size_t)(handoff__rx_head(view->rec) - next->rx_tail);
	size_t from = (size_t)(next->rx_tail - next->rx_origin);

	assert(from >= len);
	memcpy(view->rx, view->rx + from, len);
	next->rx_origin = next->rx_tail;
	handoff__flip(view);
}

void
handoff__record_flag(const struct handoff__view *view, uint32_t flags)
{
	struct handoff__commit *next = handoff__prepare(view);

	next->flags |= flags;
	handoff__flip(view);
}

void
handoff__record_unflag(const struct handoff__view *view, uint32_t flags)
{
	struct handoff__commit *next;

	if (!(handoff__record_commit(view->rec)->flags & flags))
		return;
	next = handoff__prepare(view);
	next->flags &= ~flags;
	handoff__flip(view);
}

int
handoff__record_flip(const struct handoff__view *view, size_t state_len)
{
	uint32_t sequence = handoff__record_sequence(view->rec);
	struct handoff__commit *next =
		handoff__commit_of(view->rec, sequence + 1);

	if (next->sequence != sequence + 1)
		return -EINVAL;
	next->state_len = (uint32_t)state_len;
	handoff__flip(view);
	return 0;
}

void
handoff__record_use_state(const struct handoff__view *view, size_t len)
{
	uint32_t sequence = handoff__record_sequence(view->rec);

	if (len > 0) {
		memset(handoff__record_state(view, sequence & 1), 0, len);
		handoff__state_touch(view, len);
	}
	handoff__commit_of(view->rec, sequence)->state_len = (uint32_t)len;
}

void
handoff__record_discard(const struct handoff__view *view)
{
	struct handoff__commit *next = handoff__prepare(view);

	next->rx_tail = next->rx_origin = handoff__rx_head(view->rec);
	handoff__flip(view);
}

uint64_t
handoff_conn_id(const struct handoff_conn *conn)
{
	return handoff__record_number(conn->view.rec);
}

const void *
handoff_conn_input(const struct handoff_conn *conn, size_t *len)
{
	*len = (size_t)(conn->rx_head - conn->next->rx_tail);
	return conn->view.rx + (conn->next->rx_tail - conn->next->rx_origin);
}

int
handoff_conn_consume(struct handoff_conn *conn, size_t len)
{
	if (len > conn->rx_head - conn->next->rx_tail)
		return -EINVAL;
	conn->next->rx_tail += len;
	return 0;
}

bool
handoff_conn_eof(const struct handoff_conn *conn)
{
	return (conn->next->flags & HANDOFF__EOF) != 0;
}

static size_t
room_of(const struct handoff_conn *conn)
{
	return conn->view.seg->geo.tx_size -
	       (size_t)(conn->next->tx_head - conn->tx_tail);
}

size_t
handoff_conn_room(const struct handoff_conn *conn)
{
	return room_of(conn);
}

/* Not those of the transaction: the hook for an end has no input and no room
 * there. */
void
handoff_conn_progress(
	const struct handoff_conn *conn, uint64_t *received, uint64_t *sent)
{
	*received = handoff__rx_head(conn->view.rec);
	*sent = handoff__tx_tail(conn->view.rec);
}

size_t
handoff_conn_write(struct handoff_conn *conn, const void *data, size_t len)
{
	struct handoff__commit *next = conn->next;
	size_t size = conn->view.seg->geo.tx_size, room = room_of(conn);
	size_t at = (size_t)((next->tx_head - next->tx_origin) & (size - 1));
	size_t first = size - at;

	if (len > room)
		len = room;
	if (len == 0)
		return 0;
	next->tx_head += len;
	if (len <= first) {
		memcpy(conn->view.tx + at, data, len);
		return len;
	}
	memcpy(conn->view.tx + at, data, first);
	memcpy(conn->view.tx, (const char *)data + first, len - first);
	return len;
}

void *
handoff_conn_state(struct handoff_conn *conn)
{
	return conn->state;
}

enum handoff_conn_reason
handoff_conn_reason(const struct handoff_conn *conn)
{
	uint32_t before = handoff__record_commit(conn->view.rec)->flags;
	uint32_t reason =
		(conn->next->flags & HANDOFF__REASON) >> HANDOFF__REASON_SHIFT;

	if (reason >= HANDOFF__GIVEN)
		return (enum handoff_conn_reason)(reason - HANDOFF__GIVEN);
	if (reason != HANDOFF_CONN_INPUT && reason != HANDOFF_CONN_ROOM)
		return (enum handoff_conn_reason)reason;
	if (!(before & HANDOFF__OPENED))
		return HANDOFF_CONN_OPEN;
	if (before & HANDOFF__EOF)
		return HANDOFF_CONN_END;
	return (enum handoff_conn_reason)reason;
}

/* What the service ends in the call for a deadline ends for that reason. */
static uint32_t
closing_flags(const struct handoff_conn *conn)
{
	if (handoff_conn_reason(conn) != HANDOFF_CONN_DEADLINE)
		return HANDOFF__CLOSING;
	return HANDOFF__CLOSING | (uint32_t)HANDOFF_ENDED_DEADLINE
					  << HANDOFF__END_SHIFT;
}

void
handoff_conn_close(struct handoff_conn *conn)
{
	conn->next->flags |= closing_flags(conn);
}

void
handoff_conn_abort(struct handoff_conn *conn)
{
	conn->next->flags |=
		closing_flags(conn) | HANDOFF__OVER | HANDOFF__RESET;
}

/* Another thread may be writing it: any value that it ever had will do. */
__attribute__((no_sanitize_thread)) bool
handoff__record_posts_wait(const struct handoff__view *view)
{
	struct handoff__record *rec = view->rec;
	uint32_t sequence =
		atomic_load_explicit(&rec->sequence, memory_order_acquire);
	const struct handoff__commit *c = handoff__commit_of(rec, sequence);
	struct handoff__post_reader reader = handoff__record_reader(rec);

	return view->seg->ring && !handoff__older(view->seg) &&
	       !(c->flags & HANDOFF__NO_OUTPUT) &&
	       c->line_pos < handoff__posts_head(view->seg->ring) &&
	       handoff__posts_waiting(view->seg->ring, &reader, c->line_pos);
}

void
handoff__record_skip_posts(const struct handoff__view *view)
{
	if (view->seg->ring)
		handoff__commit_of(
			view->rec, handoff__record_sequence(view->rec))
			->line_pos = handoff__posts_head(view->seg->ring);
}

void
handoff__record_take_bulletin(
	const struct handoff__view *view, uint64_t id, uint64_t position)
{
	struct handoff_conn txn;
	char text[HANDOFF__LINE_MAX];
	size_t len;

	handoff__txn_begin(&txn, view);
	while ((len = handoff__bulletin_read(
			view->seg->bulletin, &position, id, text)) > 0 &&
		len <= handoff_conn_room(&txn)) {
		handoff_conn_write(&txn, text, len);
		handoff__record_touch(view->rec);
	}
	txn.next->line_pos = atomic_load(&view->seg->ring->tail);
	handoff__txn_commit(&txn);
}

void
handoff__record_fill(const struct handoff__view *to,
	const struct handoff__record *from,
	const struct handoff__snapshot *snap, const unsigned char *bytes)
{
	struct handoff__record *rec = to->rec;
	struct handoff__commit *c = &rec->commit[0];

	rec->kind = snap->kind;
	handoff__record_mark(rec, (enum handoff__activity)snap->activity);
	rec->rx_base = from->rx_base;
	rec->tx_base = from->tx_base;
	rec->touched = snap->in > 0 || snap->out > 0 ? HANDOFF__PAGES : 0;
	handoff__handling_set(rec, handoff__handler_deaths(from));
	handoff__record_set_positions(rec, snap->received, snap->sent);
	c->rx_tail = c->rx_origin = snap->consumed;
	c->tx_head = snap->produced;
	c->tx_origin = snap->sent;
	c->flags = snap->flags;
	c->line_pos = snap->line_pos;
	memcpy(to->rx, bytes, snap->in);
	memcpy(to->tx, bytes + snap->in, snap->out);
}

void
handoff__record_set_label(struct handoff__record *rec, const char *text)
{
	uint64_t words[HANDOFF__LABEL_MAX / 8] = {0};

	memcpy(words, text, strnlen(text, HANDOFF__LABEL_MAX - 1));
	for (size_t i = 0; i < HANDOFF__LABEL_MAX / 8; i++)
		atomic_store_explicit(
			&rec->extra.label[i], words[i], memory_order_relaxed);
}

void
handoff__record_label(
	const struct handoff__record *rec, char label[HANDOFF__LABEL_MAX])
{
	for (size_t i = 0; i < HANDOFF__LABEL_MAX / 8; i++) {
		uint64_t word = atomic_load_explicit(
			&rec->extra.label[i], memory_order_relaxed);

		memcpy(label + i * 8, &word, sizeof(word));
	}
	label[HANDOFF__LABEL_MAX - 1] = '\0';
}

int
handoff_conn_label(struct handoff_conn *conn, const char *text)
{
	if (!text || strlen(text) >= HANDOFF__LABEL_MAX)
		return -EINVAL;
	handoff__record_set_label(conn->view.rec, text);
	return 0;
}

void
handoff__record_carry_extra(
	struct handoff__record *to, const struct handoff__record *from)
{
	struct handoff__extra *x = &to->extra;
	const struct handoff__extra *y = &from->extra;
	char label[HANDOFF__LABEL_MAX];

	atomic_store(&x->deadline_ms[0], handoff__record_deadline(from));
	to->commit[0].deadline = atomic_load(&x->deadline_ms[0]) > 0;
	to->touched |= from->touched & (HANDOFF__TIMED | HANDOFF__UNFINISHED);
	atomic_store(&x->owed, atomic_load(&y->owed));
	atomic_store(&x->tag, atomic_load(&y->tag));
	x->leader_segment = y->leader_segment;
	x->leader_slot = y->leader_slot;
	atomic_store(&x->leader, atomic_load(&y->leader));
	x->pair_segment = y->pair_segment;
	x->pair_slot = y->pair_slot;
	x->outgoing = y->outgoing;
	atomic_store(&x->session, atomic_load(&y->session));
	atomic_store(&x->absent_ms, atomic_load(&y->absent_ms));
	atomic_store(&x->pair, atomic_load(&y->pair));
	atomic_store(&x->since_ms, atomic_load(&y->since_ms));
	handoff__record_label(from, label);
	handoff__record_set_label(to, label);
	x->client = y->client;
}

void
handoff__record_set_name(const struct handoff__view *view, const char *name)
{
	struct handoff__record *rec = view->rec;

	if (name[0] == '\0' && rec->kind == HANDOFF__CONNECTION)
		return;
	handoff__copy((char *)view->rx, HANDOFF_ADDRESS_MAX, name);
	rec->touched |= HANDOFF__PAGES;
	handoff__record_set_positions(rec, strlen((char *)view->rx) + 1, 0);
}

int
handoff__record_name(const struct handoff__view *view, char *name)
{
	uint64_t len = handoff__rx_head(view->rec);

	if (len == 0 || len > HANDOFF_ADDRESS_MAX)
		return -EBADMSG;
	memcpy(name, view->rx, (size_t)len);
	return name[len - 1] == '\0' ? 0 : -EBADMSG;
}
