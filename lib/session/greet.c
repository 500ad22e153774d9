/* SPDX-License-Identifier: MIT */
/*
 * Before a session, and without one. What a client is shows in its first bytes;
 * that is a transaction of its own, so that a handler which waits for an answer
 * does not undo it. Reaches no other record: a client that wants to resume
 * leaves its wish.
 */
#include "session/greet.h"

#include "session/serve.h"
#include "session/session.h"

#include <handoff/wrap.h>

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static struct handoff__session_head *
head_of(struct handoff_conn *conn)
{
	return handoff_conn_state(conn);
}

/* Answers with a frame; without room the client has sent a lot and read
 * nothing, and gets no answer. */
static void
put_frame(struct handoff_conn *conn, const struct handoff__frame *frame)
{
	unsigned char bytes[HANDOFF__FRAME_MAX];
	size_t len = handoff__frame_encode(frame, bytes, sizeof(bytes));

	if (len <= handoff_conn_room(conn))
		handoff_conn_write(conn, bytes, len);
}

/* Of plain bytes: the hook's calls are those of the connection. */
static int
call_plain(struct handoff_conn *conn, const struct handoff__wrapper *w,
	enum handoff_wrap_hook hook)
{
	struct handoff__session_head *head = head_of(conn);
	enum handoff_conn_reason reason = handoff_conn_reason(conn);
	struct handoff_wrap_result result = {.size = sizeof(result)};
	struct handoff_wrap_call call = {
		.size = sizeof(call),
		.service = &w->inner,
		.hook = hook,
		.reason = reason,
		.position = conn->next->rx_tail,
		.eof = handoff_conn_eof(conn),
		.room = handoff_conn_room(conn),
		.state_at = handoff__session_inner_at(head),
		.state_len = head->inner_len,
	};
	int rc;

	call.input = handoff_conn_input(conn, &call.input_len);
	rc = handoff_wrap_run(conn, &call, &result);
	if (rc != 0)
		return rc;
	head->inner_len = (uint32_t)result.state_len;
	handoff_conn_consume(conn, result.consumed);
	if (result.aborted)
		handoff_conn_abort(conn);
	else if (result.closed)
		handoff_conn_close(conn);
	return 0;
}

/* The inner service begins with this connection. */
static int
give_state(struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	const struct handoff_service *inner = &w->inner;

	head_of(conn)->flags |= HANDOFF__SESSION_SERVED;
	return handoff__session_give_state(
		conn, inner->state_grows ? 0 : inner->state_size);
}

/* Whether this call is due to the connection's deadline. */
static bool
is_late(const struct handoff_conn *conn)
{
	return handoff_conn_reason(conn) == HANDOFF_CONN_DEADLINE;
}

/* It is known what the client is or wants: from here on the deadline is the
 * inner service's, and what that does is not done because of one. */
static void
decide(struct handoff_conn *conn)
{
	handoff_conn_deadline(conn, 0);
	conn->next->flags &= ~(uint32_t)HANDOFF__REASON;
}

int
handoff__greet_plain(
	struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	int rc = give_state(conn, w);
	size_t len;

	decide(conn);
	head_of(conn)->mode = HANDOFF__SESSION_PLAIN;
	if (rc == 0 && w->inner.open)
		rc = call_plain(conn, w, HANDOFF_WRAP_OPEN);
	if (rc != 0)
		return rc;
	/* `handle` is still to be called for what is there, also if that is
	 * an end */
	conn->next->flags &= ~(uint32_t)HANDOFF__EOF_DONE;
	handoff_conn_input(conn, &len);
	if (len > 0 || handoff_conn_eof(conn))
		handoff_wrap_held(conn);
	return 0;
}

static struct handoff__flow_limits
limits_of(const struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	return (struct handoff__flow_limits){
		.keep = conn->view.seg->geo.tx_size - HANDOFF__FRAME_HEADER -
			HANDOFF__SESSION_SPARE,
		.take = handoff__wrapper_window(w),
		.memory = handoff__wrapper_memory(w),
	};
}

static int
begin_session(struct handoff_conn *conn, const struct handoff__wrapper *w,
	const struct handoff__frame *asked)
{
	struct handoff__session_head *head = head_of(conn);
	struct handoff__flow_limits limits = limits_of(conn, w);
	struct handoff__frame frame;
	int rc = give_state(conn, w);

	if (rc == 0 && getrandom(head->token, sizeof(head->token), 0) !=
			       (ssize_t)sizeof(head->token))
		rc = -EIO;
	if (rc < 0)
		return rc;
	decide(conn);
	head->mode = HANDOFF__SESSION_ON;
	head->number = handoff__record_id(conn->view.rec);
	head->timeout_ms = w->timeout_ms;
	handoff__flow_serve(&head->flow, &limits, asked);
	handoff__flow_welcome(&head->flow, false, &frame);
	frame.number = head->number;
	frame.timeout_ms = head->timeout_ms;
	memcpy(frame.token, head->token, sizeof(frame.token));
	put_frame(conn, &frame);
	atomic_store_explicit(&conn->view.rec->extra.session, head->number,
		memory_order_relaxed);
	conn->next->flags |= HANDOFF__SESSION;
	return w->inner.open ? handoff__serve_open(conn, w) : 0;
}

