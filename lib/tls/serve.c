/* SPDX-License-Identifier: MIT */
/*
 * An open connection. Whole TLS records of the input are opened and consumed;
 * what the inner service does not consume of their plain text is kept in the
 * state, and as long as that is too much no more are opened. Room for a
 * KeyUpdate and an alert is always left in the output. Sees no socket.
 */
#include "tls/serve.h"

#include "tls/current.h"
#include "tls/scratch.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* Plain text for one turn, unless the inner service waits for more: what it
 * does not consume has to be kept. */
#define TURN_PLAIN 16384u

struct serving {
	struct handoff_conn *conn;
	struct handoff__tls *w;
	struct handoff__tls_head *head; /* in the transaction's state */
	struct handoff__tls_scratch *scratch;
	struct handoff__tls_end read, write;
	size_t plain_len; /* of scratch->in: pending, and what was opened */
	bool fresh;       /* some was opened, or the end has come */
};

/* 0, or why the connection cannot go on. */
static int
begin(struct serving *s, struct handoff_conn *conn, struct handoff__tls *w)
{
	struct handoff__tls_head *head = handoff_conn_state(conn);
	struct handoff__tls_entry *entry;
	size_t room = handoff_conn_room(conn);

	if (room < w->ring_size)
		room = w->ring_size;
	*s = (struct serving){.conn = conn, .w = w, .head = head};
	if (head->phase == HANDOFF__TLS_OVER)
		return 0;
	s->read.suite = handoff__tls_suite_find(&w->suites, head->suite);
	if (!s->read.suite)
		return -EBADMSG;
	entry = handoff__tls_cache_get(&w->cache, handoff_conn_id(conn));
	s->scratch = handoff__tls_scratch(handoff_conn_id(conn),
		head->pending_len + w->input_size + HANDOFF__TLS_RECORD_MAX,
		room);
	if (!entry || !s->scratch)
		return -ENOMEM;
	s->read.dir = &head->u.open.read;
	s->read.key = &entry->read;
	s->write.suite = s->read.suite;
	s->write.dir = &head->u.open.write;
	s->write.key = &entry->write;
	return 0;
}

static bool
has(const struct serving *s, uint8_t flag)
{
	return (s->head->flags & flag) != 0;
}

/* Bytes that the inner service may write. */
static size_t
room_of(const struct serving *s)
{
	size_t room = handoff_conn_room(s->conn);

	return room > HANDOFF__TLS_RESERVE
		       ? handoff__tls_data_room(
				 room - HANDOFF__TLS_RESERVE, s->head->fragment)
		       : 0;
}

/* As much as ever. */
static size_t
most_room(const struct serving *s)
{
	return handoff__tls_data_room(
		s->w->ring_size - HANDOFF__TLS_RESERVE, s->head->fragment);
}

/* ---- the end ---- */

/* It has no keys any more, and the connection closes when all is sent. */
static void
close_connection(struct serving *s)
{
	handoff__tls_set_pending(s->conn, NULL, 0);
	handoff__tls_erase(s->head);
	handoff_conn_close(s->conn);
}

/* In order, with close_notify: later if there is no room for it. */
static int
end_in_order(struct serving *s)
{
	uint8_t out[HANDOFF__TLS_SEALED_ALERT];
	int len;

	if (handoff_conn_room(s->conn) < sizeof(out)) {
		handoff__tls_set_pending(s->conn, NULL, 0);
		s->head->phase = HANDOFF__TLS_ENDING;
		handoff_wrap_held(s->conn);
		return 0;
	}
	len = handoff__tls_send_alert(
		&s->write, HANDOFF__TLS_CLOSE_NOTIFY, out);
	if (len > 0)
		handoff_conn_write(s->conn, out, (size_t)len);
	close_connection(s);
	return 0;
}

/* With the alert of that error, if there is room. */
static int
end_with_alert(struct serving *s, int error)
{
	enum handoff__tls_alert alert = handoff__tls_alert_of(error);
	uint8_t out[HANDOFF__TLS_SEALED_ALERT];
	int len = -ENOBUFS;

	if (handoff_conn_room(s->conn) >= sizeof(out))
		len = handoff__tls_send_alert(&s->write, alert, out);
	handoff__tls_complain(&s->w->complaints, s->conn,
		"TLS: %s: alert %d (%s) sent",
		error == -ENOBUFS ? "the handler waits for more than its "
				    "input_size"
				  : "what has come is not right",
		(int)alert, handoff__tls_alert_name(alert));
	if (len > 0) {
		handoff_conn_write(s->conn, out, (size_t)len);
		handoff__tls_count(&s->w->counts.alerts_out);
	}
	close_connection(s);
	return 0;
}

