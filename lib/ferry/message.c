/* SPDX-License-Identifier: MIT */
/*
 * The codecs of the messages between two ferries. Pure: bytes in, structures
 * out, no allocation and no system call, so that a fuzzer can feed it. Each
 * part of the format is a pair of functions that must agree, and a check that
 * both directions pass through.
 */
#include "ferry/message.h"

#include "base/wire.h"

#include <errno.h>
#include <string.h>

#define MAGIC 0x59525246u /* FRRY */

/* What a message of a type carries, in this order. */
enum part {
	BATCH = 0x1,      /* batch */
	COUNT = 0x2,      /* count */
	INDEX = 0x4,      /* index */
	ROUND = 0x8,      /* round */
	COMMITTED = 0x10, /* committed */
	FLAGS = 0x20,     /* flags */
	TEXT = 0x40,      /* text */
	HELLO = 0x80,
	BEGIN = 0x100,
	REPORT = 0x200,
	NAMED = 0x400,    /* named */
	SENTENCE = 0x800, /* the text is not empty */
	CARGO = 0x1000,   /* parcel and image */
	REGION = 0x2000,  /* offset and bytes */
};

struct row {
	const char *name;
	uint32_t type, parts;
};

static const struct row rows[] = {
	{"HELLO", HANDOFF__LETTER_HELLO, HELLO},
	{"BEGIN", HANDOFF__LETTER_BEGIN, FLAGS | BEGIN},
	{"BEGUN", HANDOFF__LETTER_BEGUN, 0},
	{"REFUSED", HANDOFF__LETTER_REFUSED, TEXT | SENTENCE},
	{"FETCH", HANDOFF__LETTER_FETCH, FLAGS},
	{"REPORT", HANDOFF__LETTER_REPORT, TEXT | REPORT},
	{"REGION", HANDOFF__LETTER_REGION, REGION},
	{"ADDRESS", HANDOFF__LETTER_ADDRESS, 0},
	{"ADDRESSED", HANDOFF__LETTER_ADDRESSED, 0},
	{"BATCH", HANDOFF__LETTER_BATCH, BATCH | COUNT},
	{"ENTRY", HANDOFF__LETTER_ENTRY, BATCH | INDEX | CARGO},
	{"END", HANDOFF__LETTER_END, BATCH},
	{"PREPARED", HANDOFF__LETTER_PREPARED, BATCH | ROUND | NAMED},
	{"WITHDRAW", HANDOFF__LETTER_WITHDRAW, BATCH | ROUND | NAMED},
	{"COMMIT", HANDOFF__LETTER_COMMIT, BATCH},
	{"SERVING", HANDOFF__LETTER_SERVING, BATCH},
	{"FORGET", HANDOFF__LETTER_FORGET, BATCH},
	{"ABORT", HANDOFF__LETTER_ABORT, BATCH | TEXT},
	{"QUERY", HANDOFF__LETTER_QUERY, BATCH},
	{"VERDICT", HANDOFF__LETTER_VERDICT, BATCH | COMMITTED},
	{"LOST", HANDOFF__LETTER_LOST, BATCH},
	{"BYE", HANDOFF__LETTER_BYE, TEXT},
};

static const struct row *
row_of(uint32_t type)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].type == type)
			return &rows[i];
	}
	return NULL;
}

const char *
handoff__letter_name(uint32_t type)
{
	const struct row *row = row_of(type);

	return row ? row->name : "unknown";
}

static bool
address_ok(uint32_t family, const uint8_t ip[16])
{
	static const uint8_t zero[12];

	return family == 6 ||
	       (family == 4 && memcmp(ip + 4, zero, sizeof(zero)) == 0);
}

static const char *
bad_hello(const struct handoff__letter_hello *h)
{
	if (h->version_min == 0 || h->version_min > h->version_max)
		return "versions";
	if (h->flags & ~(HANDOFF__LETTER_HAS_SERVER | HANDOFF__LETTER_AT_HOME |
			       HANDOFF__LETTER_KNOWS | HANDOFF__LETTER_STRICT |
			       HANDOFF__LETTER_HOOKED | HANDOFF__LETTER_GUEST))
		return "flags";
	if ((h->service[0] && !handoff__name_ok(h->service)) ||
		!handoff__name_ok(h->name))
		return "names";
	if (h->naddresses > HANDOFF__LETTER_ADDRESSES)
		return "number of addresses";
	for (uint32_t i = 0; i < h->naddresses; i++) {
		const struct handoff__letter_address *a = &h->addresses[i];

		if (!address_ok(a->family, a->ip) ||
			a->prefix > (a->family == 4 ? 32 : 128))
			return "addresses";
	}
	return NULL;
}

