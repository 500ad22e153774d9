/* SPDX-License-Identifier: MIT */
/*
 * A parcel as a message: fixed fields, little-endian, in one order, then state,
 * input, output and passed bytes. And the range of each field. No system calls
 * and no shared memory in here: a fuzzer feeds it.
 */
#include "record/parcel.h"

#include "base/addr.h"
#include "base/wire.h"
#include "record/handling.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define MAGIC    0x41504f48u /* HOPA */
#define VERSION  1
#define TIMED    0x1u
#define OUTGOING 0x2u
#define ABSENT   0x4u
/* no stream gets this long, and no connection's id has this bit */
#define NEVER (UINT64_C(1) << 63)

/* magic, version, marks, length of the message */
#define HEAD_SIZE (4 + 2 + 2 + 4)
/* id, kind, activity, flags, deaths */
#define ENTRY_SIZE (8 + 4 * 4)
/* sizes, positions, lengths */
#define STREAM_SIZE (5 * 4 + 4 * 8 + 4 * 4)
/* pair, leader, positions of the ring, error, address */
#define PAIR_SIZE (2 * 8 + 2 * 4 + 4 + HANDOFF_ADDRESS_MAX)
/* tag, since, remaining, client, label, session, how long it is absent,
 * length of its posts */
#define EXTRA_SIZE (3 * 8 + 16 + 2 + 2 + HANDOFF__LABEL_MAX + 2 * 8 + 4)
#define FIXED_SIZE                                                             \
	(HEAD_SIZE + ENTRY_SIZE + STREAM_SIZE + PAIR_SIZE + EXTRA_SIZE)

_Static_assert(FIXED_SIZE <= 1024, "HANDOFF__PARCEL_MOST has room for it");

/* All flags that a commit of a connection can have at rest. */
#define FLAGS                                                                  \
	((uint32_t)(HANDOFF__OPENED | HANDOFF__EOF | HANDOFF__EOF_DONE |       \
		    HANDOFF__CLOSING | HANDOFF__PAIR_OVER | HANDOFF__ENDING |  \
		    HANDOFF__ENDED | HANDOFF__END | HANDOFF__WAITING |         \
		    HANDOFF__PAIRED | HANDOFF__CONNECT | HANDOFF__PASS_END |   \
		    HANDOFF__SHUT | HANDOFF__RESET | HANDOFF__HOLDS_INPUT |    \
		    HANDOFF__SESSION | HANDOFF__RESUMING | HANDOFF__GONE) |    \
		HANDOFF__WISH)

/* What a session without a connection cannot have: it neither ends, nor has it
 * a pair. */
#define PRESENT                                                                \
	((uint32_t)(HANDOFF__CLOSING | HANDOFF__PAIR_OVER | HANDOFF__ENDED |   \
		    HANDOFF__PAIRED | HANDOFF__CONNECT | HANDOFF__PASS_END |   \
		    HANDOFF__SHUT | HANDOFF__RESET | HANDOFF__RESUMING))

static const char *
bad_flags(const struct handoff__parcel *p)
{
	uint32_t end = (p->flags & HANDOFF__END) >> HANDOFF__END_SHIFT;
	bool gone = (p->flags & HANDOFF__GONE) != 0;

	if ((p->flags & ~FLAGS) || handoff__flags_ending(p->flags) ||
		end > HANDOFF_ENDED_PROTOCOL)
		return "set of flags";
	if (gone != p->absent || (gone && (p->flags & PRESENT)) ||
		(gone && !(p->flags & HANDOFF__SESSION)))
		return "set of flags of a session without a connection";
	if ((p->flags & HANDOFF__RESUMING) && (p->flags & HANDOFF__SESSION))
		return "wish for a session";
	if ((p->flags & HANDOFF__CONNECT) && !(p->flags & HANDOFF__PAIRED))
		return "wish for a pair";
	if ((p->flags & HANDOFF__PAIRED) && p->pass_size == 0)
		return "room for a pair";
	return NULL;
}

static const char *
bad_entry(const struct handoff__parcel *p)
{
	if (p->id == 0 || p->id >= NEVER)
		return "id";
	if (p->kind != HANDOFF__CONNECTION)
		return "kind";
	if (p->activity != HANDOFF__AT_REST && p->activity != HANDOFF__PENDING)
		return "activity";
	return p->deaths > HANDOFF__DEATHS_MASK ? "number of deaths" : NULL;
}

