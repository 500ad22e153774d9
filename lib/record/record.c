/* SPDX-License-Identifier: MIT */
/*
 * One record: positions, two buffers, the double-buffered state. Knows no
 * sockets: it says where bytes go and is told how many went.
 *
 * The input buffer is linear, with room for twice the input a handler may
 * wait for: unconsumed input then fits below its own beginning when the end
 * is reached, so that moving it to the front overwrites nothing that the
 * current commit describes. The output buffer is a ring. Both begin at
 * offset 0 again whenever they are empty, which keeps a quiet connection on
 * one page. All of that layout is in the commit and changes only with it.
 */
#include "record/record.h"

#include "record/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* No stream gets so far, so that positions never wrap. */
#define NEVER (UINT64_C(1) << 63)

static_assert(sizeof(struct handoff__record) % 16 == 0,
	"the states that follow a record are 16-byte aligned");

static uint64_t
rx_head_of(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->rx_head, memory_order_relaxed);
}

static uint64_t
tx_tail_of(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->tx_tail, memory_order_relaxed);
}

static struct handoff__commit *
spare_commit(const struct handoff__view *view)
{
	return &view->rec->commit[(view->rec->current & 1) ^ 1];
}

void *
handoff__record_state(const struct handoff__view *view, uint32_t which)
{
	size_t size = (view->geo->state_size + 15u) & ~15u;

	return size > 0 ? (char *)(view->rec + 1) + which * size : NULL;
}

/* A store that allows something to be overwritten, a half or bytes, has come
 * before. Who reads meanwhile (snapshot.c) and sees any of what is written
 * over it must see that store too. */
static void
overwriting_follows(void)
{
	atomic_thread_fence(memory_order_release);
}

static void
flip(const struct handoff__view *view)
{
	atomic_store_explicit(&view->rec->current, view->rec->current + 1,
		memory_order_release);
	overwriting_follows();
}

void
handoff__view_make(struct handoff__view *view,
	const struct handoff__segment *seg, uint32_t slot)
{
	view->geo = &seg->geo;
	view->bulletin = seg->bulletin;
	view->rec = handoff__segment_record(seg, slot);
	view->rx = handoff__segment_buffers(seg, slot);
	view->tx = view->rx + 2 * (size_t)seg->geo.rx_size;
}

bool
handoff__positions_ok(const struct handoff__geometry *geo,
	const struct handoff__commit *c, uint64_t rx_head, uint64_t tx_tail)
{
	return rx_head < NEVER && c->tx_head < NEVER && c->rx_tail <= rx_head &&
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
	const struct handoff__commit *c = handoff__current(rec);

	return c->turn == rec->current &&
	       handoff__positions_ok(
		       view->geo, c, rx_head_of(rec), tx_tail_of(rec));
}

int
handoff__record_repair(
	const struct handoff__view *view, uint64_t read, uint64_t written)
{
	struct handoff__record *rec = view->rec;
	const struct handoff__commit *c = handoff__current(rec);
	uint64_t rx_head = rec->rx_base + read,
		 tx_tail = rec->tx_base + written;
	bool stale = rx_head != rx_head_of(rec) || tx_tail != tx_tail_of(rec);

	/* Only forward, and never beyond what had its place in the buffers. */
	if (rx_head < rx_head_of(rec) ||
		rx_head - c->rx_tail > view->geo->rx_size ||
		rx_head - c->rx_origin > 2 * (uint64_t)view->geo->rx_size ||
		tx_tail < tx_tail_of(rec) || tx_tail > c->tx_head)
		return -ERANGE;
	atomic_store(&rec->rx_head, rx_head);
	atomic_store(&rec->tx_tail, tx_tail);
	return stale;
}

/* Copies the current commit and state to the spare ones, where they can be
 * changed without effect until flip. */