static int
leave_wish(struct handoff_conn *conn, const struct handoff__frame *frame)
{
	struct handoff__session_head *head = head_of(conn);

	head->mode = HANDOFF__SESSION_WISH;
	head->number = frame->number;
	head->wish_received = frame->received;
	head->wish_sent = frame->sent;
	head->wish_ack = frame->ack;
	memcpy(head->token, frame->token, sizeof(head->token));
	conn->next->flags |= HANDOFF__RESUMING;
	decide(conn);
	return 0;
}

/* The client does not speak this language: says so, and closes. */
static int
turn_away(struct handoff_conn *conn, enum handoff__frame_type type,
	uint16_t reason, const char *text)
{
	struct handoff__frame frame = {.type = type, .reason = reason};

	strncpy(frame.text, text, sizeof(frame.text) - 1);
	put_frame(conn, &frame);
	handoff_conn_close(conn);
	handoff__session_blame(conn, text);
	return 0;
}

/* After the preface, and after each REFUSED; `late`: there was time enough. */
static int
shake_hands(
	struct handoff_conn *conn, const struct handoff__wrapper *w, bool late)
{
	struct handoff__frame frame;
	const char *why = "neither NEW nor RESUME";
	size_t len;
	const void *bytes = handoff_conn_input(conn, &len);
	int rc = handoff__frame_decode(&frame, bytes, len, &why);

	if (rc == 0 && late)
		handoff_conn_close(conn);
	if (rc == 0)
		return 0;
	if (rc > 0)
		handoff_conn_consume(conn, (size_t)rc);
	if (rc > 0 && frame.type == HANDOFF__FRAME_NEW)
		return begin_session(conn, w, &frame);
	if (rc > 0 && frame.type == HANDOFF__FRAME_RESUME)
		return leave_wish(conn, &frame);
	return turn_away(conn, HANDOFF__FRAME_ABORT, HANDOFF__ABORT_PROTOCOL,
		rc > 0 ? "neither NEW nor RESUME" : why);
}

static int
look_at_preface(struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	struct handoff__session_head *head = head_of(conn);
	size_t len;
	const void *bytes = handoff_conn_input(conn, &len);
	enum handoff__preface is = handoff__preface_check(bytes, len);

	if (is == HANDOFF__PREFACE_PARTIAL && !handoff_conn_eof(conn) &&
		!is_late(conn))
		return 0;
	if (is == HANDOFF__PREFACE_VERSION)
		return turn_away(conn, HANDOFF__FRAME_REFUSED,
			HANDOFF__REFUSED_VERSION,
			handoff__refusal_text(HANDOFF__REFUSED_VERSION));
	if (is == HANDOFF__PREFACE_SESSION) {
		handoff_conn_consume(conn, HANDOFF__PREFACE_LEN);
		head->mode = HANDOFF__SESSION_HELLO;
		handoff_conn_deadline(conn, HANDOFF__SESSION_DECIDE_MS);
		return shake_hands(conn, w, false);
	}
	if (head->flags & HANDOFF__SESSION_ONLY)
		return turn_away(conn, HANDOFF__FRAME_ABORT,
			HANDOFF__ABORT_PROTOCOL,
			"this address is for clients with sessions");
	return handoff__greet_plain(conn, w);
}

int
handoff__greet_handle(
	struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	switch (head_of(conn)->mode) {
	case HANDOFF__SESSION_PLAIN:
		conn->next->flags &= ~(uint32_t)HANDOFF__HOLDS_INPUT;
		return call_plain(conn, w, HANDOFF_WRAP_HANDLE);
	case HANDOFF__SESSION_UNDECIDED:
		return look_at_preface(conn, w);
	case HANDOFF__SESSION_HELLO:
		return shake_hands(conn, w, is_late(conn));
	default:
		return 0; /* the loop is to answer */
	}
}

int
handoff__greet_hook(struct handoff_conn *conn, const struct handoff__wrapper *w,
	enum handoff_wrap_hook hook)
{
	return head_of(conn)->mode == HANDOFF__SESSION_PLAIN
		       ? call_plain(conn, w, hook)
		       : 0;
}
