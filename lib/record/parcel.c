/* SPDX-License-Identifier: MIT */
/*
 * Parcels from records, and records from parcels. What is read of a record may
 * have been written by anybody, and may change meanwhile: it is copied once and
 * checked then (snapshot.c). A record is filled while nobody else looks at it,
 * its id last.
 */
#include "record/parcel.h"

#include "record/desk.h"
#include "record/handling.h"
#include "record/older.h"
#include "record/pass.h"
#include "record/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word, *sentence;
} reasons[HANDOFF__PARCELS] = {
	[HANDOFF__PARCEL_FINE] = {"fine", "it can go"},
	[HANDOFF__PARCEL_FREE] = {"no entry", "there is no entry"},
	[HANDOFF__PARCEL_LISTENER] = {"listener",
		"a listener stays: the other host opens its own"},
	[HANDOFF__PARCEL_EXTRA] = {"extra descriptor",
		"a descriptor that is no connection cannot leave its host"},
	[HANDOFF__PARCEL_DATA] = {"data",
		"data of a program, which is memory of this host, cannot "
		"leave it"},
	[HANDOFF__PARCEL_DAMAGED] = {"damaged record",
		"its record is damaged: end the connection"},
	[HANDOFF__PARCEL_OLDER] = {"older layout",
		"its record has an older layout: hand it over to a program of "
		"this version first"},
	[HANDOFF__PARCEL_ENDING] = {"ending",
		"it is ending: its socket has ended, or nothing is sent any "
		"more"},
	[HANDOFF__PARCEL_TURN] = {"in a turn",
		"it, or its pair, is in a turn: try it again when that is "
		"over"},
	[HANDOFF__PARCEL_POSTS] = {"posts waiting",
		"posts for it wait: it can go after its next turn, or as a "
		"session without a connection if they have 64 KiB at most"},
	[HANDOFF__PARCEL_INBOX] = {"uncommitted input",
		"its program has read input since its last commit: it can go "
		"after the next one"},
};

const char *
handoff__parcel_word(enum handoff__unparcelled why)
{
	return (unsigned)why < HANDOFF__PARCELS ? reasons[why].word : "?";
}

static enum handoff__unparcelled
kind_reason(const struct handoff__record *rec)
{
	switch (rec->kind) {
	case HANDOFF__CONNECTION:
		return HANDOFF__PARCEL_FINE;
	case HANDOFF__LISTENER:
		return HANDOFF__PARCEL_LISTENER;
	case HANDOFF__EXTRA:
		return HANDOFF__PARCEL_EXTRA;
	case HANDOFF__DATA:
		return HANDOFF__PARCEL_DATA;
	default:
		return HANDOFF__PARCEL_DAMAGED;
	}
}

/* A process may have died in the hook for the end: it has to run again. A
 * session outlives its socket, unless it was closed meanwhile. */
static bool
is_ending(uint32_t flags)
{
	uint32_t over = HANDOFF__OVER;

	if (handoff__flags_absent(flags))
		over |= HANDOFF__CLOSING;
	else
		over |= HANDOFF__GONE;
	return (flags & over) || handoff__flags_ending(flags);
}

static bool
in_turn(const struct handoff__record *rec)
{
	return handoff__record_activity(rec) == HANDOFF__IN_TURN ||
	       (handoff__handling(rec) & HANDOFF__HANDLING) ||
	       handoff__desk_of(rec) != 0;
}

/* Bytes of its pair's ring must not change while they are copied, nor its
 * position in this one. */
static bool
pair_in_turn(const struct handoff__view *view)
{
	struct handoff__view pair;

	return handoff__pass_pair(view, &pair) && in_turn(pair.rec);
}

/* Unlike handoff__record_posts_wait it looks for one: after a turn there is
 * certainly none, so it does not refuse for ever. */
static bool
posts_wait(const struct handoff__view *view)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	struct handoff__post_reader reader = handoff__record_reader(view->rec);
	uint64_t position = c->line_pos;
	struct handoff__post post;

	return handoff__record_posts_wait(view) &&
	       handoff__posts_find(
		       view->seg->posts, &reader, &position, &post) != 0;
}

/* Those that wait for an absent session: how many bytes they take in its
 * parcel, where they are put unless `bytes` is NULL, and up to where there are
 * no others. -ENOENT: some were dropped; -ENOBUFS: too many. */