/* A key has changed: the state before, which has the old one, is overwritten
 * with the commit, as after any resize of a secret state. */
static void
erase_former(struct serving *s)
{
	s->head = handoff_conn_state_resize(
		s->conn, handoff_conn_state_len(s->conn));
}

/* ---- input ---- */

/* Opens the first TLS record of the input, of `len` bytes. 1: the next one may
 * be opened, 0: not now, negative: an error that ends the connection. */
static int
open_one(struct serving *s, const uint8_t *record, size_t len)
{
	enum handoff__tls_event event;
	int rc = handoff__tls_receive(&s->read, &s->head->messages, record, len,
		s->head->fragment, s->scratch->in + s->plain_len, &event);

	if (rc >= 0 && event == HANDOFF__TLS_ALERTED)
		rc = -ECONNABORTED;
	if (rc < 0)
		return rc;
	handoff_conn_consume(s->conn, len);
	s->plain_len += (size_t)rc;
	s->fresh |= rc > 0 || event == HANDOFF__TLS_CLOSED;
	if (event == HANDOFF__TLS_UPDATED) {
		handoff__tls_count(&s->w->counts.key_updates_in);
		erase_former(s);
	}
	if (event == HANDOFF__TLS_CLOSED)
		s->head->flags |= HANDOFF__TLS_EOF;
	return event != HANDOFF__TLS_CLOSED;
}

/* The same, behind one that was opened in this turn: that is handled before the
 * connection ends. */
static int
open_next(struct serving *s, const uint8_t *record, size_t len)
{
	struct handoff__tls_dir dir = s->head->u.open.read;
	struct handoff__tls_messages messages = s->head->messages;
	int rc = open_one(s, record, len);

	if (rc < 0) {
		s->head->u.open.read = dir;
		s->head->messages = messages;
		rc = 0;
	}
	OPENSSL_cleanse(&dir, sizeof(dir));
	return rc;
}

/* Whether the inner service can have more plain text. */
static bool
takes_more(const struct serving *s)
{
	size_t most =
		has(s, HANDOFF__TLS_STALLED) && s->w->input_size > TURN_PLAIN
			? s->w->input_size
			: TURN_PLAIN;

	if (most > s->w->input_size)
		most = s->w->input_size;
	return s->plain_len < most && !has(s, HANDOFF__TLS_EOF);
}

/* All that comes after the end is dropped. */
static void
drop_input(struct serving *s)
{
	size_t len;

	handoff_conn_input(s->conn, &len);
	handoff_conn_consume(s->conn, len);
}

/* Opens what has come and may be opened. Negative: an error that ends the
 * connection. */
static int
receive(struct serving *s)
{
	int rc = 1;

	s->plain_len = s->head->pending_len;
	memcpy(s->scratch->in,
		(const char *)s->head + handoff__tls_pending_at(s->head),
		s->plain_len);
	while (rc > 0 && takes_more(s)) {
		size_t len;
		const uint8_t *input = handoff_conn_input(s->conn, &len);
		int whole = handoff__tls_record_len(input, len);

		if (whole < 0)
			return s->fresh ? 0 : whole;
		if (whole == 0 || (size_t)whole > len)
			break;
		rc = s->fresh ? open_next(s, input, (size_t)whole)
			      : open_one(s, input, (size_t)whole);
	}
	if (has(s, HANDOFF__TLS_EOF))
		drop_input(s);
	return rc < 0 ? rc : 0;
}

/* ---- output ---- */

/* A KeyUpdate that is due, before any more data. Negative: the connection
 * cannot go on. */
static int
update_keys(struct serving *s)
{
	uint8_t out[HANDOFF__TLS_SEALED_UPDATE];
	int len;

	if (!handoff__tls_update_due(
		    &s->w->suites, s->write.dir, &s->head->messages) ||
		handoff_conn_room(s->conn) <
			sizeof(out) + HANDOFF__TLS_SEALED_ALERT)
		return 0;
	len = handoff__tls_send_update(
		&s->write, &s->head->messages, false, out);
	if (len < 0)
		return len;
	handoff_conn_write(s->conn, out, (size_t)len);
	handoff__tls_count(&s->w->counts.key_updates_out);
	erase_former(s);
	return 0;
}