static struct handoff__commit *
prepare(const struct handoff__view *view)
{
	struct handoff__commit *next = spare_commit(view);
	uint32_t turn = view->rec->current, current = turn & 1;

	*next = view->rec->commit[current];
	next->turn = turn + 1;
	if (view->geo->state_size > 0)
		memcpy(handoff__record_state(view, current ^ 1),
			handoff__record_state(view, current),
			view->geo->state_size);
	return next;
}

/* Moves unconsumed input to the front of the buffer. It lies in the upper
 * half and is no longer than the lower one, so source and target are apart
 * and the old layout stays true until the flip. */
static void
compact(const struct handoff__view *view)
{
	struct handoff__commit *next = prepare(view);
	size_t len = (size_t)(rx_head_of(view->rec) - next->rx_tail);
	size_t from = (size_t)(next->rx_tail - next->rx_origin);

	assert(from >= len);
	memcpy(view->rx, view->rx + from, len);
	next->rx_origin = next->rx_tail;
	flip(view);
}

size_t
handoff__record_rx_room(const struct handoff__view *view, void **at)
{
	const struct handoff__commit *c = handoff__current(view->rec);
	uint64_t head = rx_head_of(view->rec);
	size_t room = view->geo->rx_size - (size_t)(head - c->rx_tail);

	if (room == 0)
		return 0;
	if (c->rx_tail - c->rx_origin >= view->geo->rx_size) {
		compact(view);
		c = handoff__current(view->rec);
	}
	*at = view->rx + (head - c->rx_origin);
	return room;
}

void
handoff__record_received(const struct handoff__view *view, size_t len)
{
	atomic_store_explicit(&view->rec->rx_head, rx_head_of(view->rec) + len,
		memory_order_release);
}