static int
collect_posts(const struct handoff__view *view, unsigned char *bytes,
	uint32_t *len, uint64_t *end)
{
	struct handoff__post_reader reader = handoff__record_reader(view->rec);
	struct handoff__post post;
	int rc = 0;

	*len = 0;
	*end = handoff__record_commit(view->rec)->line_pos;
	while (view->seg->ring && (rc = handoff__posts_find(view->seg->posts,
					   &reader, end, &post)) > 0) {
		uint32_t most = HANDOFF__PARCEL_POSTS_MOST - *len;

		if (most < HANDOFF__PARCEL_POST_HEAD ||
			post.len > most - HANDOFF__PARCEL_POST_HEAD)
			return -ENOBUFS;
		if (bytes) {
			handoff__parcel_put_post(bytes + *len, &post);
			if (!handoff__posts_copy(view->seg->posts, *end, &post,
				    bytes + *len + HANDOFF__PARCEL_POST_HEAD))
				return -ENOENT;
		}
		*len += HANDOFF__PARCEL_POST_HEAD + post.len;
		*end += post.size;
	}
	return rc;
}

/* Whether it has posts that cannot go with it. */
static bool
has_stuck_posts(const struct handoff__view *view)
{
	uint32_t len;
	uint64_t end;

	return collect_posts(view, NULL, &len, &end) < 0;
}

bool
handoff__parcel_outdated(const struct handoff__view *view, uint64_t posts_end)
{
	struct handoff__post_reader reader = handoff__record_reader(view->rec);
	struct handoff__post post;

	return view->seg->ring && handoff__posts_find(view->seg->posts, &reader,
					  &posts_end, &post) != 0;
}

static bool
has_inbox(const struct handoff__record *rec)
{
	const struct handoff__extra *x = &rec->extra;

	return atomic_load(&x->inbox) != 0 && x->inbox_len > 0 &&
	       x->inbox_sequence == handoff__record_sequence(rec);
}

static enum handoff__unparcelled
reason_of(const struct handoff__view *view)
{
	const struct handoff__record *rec = view->rec;
	enum handoff__unparcelled why;

	if (handoff__owner_word(&rec->owner) == 0 ||
		handoff__record_id(rec) == 0)
		return HANDOFF__PARCEL_FREE;
	why = kind_reason(rec);
	if (why != HANDOFF__PARCEL_FINE)
		return why;
	if (handoff__older(view->seg))
		return HANDOFF__PARCEL_OLDER;
	if (in_turn(rec))
		return HANDOFF__PARCEL_TURN;
	if (!handoff__record_ok(view))
		return HANDOFF__PARCEL_DAMAGED;
	if (is_ending(handoff__record_commit(rec)->flags))
		return HANDOFF__PARCEL_ENDING;
	if (pair_in_turn(view))
		return HANDOFF__PARCEL_TURN;
	if (handoff__record_absent(rec) != 0 ? has_stuck_posts(view)
					     : posts_wait(view))
		return HANDOFF__PARCEL_POSTS;
	return has_inbox(rec) ? HANDOFF__PARCEL_INBOX : HANDOFF__PARCEL_FINE;
}

enum handoff__unparcelled
handoff__parcel_refuse(
	const struct handoff__view *view, struct handoff__error *error)
{
	enum handoff__unparcelled why = reason_of(view);

	if (why != HANDOFF__PARCEL_FINE)
		handoff__fail(error, 0, "entry %llu: %s",
			(unsigned long long)handoff__record_id(view->rec),
			reasons[why].sentence);
	return why;
}

void
handoff__parcel_free(struct handoff__parcel *parcel)
{
	if (!parcel)
		return;
	if (parcel->owned)
		explicit_bzero(parcel->owned, parcel->owned_len);
	free(parcel->owned);
	memset(parcel, 0, sizeof(*parcel));
}

/* For how long, which the other host's clock can count on from. What nobody
 * can have seen counts as no time. */
static uint64_t
absence(int64_t since_ms, uint64_t now_ms)
{
	uint64_t ms = now_ms - (uint64_t)since_ms;

	return since_ms > (int64_t)now_ms || ms > HANDOFF__PARCEL_ABSENT_MOST
		       ? 0
		       : ms;
}