/* In the connection's output: in place, but where that begins again. */
static int
seal_output(struct serving *s, const struct handoff_wrap_result *result)
{
	size_t len = result->written, fragment = s->head->fragment;
	size_t whole = handoff__tls_sealed_len(len, fragment);
	size_t behind = whole - HANDOFF__TLS_HEADER - len;
	unsigned char *buffer = s->scratch->out;
	struct iovec piece[2];
	int pieces, rc;

	if (handoff_conn_write(s->conn, buffer, behind) != behind)
		return -ENOBUFS;
	pieces = handoff_wrap_output(s->conn, result->at, whole, piece);
	if (pieces < 0)
		return pieces;
	if (pieces == 1)
		return handoff__tls_seal_data(
			&s->write, piece[0].iov_base, len, fragment);
	memcpy(buffer, piece[0].iov_base, piece[0].iov_len);
	memcpy(buffer + piece[0].iov_len, piece[1].iov_base, piece[1].iov_len);
	rc = handoff__tls_seal_data(&s->write, buffer, len, fragment);
	handoff_wrap_fill(s->conn, result->at, buffer, whole);
	return rc;
}

/* What is not sent does not stay there. */
static void
erase_output(struct serving *s, const struct handoff_wrap_result *result)
{
	struct iovec piece[2];
	int pieces =
		result->written == 0
			? 0
			: handoff_wrap_output(s->conn, result->at,
				  HANDOFF__TLS_HEADER + result->written, piece);

	while (pieces-- > 0)
		OPENSSL_cleanse(piece[pieces].iov_base, piece[pieces].iov_len);
}

/* ---- the inner service ---- */

/* The inner service's part of the state, and its output. */
static int
take_result(struct serving *s, const struct handoff_wrap_result *result)
{
	int rc;

	s->head->inner_len = (uint32_t)result->state_len;
	s->head->position += result->consumed;
	rc = handoff__tls_set_pending(s->conn,
		s->scratch->in + result->consumed,
		s->plain_len - result->consumed);
	if (rc == 0 && result->written > 0)
		rc = seal_output(s, result);
	return rc < 0 ? rc : 0;
}

static int
call_inner(struct serving *s, enum handoff_wrap_hook hook,
	enum handoff_conn_reason reason, struct handoff_wrap_result *result)
{
	struct handoff_wrap_call call = {
		.size = sizeof(call),
		.service = &s->w->inner,
		.hook = hook,
		.reason = reason,
		.input = s->scratch->in,
		.input_len = s->plain_len,
		.position = s->head->position,
		.eof = has(s, HANDOFF__TLS_EOF),
		.reserve = HANDOFF__TLS_HEADER,
		.room = room_of(s),
		.state_at = handoff__tls_inner_at(s->head),
		.state_len = s->head->inner_len,
	};
	int rc = handoff__tls_call(s->conn, s->head, &call, result);

	if (rc == 0)
		rc = take_result(s, result);
	if (rc != 0)
		erase_output(s, result);
	return rc;
}

/* What follows from the inner service's closing, of either kind. True: there is
 * nothing more to do. */
static bool
has_closed(struct serving *s, const struct handoff_wrap_result *result)
{
	if (result->aborted) {
		handoff__tls_erase(s->head);
		handoff_conn_abort(s->conn);
	} else if (result->closed) {
		end_in_order(s);
	}
	return result->closed;
}

static int
hold(struct serving *s)
{
	if (s->head->pending_len > 0 ||
		(has(s, HANDOFF__TLS_EOF) && !has(s, HANDOFF__TLS_TOLD)))
		handoff_wrap_held(s->conn);
	return 0;
}

/* The inner `handle` has run: whether it has all that it can ever get. */
static int
conclude(struct serving *s, const struct handoff_wrap_result *result,
	bool all_room)
{
	bool idle = result->consumed == 0 && result->written == 0;

	if (has_closed(s, result))
		return 0;
	s->head->flags &= (uint8_t)~HANDOFF__TLS_STALLED;
	if (idle)
		s->head->flags |= HANDOFF__TLS_STALLED;
	if (has(s, HANDOFF__TLS_EOF)) {
		s->head->flags |= HANDOFF__TLS_TOLD;
		if (s->head->pending_len == 0 || (idle && all_room))
			return end_in_order(s);
	} else if (idle && all_room &&
		   s->head->pending_len >= s->w->input_size) {
		/* it wants more input than it can have */
		return end_with_alert(s, -ENOBUFS);
	}
	return hold(s);
}

/* Why the inner `handle` is called; negative: it is not. */
static int
reason_to_call(const struct serving *s, enum handoff_conn_reason outer)
{
	if (outer == HANDOFF_CONN_DEADLINE)
		return HANDOFF_CONN_DEADLINE;
	if (has(s, HANDOFF__TLS_EOF) &&
		(s->fresh || !has(s, HANDOFF__TLS_TOLD)))
		return HANDOFF_CONN_END;
	if (s->plain_len == 0 || (!s->fresh && has(s, HANDOFF__TLS_STALLED) &&
					 outer != HANDOFF_CONN_ROOM))
		return -1;
	if (has(s, HANDOFF__TLS_EOF))
		return HANDOFF_CONN_END;
	return s->fresh || outer != HANDOFF_CONN_ROOM ? HANDOFF_CONN_INPUT
						      : HANDOFF_CONN_ROOM;
}