static const char *
bad_begin(const struct handoff__letter_begin *b)
{
	if (b->nlisteners > HANDOFF__LETTER_LISTENERS)
		return "number of listeners";
	for (uint32_t i = 0; i < b->nlisteners; i++) {
		const struct handoff__letter_listener *l = &b->listeners[i];

		if (!address_ok(l->family, l->ip) || l->port == 0 ||
			l->flags & ~(HANDOFF__LETTER_V6ONLY |
					   HANDOFF__LETTER_REUSEPORT))
			return "listeners";
	}
	return NULL;
}

static const char *
bad_report(const struct handoff__letter_report *r)
{
	if (r->ok > 1 || r->partial > 1)
		return "outcome";
	if (r->nwhys > HANDOFF__LETTER_WHYS)
		return "number of reasons";
	return NULL;
}

static const char *
bad_named(const struct handoff__letter *l)
{
	if (l->nnamed > HANDOFF__LETTER_NAMED ||
		(l->type == HANDOFF__LETTER_WITHDRAW && l->nnamed == 0))
		return "number of entries";
	for (uint32_t i = 0; i < l->nnamed; i++) {
		if (l->named[i].index >= HANDOFF__LETTER_ENTRIES ||
			(i > 0 && l->named[i].index <= l->named[i - 1].index))
			return "order of entries";
	}
	return NULL;
}

static const char *
bad_bytes(const struct handoff__letter *l, uint32_t parts)
{
	if (parts & CARGO && (l->parcel_len > HANDOFF__LETTER_ENTRY_MAX ||
				     l->image_len > HANDOFF__LETTER_ENTRY_MAX -
							    l->parcel_len))
		return "parcel and image (16 MiB at most)";
	if (parts & CARGO && l->parcel_len == 0)
		return "parcel";
	if (parts & REGION &&
		(l->len == 0 || l->len > HANDOFF__LETTER_REGION_MAX ||
			l->offset > UINT32_MAX - l->len))
		return "part of the region";
	return NULL;
}

static const char *
bad_number(const struct handoff__letter *l, uint32_t parts)
{
	if (parts & BATCH && l->batch == 0)
		return "batch";
	if (parts & COUNT &&
		(l->count == 0 || l->count > HANDOFF__LETTER_ENTRIES))
		return "number of entries";
	if (parts & INDEX && l->index >= HANDOFF__LETTER_ENTRIES)
		return "index";
	if (parts & FLAGS &&
		l->flags & ~(HANDOFF__LETTER_WHOLE | HANDOFF__LETTER_DRY |
				   HANDOFF__LETTER_REST))
		return "flags";
	return parts & SENTENCE && l->text[0] == '\0' ? "sentence" : NULL;
}

static const char *
bad_letter(const struct handoff__letter *l, uint32_t parts)
{
	const char *bad = bad_number(l, parts);

	if (!bad)
		bad = bad_bytes(l, parts);
	if (!bad && parts & HELLO)
		bad = bad_hello(&l->hello);
	if (!bad && parts & BEGIN)
		bad = bad_begin(&l->begin);
	if (!bad && parts & REPORT)
		bad = bad_report(&l->report);
	if (!bad && parts & NAMED)
		bad = bad_named(l);
	return bad;
}

static void
put_bytes(struct handoff__wire *w, const void *bytes, size_t len)
{
	if (w->bad || w->size - w->pos < len) {
		w->bad = true;
		return;
	}
	memcpy(w->data + w->pos, bytes, len);
	w->pos += len;
}

static void
get_bytes(struct handoff__wire *w, void *bytes, size_t len)
{
	memset(bytes, 0, len);
	if (w->bad || w->size - w->pos < len) {
		w->bad = true;
		return;
	}
	memcpy(bytes, w->data + w->pos, len);
	w->pos += len;
}

static bool
printable(unsigned char c)
{
	return c >= ' ' && c < 0x7f;
}

/* A text of one line that any terminal can show: other bytes become "?". */
static void
put_line(struct handoff__wire *w, const char *text, size_t width)
{
	size_t begin = w->pos;

	handoff__put_text(w, text, width);
	for (size_t i = begin; !w->bad && i < w->pos && w->data[i]; i++) {
		if (!printable(w->data[i]))
			w->data[i] = '?';
	}
}

