/* SPDX-License-Identifier: MIT */
/*
 * The two rings of a pair. Positions are the lower 32 bits of counts of bytes,
 * from 0 for each new pair. While there is no pair nothing is taken: the reader
 * of a connection's ring is then at 0.
 *
 * The pair's record may be written by another thread while this one reads it
 * (usually one thread serves both): its commit is read as with a seqlock.
 */
#include "record/pass.h"

#include "base/addr.h"

#include <errno.h>
#include <string.h>

/* What is read of a pair's commit. */
struct other {
	struct handoff__view view;
	uint64_t id;
	uint32_t flags, head, tail;
};

unsigned char *
handoff__record_pass(const struct handoff__view *view)
{
	const struct handoff__segment *seg = view->seg;

	return handoff__segment_buffers(
		       seg, handoff__segment_slot(view->seg, view->rec)) +
	       2 * (size_t)seg->geo.rx_size + seg->geo.tx_size;
}

/* The server's thread may clear the record meanwhile, its id first: so what was
 * read of it holds only if the id is the same after that. */
static __attribute__((noinline, no_sanitize_thread)) bool
has_id(const struct handoff__record *rec, uint64_t id)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&rec->id, memory_order_acquire) == id;
}

bool
handoff__pass_pair(const struct handoff__view *view, struct handoff__view *pair)
{
	const struct handoff__extra *extra = &view->rec->extra;
	const struct handoff__arena *arena = view->seg->arena;
	uint64_t id = atomic_load_explicit(&extra->pair, memory_order_acquire);
	struct handoff__record *rec;

	if (id == 0)
		return false;
	rec = handoff__arena_record(
		arena, extra->pair_segment, extra->pair_slot);
	if (!rec || !has_id(rec, id))
		return false;
	handoff__view_make(
		pair, arena->segments[extra->pair_segment], extra->pair_slot);
	/* never of an older layout, which has no such field, or without a
	 * ring */
	return pair->seg->geo.layout == HANDOFF__LAYOUT &&
	       pair->seg->geo.pass_size > 0;
}

/* Another thread may write the half that is not valid any more: then the
 * sequence has changed, and it is read again. */
static __attribute__((no_sanitize_thread)) void
read_commit(struct other *o)
{
	const struct handoff__record *rec = o->view.rec;
	uint32_t sequence;

	do {
		const struct handoff__commit *c;

		sequence = atomic_load_explicit(
			&rec->sequence, memory_order_acquire);
		c = &rec->commit[sequence & 1];
		o->flags = *(const volatile uint32_t *)&c->flags;
		o->head = *(const volatile uint32_t *)&c->pass_head;
		o->tail = *(const volatile uint32_t *)&c->pass_tail;
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&rec->sequence, memory_order_relaxed) !=
		 sequence);
}

static bool
load(const struct handoff__view *view, struct other *o)
{
	if (!handoff__pass_pair(view, &o->view))
		return false;
	o->id = atomic_load_explicit(
		&view->rec->extra.pair, memory_order_relaxed);
	read_commit(o);
	return has_id(o->view.rec, o->id);
}

void
handoff__pass_join(
	const struct handoff__view *client, const struct handoff__view *backend)
{
	struct handoff__extra *c = &client->rec->extra,
			      *b = &backend->rec->extra;
	uint64_t id = handoff__record_id(client->rec);

	b->pair_segment = client->seg->index;
	b->pair_slot = handoff__segment_slot(client->seg, client->rec);
	atomic_store(&b->pair, id);
	b->outgoing = 1;
	handoff__record_flag(backend, HANDOFF__PAIRED);
	c->pair_segment = backend->seg->index;
	c->pair_slot = handoff__segment_slot(backend->seg, backend->rec);
	/* the two are a pair from here on */
	atomic_store_explicit(&c->pair, handoff__record_id(backend->rec),
		memory_order_release);
}

/* Bytes of the pair's ring that are still to be taken; impossible positions
 * count as none. */
static uint32_t
waiting(const struct other *o, const struct handoff__commit *c)
{
	uint32_t len = o->head - c->pass_tail;

	return len <= o->view.seg->geo.pass_size ? len : 0;
}

static bool
ends(const struct other *o)
{
	return (o->flags & (HANDOFF__PASS_END | HANDOFF__CLOSING |
				   HANDOFF__GONE)) != 0;
}

uint32_t
handoff__pass_due(
	const struct handoff__view *view, const struct handoff__commit *c)
{
	struct other o;
	uint32_t due = HANDOFF__PASS_HERE;

	if (!load(view, &o)) {
		bool waits =
			(c->flags & HANDOFF__CONNECT) &&
			atomic_load(
				&handoff__pass_wish(view, c->flags)->error) ==
				0;

		if (!waits)
			return HANDOFF__PASS_TELL | HANDOFF__PASS_TAKEN;
		return due | HANDOFF__PASS_TAKEN;
	}
	if (waiting(&o, c) > 0 || (ends(&o) && !(c->flags & HANDOFF__SHUT)))
		due |= HANDOFF__PASS_TAKE;
	/* the client must not connect again what has been used */
	if (o.tail == c->pass_head && !(o.flags & HANDOFF__CONNECT))
		due |= HANDOFF__PASS_TAKEN;
	if ((c->flags & HANDOFF__CONNECT) &&
		(o.flags & (HANDOFF__OPENED | HANDOFF__GONE)))
		due |= HANDOFF__PASS_SETTLE;
	return due;
}

