/* SPDX-License-Identifier: MIT */
/*
 * The toy. A handler decodes what has come, calls the inner service once, and
 * frames what that has written; so whatever the inner service returns, all of
 * it is one transaction. Nothing is kept outside of the state.
 */
#include "wrap/toy.h"

#include <errno.h>
#include <string.h>

/* At the beginning of the state. */
struct head {
	uint64_t position; /* of what is held, in the inner stream */
	uint32_t held;
	uint32_t left; /* of the frame that is coming */
	uint32_t inner_len;
	uint32_t begun; /* the inner state is as it is to begin */
	uint32_t ended; /* the client's stream has ended */
	uint32_t closed;
};

#define HEAD_SIZE 48u

_Static_assert(sizeof(struct head) <= HEAD_SIZE, "the head has room");

static uint32_t
aligned(uint32_t size)
{
	return (size + 15u) & ~15u;
}

void
toy_head(unsigned char head[TOY_HEAD], char type, uint32_t len)
{
	memcpy(head, "toy", 3);
	head[3] = (unsigned char)type;
	for (int i = 0; i < 4; i++)
		head[4 + i] = (unsigned char)(len >> 8 * i);
}

int
toy_parse(const unsigned char head[TOY_HEAD], uint32_t *len)
{
	if (memcmp(head, "toy", 3) != 0)
		return -1;
	*len = 0;
	for (int i = 0; i < 4; i++)
		*len |= (uint32_t)head[4 + i] << 8 * i;
	return head[3];
}

void
toy_mask(void *data, size_t len)
{
	unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		bytes[i] ^= TOY_MASK;
}

static struct head *
head_of(struct handoff_conn *conn)
{
	return handoff_conn_state(conn);
}

static size_t
inner_at(const struct toy *toy)
{
	return toy->inner_last ? HEAD_SIZE + aligned(toy->hold) : HEAD_SIZE;
}

static unsigned char *
held_at(struct handoff_conn *conn, const struct toy *toy)
{
	size_t at = toy->inner_last
			    ? HEAD_SIZE
			    : HEAD_SIZE + aligned(toy->inner->state_size);

	return (unsigned char *)head_of(conn) + at;
}

/* The length of the whole state; the inner one changes its own. */
static void
set_length(struct handoff_conn *conn, const struct toy *toy)
{
	const struct head *h = head_of(conn);

	if (toy->inner_last)
		handoff_conn_state_resize(conn, inner_at(toy) + h->inner_len);
	else
		handoff_conn_state_resize(conn,
			HEAD_SIZE + aligned(toy->inner->state_size) + h->held);
}

/* A new connection has no state yet. */
static struct head *
begin(struct handoff_conn *conn, const struct toy *toy)
{
	struct head *h;

	if (handoff_conn_state_len(conn) >= HEAD_SIZE)
		return head_of(conn);
	h = handoff_conn_state_resize(conn, HEAD_SIZE);
	h->begun = 1;
	h->inner_len = toy->inner->state_grows ? 0 : toy->inner->state_size;
	set_length(conn, toy);
	return h;
}

/* Grows what is held; the new bytes are zero until they are written. */
static unsigned char *
hold_more(struct handoff_conn *conn, const struct toy *toy, size_t len)
{
	struct head *h = head_of(conn);
	unsigned char *at = held_at(conn, toy) + h->held;

	h->held += (uint32_t)len;
	set_length(conn, toy);
	return at;
}

/* Takes a head, if all of it has come. 1, 0, negative. */
static int
take_head(struct handoff_conn *conn, struct head *h)
{
	size_t len;
	const unsigned char *input = handoff_conn_input(conn, &len);
	int type;

	if (len < TOY_HEAD)
		return 0;
	type = toy_parse(input, &h->left);
	if (type == 'e')
		h->ended = 1;
	else if (type != 'd')
		return -EPROTO;
	handoff_conn_consume(conn, TOY_HEAD);
	return 1;
}

/* Takes bytes of a frame, as far as they have come and can be held. */
static int
take_bytes(struct handoff_conn *conn, const struct toy *toy, struct head *h)
{
	size_t len, room = toy->hold - h->held;
	const void *input = handoff_conn_input(conn, &len);
	unsigned char *to;

	if (len > h->left)
		len = h->left;
	if (len > room)
		len = room;
	if (len == 0)
		return 0;
	to = hold_more(conn, toy, len);
	memcpy(to, input, len);
	toy_mask(to, len);
	h->left -= (uint32_t)len;
	handoff_conn_consume(conn, len);
	return 1;
}

static int
decode(struct handoff_conn *conn, const struct toy *toy, struct head *h)
{
	int rc = 1;

	while (rc > 0)
		rc = h->left > 0 ? take_bytes(conn, toy, h)
				 : take_head(conn, h);
	return rc;
}

static int
write_frame(struct handoff_conn *conn, char type)
{
	unsigned char head[TOY_HEAD];

	toy_head(head, type, 0);
	return handoff_conn_write(conn, head, TOY_HEAD) == TOY_HEAD ? 0
								    : -ENOBUFS;
}

/* Frames what the inner service has written in place. */
static int
encode(struct handoff_conn *conn, const struct handoff_wrap_result *result)
{
	unsigned char head[TOY_HEAD];
	struct iovec pieces[2];
	int n = handoff_wrap_output(
		conn, result->at + TOY_HEAD, result->written, pieces);

	for (int i = 0; i < n; i++)
		toy_mask(pieces[i].iov_base, pieces[i].iov_len);
	toy_head(head, 'd', (uint32_t)result->written);
	return n < 0 ? n : handoff_wrap_fill(conn, result->at, head, TOY_HEAD);
}