static void
get_line(struct handoff__wire *w, char *text, size_t width)
{
	handoff__get_text(w, text, width);
	for (size_t i = 0; text[i]; i++) {
		if (!printable((unsigned char)text[i]))
			w->bad = true;
	}
}

/* A number of elements: none if it is beyond the limit or the message ends. */
static uint32_t
get_count(struct handoff__wire *w, uint32_t most)
{
	uint32_t count = handoff__get_u32(w);

	if (count > most)
		w->bad = true;
	return w->bad ? 0 : count;
}

static uint8_t
get_u8(struct handoff__wire *w)
{
	uint16_t v = handoff__get_u16(w);

	if (v > UINT8_MAX)
		w->bad = true;
	return (uint8_t)v;
}

static void
put_hello(struct handoff__wire *w, const struct handoff__letter_hello *h)
{
	handoff__put_u32(w, MAGIC);
	handoff__put_u32(w, h->version_min);
	handoff__put_u32(w, h->version_max);
	handoff__put_u32(w, h->flags);
	put_line(w, h->service, sizeof(h->service));
	put_line(w, h->name, sizeof(h->name));
	put_line(w, h->host, sizeof(h->host));
	put_bytes(w, h->boot, sizeof(h->boot));
	handoff__put_u64(w, h->arena);
	handoff__put_u64(w, h->config_hash);
	handoff__put_u32(w, h->state_size);
	handoff__put_u32(w, h->state_version);
	handoff__put_u32(w, h->converts);
	handoff__put_u32(w, h->layout);
	handoff__put_u32(w, h->rx_size);
	handoff__put_u32(w, h->tx_size);
	handoff__put_u32(w, h->pass_size);
	handoff__put_u32(w, h->shared_size);
	handoff__put_u32(w, h->shared_version);
	put_bytes(w, h->mac, sizeof(h->mac));
	handoff__put_u32(w, h->naddresses);
	for (uint32_t i = 0; i < h->naddresses; i++) {
		handoff__put_u16(w, h->addresses[i].family);
		handoff__put_u16(w, h->addresses[i].prefix);
		put_bytes(w, h->addresses[i].ip, 16);
	}
	handoff__put_u32(w, h->astray);
}

/* May only grow at its end: a ferry of another version must be able to read
 * it. */
static void
get_hello(struct handoff__wire *w, struct handoff__letter_hello *h)
{
	if (handoff__get_u32(w) != MAGIC)
		w->bad = true;
	h->version_min = handoff__get_u32(w);
	h->version_max = handoff__get_u32(w);
	h->flags = handoff__get_u32(w);
	get_line(w, h->service, sizeof(h->service));
	get_line(w, h->name, sizeof(h->name));
	get_line(w, h->host, sizeof(h->host));
	get_bytes(w, h->boot, sizeof(h->boot));
	h->arena = handoff__get_u64(w);
	h->config_hash = handoff__get_u64(w);
	h->state_size = handoff__get_u32(w);
	h->state_version = handoff__get_u32(w);
	h->converts = handoff__get_u32(w);
	h->layout = handoff__get_u32(w);
	h->rx_size = handoff__get_u32(w);
	h->tx_size = handoff__get_u32(w);
	h->pass_size = handoff__get_u32(w);
	h->shared_size = handoff__get_u32(w);
	h->shared_version = handoff__get_u32(w);
	get_bytes(w, h->mac, sizeof(h->mac));
	h->naddresses = get_count(w, HANDOFF__LETTER_ADDRESSES);
	for (uint32_t i = 0; i < h->naddresses; i++) {
		h->addresses[i].family = get_u8(w);
		h->addresses[i].prefix = get_u8(w);
		get_bytes(w, h->addresses[i].ip, 16);
	}
	h->astray = handoff__get_u32(w);
}

static void
put_begin(struct handoff__wire *w, const struct handoff__letter_begin *b)
{
	handoff__put_u32(w, b->connections);
	handoff__put_u32(w, b->region);
	handoff__put_u32(w, b->nlisteners);
	for (uint32_t i = 0; i < b->nlisteners; i++) {
		const struct handoff__letter_listener *l = &b->listeners[i];

		handoff__put_u16(w, l->family);
		handoff__put_u16(w, l->flags);
		handoff__put_u16(w, l->port);
		handoff__put_u32(w, l->backlog);
		put_bytes(w, l->ip, sizeof(l->ip));
		put_line(w, l->label, sizeof(l->label));
	}
}