int
handoff__record_tx_pieces(const struct handoff__view *view, struct iovec iov[2])
{
	const struct handoff__commit *c = handoff__current(view->rec);
	uint64_t tail = tx_tail_of(view->rec);
	size_t len = (size_t)(c->tx_head - tail);
	size_t at = (size_t)((tail - c->tx_origin) & (view->geo->tx_size - 1));
	size_t first = view->geo->tx_size - at;

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

void
handoff__record_sent(const struct handoff__view *view, size_t len)
{
	atomic_store_explicit(&view->rec->tx_tail, tx_tail_of(view->rec) + len,
		memory_order_release);
	overwriting_follows();
}

void
handoff__record_flag(const struct handoff__view *view, uint32_t flags)
{
	struct handoff__commit *next = prepare(view);

	next->flags |= flags;
	flip(view);
}

int
handoff__record_flip(const struct handoff__view *view)
{
	if (spare_commit(view)->turn != view->rec->current + 1)
		return -EINVAL;
	flip(view);
	return 0;
}

void
handoff__record_discard(const struct handoff__view *view)
{
	struct handoff__commit *next = prepare(view);

	next->rx_tail = next->rx_origin = rx_head_of(view->rec);
	flip(view);
}

void
handoff__txn_begin(struct handoff_conn *txn, const struct handoff__view *view)
{
	txn->view = *view;
	txn->next = prepare(view);
	txn->state = handoff__record_state(view, (view->rec->current & 1) ^ 1);
	txn->rx_head = rx_head_of(view->rec);
	txn->tx_tail = tx_tail_of(view->rec);
	/* All output is with the kernel: nothing needs the old bytes. */
	if (txn->tx_tail == txn->next->tx_head)
		txn->next->tx_origin = txn->next->tx_head;
}

void
handoff__txn_commit(struct handoff_conn *txn)
{
	if (txn->next->rx_tail == txn->rx_head)
		txn->next->rx_origin = txn->rx_head;
	flip(&txn->view);
}

uint64_t
handoff_conn_id(const struct handoff_conn *conn)
{
	return conn->view.rec->id;
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

size_t
handoff_conn_room(const struct handoff_conn *conn)
{
	return conn->view.geo->tx_size -
	       (size_t)(conn->next->tx_head - conn->tx_tail);
}

size_t
handoff_conn_write(struct handoff_conn *conn, const void *data, size_t len)
{
	size_t size = conn->view.geo->tx_size;
	size_t room = handoff_conn_room(conn);
	size_t at = (size_t)((conn->next->tx_head - conn->next->tx_origin) &
			     (size - 1));
	size_t first;

	if (len > room)
		len = room;
	first = len < size - at ? len : size - at;
	if (len == 0)
		return 0;
	memcpy(conn->view.tx + at, data, first);
	memcpy(conn->view.tx, (const char *)data + first, len - first);
	conn->next->tx_head += len;
	return len;
}

void *
handoff_conn_state(struct handoff_conn *conn)
{
	return conn->state;
}

void
handoff_conn_close(struct handoff_conn *conn)
{
	conn->next->flags |= HANDOFF__CLOSING;
}

/* Another thread may write it: any value that it ever had will do. */
__attribute__((no_sanitize_thread)) uint64_t
handoff__record_heard(const struct handoff__record *rec)
{
	const struct handoff__commit *c = handoff__current(rec);

	return c->flags & HANDOFF__CLOSING ? UINT64_MAX : c->heard;
}

void
handoff__record_listen(const struct handoff__view *view)
{
	view->rec->commit[view->rec->current & 1].heard =
		handoff__bulletin_head(view->bulletin);
}

/* One line. False if there is no room for it. */
static bool
hear_one(const struct handoff__view *view)
{
	struct handoff_conn txn;
	char text[HANDOFF__LINE_MAX];
	uint64_t position = handoff__current(view->rec)->heard;
	size_t len = handoff__bulletin_read(
		view->bulletin, &position, view->rec->id, text);

	handoff__txn_begin(&txn, view);
	if (len > handoff_conn_room(&txn))
		return false;
	if (len > 0) {
		handoff_conn_write(&txn, text, len);
		view->rec->touched = 1;
	}
	txn.next->heard = position;
	handoff__txn_commit(&txn);
	return true;
}

bool
handoff__record_hear(const struct handoff__view *view)
{
	while (handoff__current(view->rec)->heard <
		handoff__bulletin_head(view->bulletin)) {
		if (!hear_one(view))
			return false;
	}
	return true;
}

void
handoff__record_fill(const struct handoff__view *to,
	const struct handoff__record *from,
	const struct handoff__snapshot *snap, const unsigned char *bytes)
{
	struct handoff__record *rec = to->rec;
	struct handoff__commit *c = &rec->commit[0];

	rec->kind = snap->kind;
	rec->activity = snap->activity;
	rec->rx_base = from->rx_base;
	rec->tx_base = from->tx_base;
	rec->touched = snap->in > 0 || snap->out > 0;
	rec->rx_head = snap->received;
	rec->tx_tail = snap->sent;
	c->rx_tail = c->rx_origin = snap->consumed;
	c->tx_head = snap->produced;
	c->tx_origin = snap->sent;
	c->flags = snap->flags;
	c->heard = handoff__current(from)->heard;
	memcpy(to->rx, bytes, snap->in);
	memcpy(to->tx, bytes + snap->in, snap->out);
}

void
handoff__record_set_name(const struct handoff__view *view, const char *name)
{
	handoff__copy((char *)view->rx, HANDOFF_ADDRESS_MAX, name);
	atomic_store(&view->rec->rx_head, strlen((char *)view->rx) + 1);
}

int
handoff__record_name(const struct handoff__view *view, char *name)
{
	uint64_t len = rx_head_of(view->rec);

	/* The buffer may still hold what a former entry left in it. */
	if (len == 0 || len > HANDOFF_ADDRESS_MAX)
		return -EBADMSG;
	memcpy(name, view->rx, (size_t)len);
	return name[len - 1] == '\0' ? 0 : -EBADMSG;
}