void
handoff__pass_put(const struct handoff__view *view, uint32_t at,
	const unsigned char *data, uint32_t len)
{
	unsigned char *ring = handoff__pass_ring(view);
	uint32_t size = view->seg->geo.pass_size, to = at & (size - 1);
	uint32_t first = size - to < len ? size - to : len;

	memcpy(ring + to, data, first);
	memcpy(ring, data + first, len - first);
}

/* Appends up to `len` bytes of the pair's ring to the output. */
static uint32_t
move(struct handoff_conn *txn, const struct other *o, uint32_t len)
{
	const unsigned char *ring = handoff__pass_ring(&o->view);
	uint32_t size = o->view.seg->geo.pass_size;
	uint32_t from = txn->next->pass_tail & (size - 1), done;
	uint32_t first = size - from < len ? size - from : len;

	done = (uint32_t)handoff_conn_write(txn, ring + from, first);
	if (done == first && len > first)
		done += (uint32_t)handoff_conn_write(txn, ring, len - first);
	return done;
}

void
handoff__pass_take(const struct handoff__view *view, bool drop)
{
	struct handoff_conn txn;
	struct handoff__commit *next;
	struct other o;
	uint32_t len, done;

	if (!load(view, &o))
		return;
	handoff__txn_begin(&txn, view);
	next = txn.next;
	len = waiting(&o, next);
	done = drop ? len : move(&txn, &o, len);
	/* the bytes may have been cleared while they were copied */
	if (!has_id(o.view.rec, o.id))
		return;
	next->pass_tail += done;
	/* OPENED: the client no longer has to connect it again */
	next->flags |= HANDOFF__OPENED;
	if (done == len && ends(&o))
		next->flags |= HANDOFF__SHUT;
	if (done > 0)
		handoff__record_touch(view->rec);
	handoff__txn_commit(&txn);
	view->rec->touched |= HANDOFF__TOUCHED_PAIR;
}

void
handoff__pass_settle(const struct handoff__view *view)
{
	struct handoff__commit *next = handoff__prepare(view);

	next->flags &= ~(uint32_t)HANDOFF__CONNECT;
	handoff__flip(view);
	view->rec->touched |= HANDOFF__TOUCHED_PAIR;
}

void
handoff__pass_over(const struct handoff__view *view)
{
	struct handoff__commit *next = handoff__prepare(view);

	/* a pair that was connected has ended; otherwise it is known why it
	 * could not be, and what was passed waits for another one */
	if (!(next->flags & HANDOFF__CONNECT)) {
		atomic_store(
			&handoff__pass_wish(view, next->flags)->error, EPIPE);
		next->pass_head = 0;
	}
	next->pass_tail = 0;
	next->flags &= ~(uint32_t)(HANDOFF__PAIRED | HANDOFF__CONNECT |
				   HANDOFF__PASS_END);
	next->flags |= HANDOFF__PAIR_OVER;
	handoff__flip(view);
}

bool
handoff__pass_to_dial(const struct handoff__view *view, uint32_t place)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	const struct handoff__wish *wish;
	struct handoff__view pair;

	if (!(c->flags & HANDOFF__CONNECT) ||
		(c->flags & (HANDOFF__CLOSING | HANDOFF__GONE)) ||
		handoff__pass_pair(view, &pair))
		return false;
	wish = handoff__pass_wish(view, c->flags);
	return atomic_load(&wish->error) == 0 &&
	       (place == 0 || atomic_load(&wish->dialer) != place);
}

void
handoff__pass_outlive(const struct handoff__view *view, uint32_t end)
{
	atomic_store(&handoff__pass_head(view)->end, end);
	handoff__record_flag(
		view, HANDOFF__GONE | HANDOFF__EOF | HANDOFF__EOF_DONE);
}

void
handoff__pass_trim(const struct handoff__view *view)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);

	if (view->seg->geo.pass_size == 0)
		return;
	if (!(c->flags & HANDOFF__PAIRED) ||
		(!(c->flags & HANDOFF__CONNECT) &&
			(handoff__pass_due(view, c) & HANDOFF__PASS_TAKEN)))
		handoff__arena_trim_pass(
			view->seg, handoff__segment_slot(view->seg, view->rec));
}

int
handoff__pass_untaken(
	const struct handoff__view *view, uint32_t *from, uint32_t *len)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	struct other o;

	*from = c->pass_head;
	*len = 0;
	if (view->seg->geo.pass_size == 0)
		return 0;
	if (load(view, &o))
		*from = o.tail;
	else if (!(c->flags & HANDOFF__PAIRED) || (c->flags & HANDOFF__CONNECT))
		*from = 0; /* it waits for a pair that is still to come */
	*len = c->pass_head - *from;
	return *len <= view->seg->geo.pass_size ? 0 : -EBADMSG;
}