static const char *
bad_stream(const struct handoff__parcel *p)
{
	struct handoff__geometry geo;

	if (handoff__parcel_geometry(p, &geo) < 0)
		return "set of sizes";
	if (p->state_len > p->state_size)
		return "length of the state";
	if (p->in_len > p->rx_size)
		return "length of the unread input";
	if (p->out_len > p->tx_size)
		return "length of the unsent output";
	if (p->consumed >= NEVER - p->in_len || p->produced >= NEVER ||
		p->out_len > p->produced)
		return "position in the stream";
	return NULL;
}

static const char *
bad_pair(const struct handoff__parcel *p)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (p->pass_len > p->pass_size)
		return "length of what it has passed";
	if (p->pair >= NEVER || p->pair == p->id)
		return "pair";
	if (p->leader == p->id)
		return "leader";
	if (p->wish_error > INT32_MAX)
		return "reason for being without a pair";
	if ((p->flags & HANDOFF__CONNECT) && p->wish_error == 0 &&
		handoff__addr_numeric(p->wish, &ss, &len) < 0)
		return "address to connect to";
	return NULL;
}

/* Its buffers were emptied when its socket ended. */
static const char *
bad_absence(const struct handoff__parcel *p)
{
	if (p->posts_len > HANDOFF__PARCEL_POSTS_MOST ||
		(!p->absent && p->posts_len > 0))
		return "length of the posts";
	if (p->absent_ms > HANDOFF__PARCEL_ABSENT_MOST ||
		(!p->absent && p->absent_ms > 0))
		return "time without a connection";
	if (p->absent && (p->in_len > 0 || p->out_len > 0 || p->pass_len > 0 ||
				 p->pair != 0 || p->leader != 0 || p->outgoing))
		return "connection, which it has not,";
	return NULL;
}

static const char *
bad_extra(const struct handoff__parcel *p)
{
	if (p->remaining_ms > INT64_MAX / 2 ||
		(!p->timed && p->remaining_ms > 0))
		return "deadline";
	if (p->client.family != 0 && p->client.family != 4 &&
		p->client.family != 6)
		return "address of the client";
	if (p->session >= NEVER ||
		(p->session != 0) != ((p->flags & HANDOFF__SESSION) != 0))
		return "session";
	return NULL;
}

int
handoff__parcel_check(
	const struct handoff__parcel *parcel, struct handoff__error *error)
{
	const char *bad = bad_entry(parcel);

	if (!bad)
		bad = bad_flags(parcel);
	if (!bad)
		bad = bad_stream(parcel);
	if (!bad)
		bad = bad_pair(parcel);
	if (!bad)
		bad = bad_extra(parcel);
	if (!bad)
		bad = bad_absence(parcel);
	if (bad)
		return handoff__fail(error, -EBADMSG,
			"parcel of connection %llu: its %s is out of range",
			(unsigned long long)parcel->id, bad);
	return 0;
}

int
handoff__parcel_geometry(
	const struct handoff__parcel *parcel, struct handoff__geometry *geo)
{
	int err = handoff__geometry_make(
		geo, parcel->state_size, parcel->rx_size, parcel->tx_size);

	if (err == 0)
		err = handoff__geometry_extend(geo, parcel->pass_size, 0, 0);
	geo->state_version = parcel->state_version;
	/* no others are made */
	return err < 0 || geo->rx_size != parcel->rx_size ||
			       geo->tx_size != parcel->tx_size ||
			       geo->pass_size != parcel->pass_size
		       ? -EINVAL
		       : 0;
}

size_t
handoff__parcel_size(const struct handoff__parcel *parcel)
{
	return FIXED_SIZE + (size_t)parcel->state_len + parcel->in_len +
	       parcel->out_len + parcel->pass_len + parcel->posts_len;
}

/* Each of these pairs is one part of the format; the two must agree. */
static void
put_entry(struct handoff__wire *w, const struct handoff__parcel *p)
{
	handoff__put_u64(w, p->id);
	handoff__put_u32(w, p->kind);
	handoff__put_u32(w, p->activity);
	handoff__put_u32(w, p->flags);
	handoff__put_u32(w, p->deaths);
}

static void
get_entry(struct handoff__wire *w, struct handoff__parcel *p)
{
	p->id = handoff__get_u64(w);
	p->kind = handoff__get_u32(w);
	p->activity = handoff__get_u32(w);
	p->flags = handoff__get_u32(w);
	p->deaths = handoff__get_u32(w);
}