static void
get_begin(struct handoff__wire *w, struct handoff__letter_begin *b)
{
	b->connections = handoff__get_u32(w);
	b->region = handoff__get_u32(w);
	b->nlisteners = get_count(w, HANDOFF__LETTER_LISTENERS);
	for (uint32_t i = 0; i < b->nlisteners; i++) {
		struct handoff__letter_listener *l = &b->listeners[i];

		l->family = get_u8(w);
		l->flags = get_u8(w);
		l->port = handoff__get_u16(w);
		l->backlog = handoff__get_u32(w);
		get_bytes(w, l->ip, sizeof(l->ip));
		get_line(w, l->label, sizeof(l->label));
	}
}

static void
put_report(struct handoff__wire *w, const struct handoff__letter_report *r)
{
	handoff__put_u32(w, r->step);
	handoff__put_u32(w, r->ok);
	handoff__put_u32(w, r->partial);
	handoff__put_u32(w, r->total);
	handoff__put_u32(w, r->moved);
	handoff__put_u32(w, r->left);
	handoff__put_u32(w, r->doubt);
	handoff__put_u32(w, r->listeners);
	handoff__put_u32(w, r->batches);
	handoff__put_u32(w, r->again);
	handoff__put_u32(w, r->took_us);
	handoff__put_u32(w, r->hold_us);
	handoff__put_u32(w, r->nwhys);
	for (uint32_t i = 0; i < r->nwhys; i++) {
		put_line(w, r->whys[i].word, sizeof(r->whys[i].word));
		handoff__put_u32(w, r->whys[i].count);
	}
}

static void
get_report(struct handoff__wire *w, struct handoff__letter_report *r)
{
	r->step = handoff__get_u32(w);
	r->ok = handoff__get_u32(w);
	r->partial = handoff__get_u32(w);
	r->total = handoff__get_u32(w);
	r->moved = handoff__get_u32(w);
	r->left = handoff__get_u32(w);
	r->doubt = handoff__get_u32(w);
	r->listeners = handoff__get_u32(w);
	r->batches = handoff__get_u32(w);
	r->again = handoff__get_u32(w);
	r->took_us = handoff__get_u32(w);
	r->hold_us = handoff__get_u32(w);
	r->nwhys = get_count(w, HANDOFF__LETTER_WHYS);
	for (uint32_t i = 0; i < r->nwhys; i++) {
		get_line(w, r->whys[i].word, sizeof(r->whys[i].word));
		r->whys[i].count = handoff__get_u32(w);
	}
}

static void
put_named(struct handoff__wire *w, const struct handoff__letter *l)
{
	handoff__put_u32(w, l->nnamed);
	for (uint32_t i = 0; i < l->nnamed; i++) {
		handoff__put_u32(w, l->named[i].index);
		put_line(w, l->named[i].why, HANDOFF__LETTER_WHY);
	}
}

static void
get_named(struct handoff__wire *w, struct handoff__letter *l)
{
	l->nnamed = get_count(w, HANDOFF__LETTER_NAMED);
	for (uint32_t i = 0; i < l->nnamed; i++) {
		l->named[i].index = handoff__get_u32(w);
		get_line(w, l->named[i].why, HANDOFF__LETTER_WHY);
	}
}

static void
put_parts(struct handoff__wire *w, const struct handoff__letter *l,
	uint32_t parts)
{
	if (parts & BATCH)
		handoff__put_u64(w, l->batch);
	if (parts & COUNT)
		handoff__put_u32(w, l->count);
	if (parts & INDEX)
		handoff__put_u32(w, l->index);
	if (parts & ROUND)
		handoff__put_u32(w, l->round);
	if (parts & COMMITTED)
		handoff__put_u32(w, l->committed);
	if (parts & FLAGS)
		handoff__put_u32(w, l->flags);
	if (parts & TEXT)
		put_line(w, l->text, sizeof(l->text));
	if (parts & HELLO)
		put_hello(w, &l->hello);
	if (parts & BEGIN)
		put_begin(w, &l->begin);
	if (parts & REPORT)
		put_report(w, &l->report);
	if (parts & NAMED)
		put_named(w, l);
	if (parts & CARGO) {
		handoff__put_u32(w, l->parcel_len);
		handoff__put_u32(w, l->image_len);
	}
	if (parts & REGION) {
		handoff__put_u64(w, l->offset);
		handoff__put_u32(w, l->len);
	}
}