void
handoff__pass_get(const struct handoff__view *view, uint32_t from,
	unsigned char *data, uint32_t len)
{
	const unsigned char *ring = handoff__pass_ring(view);
	uint32_t size = view->seg->geo.pass_size, at = from & (size - 1);
	uint32_t first = size - at < len ? size - at : len;

	memcpy(data, ring + at, first);
	memcpy(data + first, ring, len - first);
}

int
handoff__pass_carry(
	const struct handoff__view *to, const struct handoff__view *from)
{
	const struct handoff__commit *c = handoff__record_commit(from->rec);
	struct handoff__commit *next =
		handoff__commit_of(to->rec, handoff__record_sequence(to->rec));
	uint32_t size = from->seg->geo.pass_size, len, first, start, at;
	int err = handoff__pass_untaken(from, &start, &len);

	if (err < 0 || size == 0)
		return err;
	if (len > to->seg->geo.pass_size ||
		((c->flags & HANDOFF__PAIRED) && to->seg->geo.pass_size == 0))
		return -EMSGSIZE;
	if (to->seg->geo.pass_size == 0)
		return 0;
	memcpy(handoff__pass_head(to), handoff__pass_head(from),
		sizeof(struct handoff__pass_head));
	at = start & (size - 1);
	first = size - at < len ? size - at : len;
	handoff__pass_put(to, start, handoff__pass_ring(from) + at, first);
	handoff__pass_put(
		to, start + first, handoff__pass_ring(from), len - first);
	next->pass_head = c->pass_head;
	next->pass_tail = c->pass_tail;
	return 0;
}

bool
handoff_conn_outgoing(const struct handoff_conn *conn)
{
	return conn->view.rec->extra.outgoing != 0;
}

uint64_t
handoff_conn_pair(const struct handoff_conn *conn)
{
	struct handoff__view pair;

	return (conn->next->flags & HANDOFF__PAIRED) &&
			       handoff__pass_pair(&conn->view, &pair)
		       ? atomic_load(&conn->view.rec->extra.pair)
		       : 0;
}

int
handoff_conn_pair_error(const struct handoff_conn *conn)
{
	uint32_t flags = conn->next->flags;
	uint32_t error;

	if (flags & HANDOFF__PAIRED)
		return 0;
	if (conn->view.seg->geo.pass_size == 0)
		return -ENOTCONN;
	error = atomic_load(&handoff__pass_wish(&conn->view, flags)->error);
	return error > 0 ? -(int)error : -ENOTCONN;
}

int
handoff_conn_connect(struct handoff_conn *conn, const char *address)
{
	struct handoff__commit *next = conn->next;
	struct sockaddr_storage ss;
	struct handoff__wish *wish;
	socklen_t len;
	int err;

	if (conn->view.seg->geo.pass_size == 0)
		return -EOPNOTSUPP;
	if (next->flags & HANDOFF__PAIRED)
		return -EISCONN;
	err = address && strlen(address) < HANDOFF_ADDRESS_MAX
		      ? handoff__addr_numeric(address, &ss, &len)
		      : -EINVAL;
	if (err < 0)
		return err;
	next->flags ^= HANDOFF__WISH;
	wish = handoff__pass_wish(&conn->view, next->flags);
	handoff__copy(wish->address, sizeof(wish->address), address);
	atomic_store(&wish->error, 0);
	atomic_store(&wish->dialer, 0);
	/* no longer the pair that has ended */
	atomic_store(&conn->view.rec->extra.pair, 0);
	next->flags |= HANDOFF__PAIRED | HANDOFF__CONNECT;
	return 0;
}

static uint32_t
room_of_ring(const struct handoff_conn *conn)
{
	const struct handoff__commit *next = conn->next;
	uint32_t size = conn->view.seg->geo.pass_size, used;
	struct other o;

	if ((next->flags & (HANDOFF__PAIRED | HANDOFF__PASS_END)) !=
		HANDOFF__PAIRED)
		return 0;
	if (!load(&conn->view, &o))
		o.tail = 0;
	used = next->pass_head - o.tail;
	return used < size ? size - used : 0;
}

size_t
handoff_conn_pass_room(const struct handoff_conn *conn)
{
	return room_of_ring(conn);
}

size_t
handoff_conn_pass(struct handoff_conn *conn, const void *data, size_t len)
{
	uint32_t room = room_of_ring(conn);

	if (len > room)
		len = room;
	if (len == 0)
		return 0;
	handoff__pass_put(
		&conn->view, conn->next->pass_head, data, (uint32_t)len);
	conn->next->pass_head += (uint32_t)len;
	return len;
}

void
handoff_conn_pass_end(struct handoff_conn *conn)
{
	if (conn->next->flags & HANDOFF__PAIRED)
		conn->next->flags |= HANDOFF__PASS_END;
}