/* Frames what it has written elsewhere. */
static int
encode_scratch(struct handoff_conn *conn, struct toy *toy, size_t len)
{
	unsigned char head[TOY_HEAD];

	if (handoff_conn_room(conn) < TOY_HEAD + len)
		return -ENOBUFS;
	toy_mask(toy->scratch, len);
	toy_head(head, 'd', (uint32_t)len);
	handoff_conn_write(conn, head, TOY_HEAD);
	handoff_conn_write(conn, toy->scratch, len);
	return 0;
}

static int
act_on(struct handoff_conn *conn, struct toy *toy, struct head *h,
	const struct handoff_wrap_result *result)
{
	unsigned char *held = held_at(conn, toy);
	int rc = 0;

	h->position += result->consumed;
	h->held -= (uint32_t)result->consumed;
	h->inner_len = (uint32_t)result->state_len;
	memmove(held, held + result->consumed, h->held);
	set_length(conn, toy);
	if (result->written > 0)
		rc = toy->scratch ? encode_scratch(conn, toy, result->written)
				  : encode(conn, result);
	if (h->held > 0)
		handoff_wrap_held(conn);
	if (!result->closed)
		return rc;
	h->closed = 1;
	if (result->aborted)
		handoff_conn_abort(conn);
	else
		handoff_conn_close(conn);
	return rc;
}

/* Room for the frame's head and, at the end, for the last word. */
static size_t
room_of(struct handoff_conn *conn, const struct toy *toy)
{
	size_t room = handoff_conn_room(conn);

	if (!toy->scratch)
		return room > TOY_HEAD ? room - TOY_HEAD : 0;
	room = room > 2 * TOY_HEAD ? room - 2 * TOY_HEAD : 0;
	return room < toy->hold ? room : toy->hold;
}

static int
call(struct handoff_conn *conn, struct toy *toy, struct head *h,
	enum handoff_wrap_hook hook, enum handoff_end_reason ended)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	enum handoff_conn_reason reason = handoff_conn_reason(conn);
	bool eof = h->ended || handoff_conn_eof(conn);
	struct handoff_wrap_call what = {.size = sizeof(what),
		.service = toy->inner,
		.hook = hook,
		.reason = reason,
		.ended = ended,
		.input = held_at(conn, toy),
		.input_len = h->held,
		.position = h->position,
		.eof = eof,
		.reserve = TOY_HEAD,
		.room = room_of(conn, toy),
		.output = toy->scratch,
		.state_at = toy->inner->state_size > 0 ? inner_at(toy) : 0,
		.state_len = h->inner_len};
	int rc;

	if (reason == HANDOFF_CONN_OPEN || reason == HANDOFF_CONN_INPUT)
		what.reason = eof ? HANDOFF_CONN_END : HANDOFF_CONN_INPUT;
	rc = handoff_wrap_run(conn, &what, &result);
	return rc == 0 ? act_on(conn, toy, h, &result) : rc;
}

static int
toy_handle(struct handoff_conn *conn, void *arg)
{
	struct toy *toy = arg;
	struct head *h = begin(conn, toy);
	int rc = decode(conn, toy, h);

	return rc < 0 ? rc : call(conn, toy, h, HANDOFF_WRAP_HANDLE, 0);
}

static int
toy_open(struct handoff_conn *conn, void *arg)
{
	struct toy *toy = arg;

	return call(conn, toy, begin(conn, toy), HANDOFF_WRAP_OPEN, 0);
}

static int
toy_posted(struct handoff_conn *conn, void *arg)
{
	struct toy *toy = arg;
	struct head *h = begin(conn, toy);
	int rc = decode(conn, toy, h);

	return rc < 0 ? rc : call(conn, toy, h, HANDOFF_WRAP_POSTED, 0);
}

static void
toy_ended(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	struct toy *toy = arg;

	call(conn, toy, begin(conn, toy), HANDOFF_WRAP_ENDED, reason);
}

static int
toy_farewell(struct handoff_conn *conn, void *arg)
{
	struct toy *toy = arg;
	int rc = call(conn, toy, begin(conn, toy), HANDOFF_WRAP_FAREWELL, 0);

	return rc < 0 ? rc : write_frame(conn, 'b');
}

static void
toy_left(uint64_t id, void *arg)
{
	const struct toy *toy = arg;

	if (toy->inner->left)
		toy->inner->left(id, toy->inner->arg);
}

static void
toy_idle(uint64_t id, void *arg)
{
	const struct toy *toy = arg;

	if (toy->inner->idle)
		toy->inner->idle(id, toy->inner->arg);
}

void
toy_init(struct toy *toy, const struct handoff_service *inner, uint32_t hold)
{
	*toy = (struct toy){.inner = inner, .hold = hold};
	toy->service = (struct handoff_service){.size = sizeof(toy->service),
		.name = inner->name,
		.state_version = inner->state_version,
		.state_size =
			HEAD_SIZE + aligned(inner->state_size) + aligned(hold),
		.state_grows = true,
		.handle = toy_handle,
		.open = inner->open ? toy_open : NULL,
		.posted = toy_posted,
		.ended = toy_ended,
		.farewell = toy_farewell,
		.left = toy_left,
		.idle = toy_idle,
		.arg = toy,
		.input_size = inner->input_size,
		.output_size = inner->output_size,
		.shared_size = inner->shared_size,
		.shared_version = inner->shared_version,
		.post_size = inner->post_size,
		.post_gaps = inner->post_gaps,
		.inner = inner,
		.secret = inner->secret};
}