/* The state is copied first, then input and output. */
static int
take_stream(struct handoff__parcel *p, const struct handoff__view *view,
	uint64_t now_ms, unsigned char *bytes)
{
	const struct handoff__geometry *geo = &view->seg->geo;
	struct handoff__snapshot snap;
	unsigned char *at = bytes + geo->state_size;

	if (!handoff__snapshot_take(&snap, view,
		    geo->state_size > 0 ? bytes : NULL, at,
		    (size_t)geo->rx_size + geo->tx_size) ||
		snap.unstable)
		return -EBADMSG;
	p->id = snap.id;
	p->kind = snap.kind;
	p->activity = snap.activity;
	p->flags = snap.flags & ~(uint32_t)HANDOFF__TRANSIENT;
	p->deaths = snap.deaths;
	p->session = snap.session;
	p->absent = handoff__flags_absent(snap.flags);
	p->absent_ms = p->absent ? absence(snap.absent_ms, now_ms) : 0;
	p->consumed = snap.consumed;
	p->produced = snap.produced;
	p->rx_base = snap.received;
	p->tx_base = snap.sent;
	p->state = bytes;
	p->in = at;
	p->out = at + snap.in;
	p->state_len = snap.state_len;
	p->in_len = snap.in;
	p->out_len = snap.out;
	return 0;
}

static int
take_passed(struct handoff__parcel *p, const struct handoff__view *view,
	unsigned char *bytes)
{
	const struct handoff__commit *c = handoff__record_commit(view->rec);
	const struct handoff__wish *wish;
	uint32_t from, len;
	int err = handoff__pass_untaken(view, &from, &len);

	p->pass_head = c->pass_head;
	p->pass_tail = c->pass_tail;
	if (err < 0 || view->seg->geo.pass_size == 0)
		return err;
	handoff__pass_get(view, from, bytes, len);
	p->pass = bytes;
	p->pass_len = len;
	p->pass_head = from + len;
	wish = handoff__pass_wish(view, p->flags);
	p->wish_error = atomic_load(&wish->error);
	memcpy(p->wish, wish->address, sizeof(p->wish));
	p->wish[sizeof(p->wish) - 1] = '\0';
	return 0;
}

static void
take_extra(struct handoff__parcel *p, const struct handoff__record *rec,
	uint64_t now_ms)
{
	const struct handoff__extra *x = &rec->extra;
	uint64_t deadline = handoff__record_deadline(rec);

	p->old_rx_base = rec->rx_base;
	p->old_tx_base = rec->tx_base;
	p->pair = atomic_load(&x->pair);
	p->leader = atomic_load(&x->leader);
	p->outgoing = x->outgoing != 0;
	p->tag = atomic_load(&x->tag);
	p->since_ms = atomic_load(&x->since_ms);
	p->timed = deadline > 0;
	p->remaining_ms = deadline > now_ms ? deadline - now_ms : 0;
	p->client = x->client;
	handoff__record_label(rec, p->label);
}

static void
take_geometry(struct handoff__parcel *p, const struct handoff__geometry *geo)
{
	p->state_size = geo->state_size;
	p->state_version = geo->state_version;
	p->rx_size = geo->rx_size;
	p->tx_size = geo->tx_size;
	p->pass_size = geo->pass_size;
}

int
handoff__parcel_take(struct handoff__parcel *parcel,
	const struct handoff__view *view, uint64_t now_ms,
	struct handoff__error *error)
{
	const struct handoff__geometry *geo = &view->seg->geo;
	size_t size = (size_t)geo->state_size + geo->rx_size + geo->tx_size;
	struct handoff__parcel p = {.id = 0};
	unsigned char *bytes;
	int err;

	if (handoff__parcel_refuse(view, error) != HANDOFF__PARCEL_FINE)
		return -EBUSY;
	bytes = malloc(size + geo->pass_size + HANDOFF__PARCEL_POSTS_MOST);
	if (!bytes)
		return handoff__fail(error, -ENOMEM,
			"entry %llu: no memory for %zu bytes of its buffers",
			(unsigned long long)handoff__record_id(view->rec),
			size + geo->pass_size + HANDOFF__PARCEL_POSTS_MOST);
	p.owned = bytes;
	p.owned_len = size + geo->pass_size;
	take_geometry(&p, geo);
	take_extra(&p, view->rec, now_ms);
	err = take_stream(&p, view, now_ms, bytes);
	if (err == 0)
		err = take_passed(&p, view, bytes + size);
	if (err == 0 && p.absent) {
		p.posts = bytes + size + geo->pass_size;
		err = collect_posts(view, bytes + size + geo->pass_size,
			&p.posts_len, &p.posts_end);
	}
	if (err < 0)
		handoff__fail(error, err, "entry %llu: its record is damaged",
			(unsigned long long)p.id);
	else
		err = handoff__parcel_check(&p, error);
	if (err < 0)
		handoff__parcel_free(&p);
	else
		*parcel = p;
	return err;
}

/* The positions of a connection that the server reads and writes itself begin
 * where its base is; a program of handoff_peer(3) leaves them at 0, or at the
 * length of a name. */