static void
put_stream(struct handoff__wire *w, const struct handoff__parcel *p)
{
	handoff__put_u32(w, p->state_size);
	handoff__put_u32(w, p->state_version);
	handoff__put_u32(w, p->rx_size);
	handoff__put_u32(w, p->tx_size);
	handoff__put_u32(w, p->pass_size);
	handoff__put_u64(w, p->consumed);
	handoff__put_u64(w, p->produced);
	handoff__put_u64(w, p->rx_base);
	handoff__put_u64(w, p->tx_base);
	handoff__put_u32(w, p->state_len);
	handoff__put_u32(w, p->in_len);
	handoff__put_u32(w, p->out_len);
	handoff__put_u32(w, p->pass_len);
}

static void
get_stream(struct handoff__wire *w, struct handoff__parcel *p)
{
	p->state_size = handoff__get_u32(w);
	p->state_version = handoff__get_u32(w);
	p->rx_size = handoff__get_u32(w);
	p->tx_size = handoff__get_u32(w);
	p->pass_size = handoff__get_u32(w);
	p->consumed = handoff__get_u64(w);
	p->produced = handoff__get_u64(w);
	p->rx_base = handoff__get_u64(w);
	p->tx_base = handoff__get_u64(w);
	p->state_len = handoff__get_u32(w);
	p->in_len = handoff__get_u32(w);
	p->out_len = handoff__get_u32(w);
	p->pass_len = handoff__get_u32(w);
}

static void
put_pair(struct handoff__wire *w, const struct handoff__parcel *p)
{
	handoff__put_u64(w, p->pair);
	handoff__put_u64(w, p->leader);
	handoff__put_u32(w, p->pass_head);
	handoff__put_u32(w, p->pass_tail);
	handoff__put_u32(w, p->wish_error);
	handoff__put_text(w, p->wish, sizeof(p->wish));
}

static void
get_pair(struct handoff__wire *w, struct handoff__parcel *p)
{
	p->pair = handoff__get_u64(w);
	p->leader = handoff__get_u64(w);
	p->pass_head = handoff__get_u32(w);
	p->pass_tail = handoff__get_u32(w);
	p->wish_error = handoff__get_u32(w);
	handoff__get_text(w, p->wish, sizeof(p->wish));
}

static void
put_extra(struct handoff__wire *w, const struct handoff__parcel *p)
{
	handoff__put_u64(w, p->tag);
	handoff__put_u64(w, (uint64_t)p->since_ms);
	handoff__put_u64(w, p->remaining_ms);
	handoff__put_bytes(w, p->client.ip, sizeof(p->client.ip));
	handoff__put_u16(w, ntohs(p->client.port));
	handoff__put_u16(w, p->client.family);
	handoff__put_text(w, p->label, sizeof(p->label));
	handoff__put_u64(w, p->session);
	handoff__put_u64(w, p->absent_ms);
	handoff__put_u32(w, p->posts_len);
}

static void
get_extra(struct handoff__wire *w, struct handoff__parcel *p)
{
	p->tag = handoff__get_u64(w);
	p->since_ms = (int64_t)handoff__get_u64(w);
	p->remaining_ms = handoff__get_u64(w);
	handoff__get_bytes(w, p->client.ip, sizeof(p->client.ip));
	p->client.port = htons(handoff__get_u16(w));
	p->client.family = handoff__get_u16(w);
	handoff__get_text(w, p->label, sizeof(p->label));
	p->session = handoff__get_u64(w);
	p->absent_ms = handoff__get_u64(w);
	p->posts_len = handoff__get_u32(w);
}

int
handoff__parcel_encode(const struct handoff__parcel *parcel,
	unsigned char *data, size_t size, struct handoff__error *error)
{
	struct handoff__wire w = {.data = data, .size = size};
	int err = handoff__parcel_check(parcel, error);

	if (err < 0)
		return err;
	if (size != handoff__parcel_size(parcel))
		return handoff__fail(error, -EMSGSIZE,
			"parcel of connection %llu: it has %zu bytes, not %zu",
			(unsigned long long)parcel->id,
			handoff__parcel_size(parcel), size);
	handoff__put_u32(&w, MAGIC);
	handoff__put_u16(&w, VERSION);
	handoff__put_u16(&w, (uint16_t)((parcel->timed ? TIMED : 0) |
					(parcel->outgoing ? OUTGOING : 0) |
					(parcel->absent ? ABSENT : 0)));
	handoff__put_u32(&w, (uint32_t)size);
	put_entry(&w, parcel);
	put_stream(&w, parcel);
	put_pair(&w, parcel);
	put_extra(&w, parcel);
	handoff__put_bytes(&w, parcel->state, parcel->state_len);
	handoff__put_bytes(&w, parcel->in, parcel->in_len);
	handoff__put_bytes(&w, parcel->out, parcel->out_len);
	handoff__put_bytes(&w, parcel->pass, parcel->pass_len);
	handoff__put_bytes(&w, parcel->posts, parcel->posts_len);
	return w.bad ? handoff__fail(error, -EBADMSG,
			       "parcel of connection %llu: a text has no end",
			       (unsigned long long)parcel->id)
		     : 0;
}