static bool
get_bool(struct handoff__wire *w)
{
	uint32_t v = handoff__get_u32(w);

	if (v > 1)
		w->bad = true;
	return v == 1;
}

/* The next `len` bytes of the body, where they are. */
static const unsigned char *
get_place(struct handoff__wire *w, uint32_t len)
{
	if (w->bad || w->size - w->pos < len) {
		w->bad = true;
		return NULL;
	}
	w->pos += len;
	return w->data + w->pos - len;
}

static void
get_places(struct handoff__wire *w, struct handoff__letter *l, uint32_t parts)
{
	if (parts & CARGO) {
		l->parcel_len = handoff__get_u32(w);
		l->image_len = handoff__get_u32(w);
		l->parcel = get_place(w, l->parcel_len);
		l->image = get_place(w, l->image_len);
	}
	if (parts & REGION) {
		l->offset = handoff__get_u64(w);
		l->len = handoff__get_u32(w);
		l->bytes = get_place(w, l->len);
	}
}

static void
get_parts(struct handoff__wire *w, struct handoff__letter *l, uint32_t parts)
{
	if (parts & BATCH)
		l->batch = handoff__get_u64(w);
	if (parts & COUNT)
		l->count = handoff__get_u32(w);
	if (parts & INDEX)
		l->index = handoff__get_u32(w);
	if (parts & ROUND)
		l->round = handoff__get_u32(w);
	if (parts & COMMITTED)
		l->committed = get_bool(w);
	if (parts & FLAGS)
		l->flags = handoff__get_u32(w);
	if (parts & TEXT)
		get_line(w, l->text, sizeof(l->text));
	if (parts & HELLO)
		get_hello(w, &l->hello);
	if (parts & BEGIN)
		get_begin(w, &l->begin);
	if (parts & REPORT)
		get_report(w, &l->report);
	if (parts & NAMED)
		get_named(w, l);
	get_places(w, l, parts);
}

static void
add_piece(struct handoff__letter_body *body, const unsigned char *data,
	size_t len)
{
	/* nothing is written to it */
	body->pieces[body->count].iov_base = (unsigned char *)data;
	body->pieces[body->count++].iov_len = len;
	body->len += len;
}

int
handoff__letter_encode(const struct handoff__letter *letter,
	struct handoff__letter_body *body, struct handoff__error *error)
{
	const struct row *row = row_of(letter->type);
	struct handoff__wire w = {
		.data = body->fixed, .size = sizeof(body->fixed)};
	const char *bad = row ? bad_letter(letter, row->parts) : "type";

	body->count = 0;
	body->len = 0;
	if (!bad) {
		put_parts(&w, letter, row->parts);
		bad = w.bad ? "text" : NULL;
	}
	if (bad)
		return handoff__fail(error, -EBADMSG,
			"message %s cannot be written: its %s is out of range",
			row ? row->name : "of an unknown type", bad);
	add_piece(body, body->fixed, w.pos);
	if (row->parts & CARGO) {
		add_piece(body, letter->parcel, letter->parcel_len);
		add_piece(body, letter->image, letter->image_len);
	}
	if (row->parts & REGION)
		add_piece(body, letter->bytes, letter->len);
	return 0;
}

int
handoff__letter_decode(struct handoff__letter *letter, uint32_t type,
	const void *body, size_t len, struct handoff__error *error)
{
	const struct row *row = row_of(type);
	/* nothing is written to it */
	struct handoff__wire w = {.data = (unsigned char *)body, .size = len};
	const char *bad;

	if (!row)
		return handoff__fail(error, -EPROTO,
			"message of the unknown type %u from the other ferry: "
			"both hosts need the same version",
			type);
	/* not the union, which is large: its part is written in full */
	memset(letter, 0, offsetof(struct handoff__letter, hello));
	letter->type = type;
	get_parts(&w, letter, row->parts);
	if (w.bad || (w.pos != len && !(row->parts & HELLO)))
		return handoff__fail(error, -EBADMSG,
			"message %s from the other ferry: %zu bytes do not "
			"hold its fields",
			row->name, len);
	bad = bad_letter(letter, row->parts);
	if (bad)
		return handoff__fail(error, -EBADMSG,
			"message %s from the other ferry: its %s is out of "
			"range",
			row->name, bad);
	return 0;
}