static bool
disagrees(uint64_t position, uint64_t in_buffer, uint64_t counted)
{
	return position != counted && position != in_buffer && position != 0;
}

/* Modulo 2^64: a base may be negative. */
int
handoff__parcel_counted(struct handoff__parcel *parcel, uint64_t read,
	uint64_t written, uint64_t outq, struct handoff__error *error)
{
	uint64_t received = parcel->consumed + parcel->in_len;
	uint64_t sent = parcel->produced - parcel->out_len;

	read += parcel->old_rx_base;
	written += parcel->old_tx_base;
	if (disagrees(received, parcel->in_len, read) ||
		disagrees(sent, 0, written))
		return handoff__fail(error, -EBADMSG,
			"connection %llu: the kernel says %llu bytes read and "
			"%llu written, its record %llu and %llu",
			(unsigned long long)parcel->id,
			(unsigned long long)read, (unsigned long long)written,
			(unsigned long long)received, (unsigned long long)sent);
	parcel->rx_base = read;
	parcel->tx_base = written - outq;
	return 0;
}

static int
too_small(const struct handoff__parcel *p, const char *what, uint64_t len,
	uint64_t room, struct handoff__error *error)
{
	return handoff__fail(error, -EMSGSIZE,
		"connection %llu: %llu bytes of %s do not fit into the %llu "
		"that this host has for them: give its service larger buffers",
		(unsigned long long)p->id, (unsigned long long)len, what,
		(unsigned long long)room);
}

static int
check_room(const struct handoff__parcel *p, const struct handoff__geometry *geo,
	struct handoff__error *error)
{
	if (geo->layout != HANDOFF__LAYOUT ||
		geo->state_size != p->state_size ||
		geo->state_version != p->state_version)
		return handoff__fail(error, -EPROTO,
			"connection %llu: its state has %u bytes and version "
			"%u, the record is for %u bytes and version %u",
			(unsigned long long)p->id, p->state_size,
			p->state_version, geo->state_size, geo->state_version);
	if (p->in_len > geo->rx_size)
		return too_small(
			p, "unread input", p->in_len, geo->rx_size, error);
	if (p->out_len > geo->tx_size)
		return too_small(
			p, "unsent output", p->out_len, geo->tx_size, error);
	if (p->pass_len > geo->pass_size)
		return too_small(p, "what it passes to its pair", p->pass_len,
			geo->pass_size, error);
	if ((p->flags & HANDOFF__PAIRED) && geo->pass_size == 0)
		return too_small(
			p, "a ring to its pair", p->pass_size, 0, error);
	return 0;
}

/* The output goes where its positions say, as if the ring had begun with the
 * stream: so there is room in front of it, see put_back. */
static void
put_output(const struct handoff__view *view, uint64_t position,
	const unsigned char *bytes, size_t len)
{
	size_t size = view->seg->geo.tx_size;
	size_t at = (size_t)(position & (size - 1));
	size_t first = size - at < len ? size - at : len;

	if (len == 0)
		return;
	memcpy(view->tx + at, bytes, first);
	memcpy(view->tx, bytes + first, len - first);
}

static void
fill_stream(const struct handoff__view *view, const struct handoff__parcel *p)
{
	struct handoff__record *rec = view->rec;
	struct handoff__commit *c = &rec->commit[0];
	uint64_t sent = p->produced - p->out_len;

	rec->kind = p->kind;
	handoff__record_mark(rec, (enum handoff__activity)p->activity);
	handoff__handling_set(rec, p->deaths);
	handoff__record_set_positions(rec, p->consumed + p->in_len, sent);
	rec->rx_base = p->rx_base;
	rec->tx_base = p->tx_base;
	handoff__record_use_state(view, p->state_len);
	if (p->state_len > 0)
		memcpy(handoff__record_state(view, 0), p->state, p->state_len);
	c->rx_tail = c->rx_origin = p->consumed;
	c->tx_head = p->produced;
	c->tx_origin = p->out_len > 0 ? 0 : sent;
	c->flags = p->flags;
	if (p->in_len > 0)
		memcpy(view->rx, p->in, p->in_len);
	put_output(view, sent, p->out, p->out_len);
	if (p->in_len > 0 || p->out_len > 0)
		rec->touched |= HANDOFF__PAGES;
}