/* An end of the connection's input without close_notify may be anybody's: the
 * inner service is not told of an end, and the connection ends once it has
 * handled what was there. */
static void
note_truncation(struct serving *s)
{
	if (!handoff_conn_eof(s->conn) || has(s, HANDOFF__TLS_EOF) ||
		has(s, HANDOFF__TLS_TRUNCATED))
		return;
	s->head->flags |= HANDOFF__TLS_TRUNCATED;
	handoff__tls_count(&s->w->counts.truncated);
}

static int
end_of_input(struct serving *s, int error)
{
	if (error != -ECONNABORTED)
		return end_with_alert(s, error);
	handoff__tls_count(&s->w->counts.alerts_in);
	handoff__tls_complain(&s->w->complaints, s->conn,
		"TLS: ended by the client: alert %u (%s) received",
		s->head->messages.alert,
		handoff__tls_alert_name(s->head->messages.alert));
	close_connection(s);
	return 0;
}

static int
handle_open(struct serving *s, enum handoff_conn_reason outer)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	bool all_room = outer == HANDOFF_CONN_ROOM;
	int rc = receive(s), reason;

	note_truncation(s);
	if (rc == 0)
		rc = update_keys(s);
	if (rc < 0)
		return end_of_input(s, rc);
	reason = reason_to_call(s, outer);
	if (reason < 0)
		return hold(s);
	all_room = all_room || room_of(s) >= s->w->output_size;
	rc = call_inner(s, HANDOFF_WRAP_HANDLE,
		(enum handoff_conn_reason)reason, &result);
	return rc != 0 ? rc : conclude(s, &result, all_room);
}

int
handoff__tls_serve_handle(struct handoff_conn *conn, struct handoff__tls *w)
{
	enum handoff_conn_reason outer = handoff_conn_reason(conn);
	struct serving s;
	int rc = begin(&s, conn, w);

	if (rc < 0)
		return rc;
	if (s.head->phase == HANDOFF__TLS_OVER)
		return 0;
	if (s.head->phase == HANDOFF__TLS_ENDING)
		return end_in_order(&s);
	return handle_open(&s, outer);
}

int
handoff__tls_serve_open(struct handoff_conn *conn, struct handoff__tls *w)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	struct serving s;
	int rc = begin(&s, conn, w);

	if (rc == 0 && w->inner.open)
		rc = call_inner(
			&s, HANDOFF_WRAP_OPEN, HANDOFF_CONN_OPEN, &result);
	if (rc != 0)
		return rc;
	if (!has_closed(&s, &result))
		handoff_wrap_held(conn); /* `handle` looks at what is there */
	return 0;
}

int
handoff__tls_serve_posted(struct handoff_conn *conn, struct handoff__tls *w)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	const struct handoff_posted *posted = handoff_conn_posted(conn);
	struct serving s;
	int rc = begin(&s, conn, w);

	if (rc < 0)
		return rc;
	if (s.head->phase != HANDOFF__TLS_OPEN)
		return 0;
	rc = receive(&s);
	if (rc == 0)
		rc = update_keys(&s);
	if (rc < 0)
		return end_of_input(&s, rc);
	if (posted->len > most_room(&s) && !w->inner.posted)
		return -EMSGSIZE;
	if (posted->len > room_of(&s) && posted->len <= most_room(&s))
		return -EAGAIN;
	rc = call_inner(&s, HANDOFF_WRAP_POSTED, HANDOFF_CONN_POST, &result);
	if (rc != 0)
		return rc;
	if (has_closed(&s, &result))
		return 0;
	if (result.consumed > 0)
		s.head->flags &= (uint8_t)~HANDOFF__TLS_STALLED;
	return hold(&s);
}

int
handoff__tls_serve_farewell(struct handoff_conn *conn, struct handoff__tls *w)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	struct serving s;
	int rc = begin(&s, conn, w);

	if (rc < 0 || s.head->phase == HANDOFF__TLS_OVER)
		return rc;
	s.plain_len = 0;
	if (s.head->phase == HANDOFF__TLS_OPEN && w->inner.farewell) {
		rc = receive(&s);
		if (rc < 0)
			return end_of_input(&s, rc);
		rc = call_inner(&s, HANDOFF_WRAP_FAREWELL,
			HANDOFF_CONN_FAREWELL, &result);
	}
	if (rc != 0)
		return rc;
	if (!result.aborted)
		return end_in_order(&s);
	has_closed(&s, &result);
	return 0;
}