static int
get_head(struct handoff__wire *w, struct handoff__parcel *p,
	struct handoff__error *error)
{
	uint32_t magic = handoff__get_u32(w), version = handoff__get_u16(w);
	uint32_t marks = handoff__get_u16(w), length = handoff__get_u32(w);

	if (w->bad || magic != MAGIC)
		return handoff__fail(error, -EBADMSG,
			"parcel: %zu bytes that are none", w->size);
	if (version != VERSION)
		return handoff__fail(error, -EPROTO,
			"parcel: its format is version %u, known is %u: both "
			"hosts need the same",
			version, VERSION);
	if (length != w->size || (marks & ~(TIMED | OUTGOING | ABSENT)))
		return handoff__fail(error, -EBADMSG,
			"parcel: it says %u bytes and marks 0x%x, these are "
			"%zu bytes",
			length, marks, w->size);
	p->timed = (marks & TIMED) != 0;
	p->outgoing = (marks & OUTGOING) != 0;
	p->absent = (marks & ABSENT) != 0;
	return 0;
}

void
handoff__parcel_put_post(unsigned char *at, const struct handoff__post *post)
{
	struct handoff__wire w = {
		.data = at, .size = HANDOFF__PARCEL_POST_HEAD};

	handoff__put_u32(&w, post->len);
	handoff__put_u32(&w, post->flags);
	handoff__put_u64(&w, post->from);
	handoff__put_u64(&w, post->request);
	handoff__put_u64(&w, post->source);
	handoff__put_u64(&w, post->number);
}

bool
handoff__parcel_post(const struct handoff__parcel *parcel, uint32_t *at,
	struct handoff__post *post, const unsigned char **bytes)
{
	/* nothing is written to it */
	struct handoff__wire w = {.data = (unsigned char *)parcel->posts,
		.size = parcel->posts_len,
		.pos = *at};

	memset(post, 0, sizeof(*post));
	post->to = HANDOFF__POST_ONE;
	post->id = parcel->session;
	post->len = handoff__get_u32(&w);
	post->flags = handoff__get_u32(&w) & HANDOFF__POST_LOSSY;
	post->from = handoff__get_u64(&w);
	post->request = handoff__get_u64(&w);
	post->source = handoff__get_u64(&w);
	post->number = handoff__get_u64(&w);
	if (w.bad || post->len > w.size - w.pos)
		return false;
	*bytes = parcel->posts + w.pos;
	*at = (uint32_t)w.pos + post->len;
	return true;
}

static bool
has_whole_posts(const struct handoff__parcel *p)
{
	const unsigned char *bytes;
	struct handoff__post post;
	uint32_t at = 0;

	while (at < p->posts_len && handoff__parcel_post(p, &at, &post, &bytes))
		;
	return at == p->posts_len;
}

int
handoff__parcel_decode(struct handoff__parcel *parcel,
	const unsigned char *data, size_t size, struct handoff__error *error)
{
	/* nothing is written to it */
	struct handoff__wire w = {.data = (unsigned char *)data, .size = size};
	struct handoff__parcel p = {.id = 0};
	int err = get_head(&w, &p, error);

	if (err < 0)
		return err;
	get_entry(&w, &p);
	get_stream(&w, &p);
	get_pair(&w, &p);
	get_extra(&w, &p);
	err = w.bad ? -EBADMSG : handoff__parcel_check(&p, error);
	/* the lengths are in range, so that their sum does not wrap */
	if (w.bad || (err == 0 && handoff__parcel_size(&p) != size))
		return handoff__fail(error, -EBADMSG,
			"parcel: %zu bytes do not hold its fields and buffers",
			size);
	if (err < 0)
		return err;
	p.state = data + w.pos;
	p.in = p.state + p.state_len;
	p.out = p.in + p.in_len;
	p.pass = p.out + p.out_len;
	p.posts = p.pass + p.pass_len;
	if (!has_whole_posts(&p))
		return handoff__fail(error, -EBADMSG,
			"parcel of connection %llu: the posts for it do not "
			"have the length of all of them",
			(unsigned long long)p.id);
	*parcel = p;
	return 0;
}