static void
fill_passed(const struct handoff__view *view, const struct handoff__parcel *p)
{
	struct handoff__commit *c = &view->rec->commit[0];
	struct handoff__wish *wish;

	c->pass_head = p->pass_head;
	c->pass_tail = p->pass_tail;
	if (view->seg->geo.pass_size == 0)
		return;
	if (p->pass_len > 0)
		handoff__pass_put(
			view, p->pass_head - p->pass_len, p->pass, p->pass_len);
	if (p->wish[0] == '\0' && p->wish_error == 0)
		return;
	/* whoever takes it makes the connection anew */
	wish = handoff__pass_wish(view, p->flags);
	memcpy(wish->address, p->wish, sizeof(wish->address));
	atomic_store(&wish->error, p->wish_error);
}

/* The record has the position itself, unless its program counts. */
static uint64_t
owed(const struct handoff__parcel *p)
{
	uint64_t counted = p->tx_base + p->outq;

	if (counted == p->produced - p->out_len)
		return 0;
	return p->outq_ends ? counted | HANDOFF__OWED_END : counted;
}

/* Before the host has booted, possibly; and 0 would say that it is not. */
static int64_t
absent_since(const struct handoff__parcel *p, uint64_t now_ms)
{
	int64_t since = (int64_t)now_ms - (int64_t)p->absent_ms;

	return since != 0 ? since : -1;
}

static void
fill_extra(struct handoff__record *rec, const struct handoff__parcel *p,
	uint64_t now_ms)
{
	struct handoff__extra *x = &rec->extra;

	if (p->timed) {
		atomic_store(&x->deadline_ms[0], now_ms + p->remaining_ms + 1);
		rec->commit[0].deadline = 1;
		rec->touched |= HANDOFF__TIMED;
	}
	atomic_store(&x->tag, p->tag);
	atomic_store(&x->owed, p->absent ? 0 : owed(p));
	if (p->absent)
		atomic_store(&x->absent_ms, absent_since(p, now_ms));
	/* in no segment: until it is linked there is none */
	x->pair_segment = x->leader_segment = UINT32_MAX;
	atomic_store(&x->leader, p->leader);
	atomic_store(&x->pair, p->pair);
	atomic_store(&x->since_ms, p->since_ms);
	x->outgoing = p->outgoing;
	atomic_store(&x->session, p->session);
	x->client = p->client;
	handoff__record_set_label(rec, p->label);
}

int
handoff__parcel_fill(const struct handoff__view *view,
	const struct handoff__parcel *parcel, uint64_t now_ms,
	struct handoff__error *error)
{
	int err = handoff__parcel_check(parcel, error);

	if (err == 0)
		err = check_room(parcel, &view->seg->geo, error);
	if (err < 0)
		return err;
	fill_stream(view, parcel);
	fill_passed(view, parcel);
	fill_extra(view->rec, parcel, now_ms);
	handoff__record_skip_posts(view);
	handoff__record_set_id(view->rec, parcel->id);
	return 0;
}

bool
handoff__parcel_link(
	const struct handoff__view *view, const struct handoff__view *other)
{
	struct handoff__extra *x = &view->rec->extra;
	uint64_t id = handoff__record_id(other->rec);
	bool found = false;

	if (id == 0)
		return false;
	if (atomic_load(&x->pair) == id) {
		x->pair_segment = other->seg->index;
		x->pair_slot = handoff__segment_slot(other->seg, other->rec);
		found = true;
	}
	if (atomic_load(&x->leader) == id) {
		x->leader_segment = other->seg->index;
		x->leader_slot = handoff__segment_slot(other->seg, other->rec);
		found = true;
	}
	return found;
}

int
handoff__parcel_put_back(const struct handoff__view *view,
	const unsigned char *bytes, size_t len, struct handoff__error *error)
{
	struct handoff__record *rec = view->rec;
	struct handoff__commit *c =
		handoff__commit_of(rec, handoff__record_sequence(rec));
	uint64_t sent = handoff__tx_tail(rec), unsent = c->tx_head - sent;
	uint64_t size = view->seg->geo.tx_size;

	if (len > sent || unsent > size || len > size - unsent)
		return handoff__fail(error, -EMSGSIZE,
			"connection %llu: %zu bytes that its new socket did "
			"not take do not fit into its buffer of %llu, which "
			"has %llu already",
			(unsigned long long)handoff__record_id(rec), len,
			(unsigned long long)size, (unsigned long long)unsent);
	if (unsent == 0)
		c->tx_origin = 0;
	rec->touched |= HANDOFF__PAGES;
	handoff__record_mark(rec, HANDOFF__PENDING);
	put_output(view, sent - len, bytes, len);
	handoff__record_set_positions(rec, handoff__rx_head(rec), sent - len);
	return 0;
}
