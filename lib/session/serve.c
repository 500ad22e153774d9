/* SPDX-License-Identifier: MIT */
/*
 * A session in course. It always reads: what the inner service does not consume
 * is moved to the state, since acknowledgements come behind it. The inner
 * service gets the bytes of a frame where they are, in the connection's input,
 * unless some are pending already. Sees no other record and no socket.
 */
#include "session/serve.h"
#include "session/session.h"

#include <handoff/wrap.h>

#include <errno.h>

/* How long an aborted session's connection has to take its last frame. */
#define ABORT_MS 2000

struct serving {
	struct handoff_conn *conn;
	const struct handoff__wrapper *w;
	struct handoff__session_head *head; /* in the transaction's state */
	/* bytes of a frame that the inner service can have as they are; counted
	 * as taken, but neither read nor pending yet */
	const unsigned char *direct;
	size_t direct_len;
	const char *why; /* what is wrong with what has come */
};

static struct serving
begin(struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	return (struct serving){
		.conn = conn, .w = w, .head = handoff_conn_state(conn)};
}

static bool
is_closed(const struct serving *s)
{
	return (s->head->flags & HANDOFF__SESSION_CLOSED) != 0;
}

/* A part of the payload of DATA. 0 if there is none. */
static int
take_data(struct serving *s)
{
	struct handoff__flow *flow = &s->head->flow;
	size_t len;
	const unsigned char *bytes = handoff_conn_input(s->conn, &len);

	if (len > flow->rx_left)
		len = flow->rx_left;
	if (len == 0)
		return 0;
	handoff__flow_take(flow, (uint32_t)len);
	if (is_closed(s)) {
		handoff__flow_read(flow, len);
	} else if (s->head->pending_len == 0) {
		s->direct = bytes;
		s->direct_len = len;
	} else if (handoff__session_hold(s->conn, bytes, len) < 0) {
		s->why = "more DATA than the window";
		return -EPROTO;
	}
	handoff_conn_consume(s->conn, len);
	return 1;
}

/* A frame, of DATA its header. 0 if there is none that can be taken now. */
static int
take_frame(struct serving *s)
{
	struct handoff__flow *flow = &s->head->flow;
	struct handoff__frame frame;
	size_t len, kept = s->head->kept_len;
	const void *bytes = handoff_conn_input(s->conn, &len);
	int rc = handoff__frame_decode(&frame, bytes, len, &s->why);

	if (rc <= 0)
		return rc;
	if (frame.type == HANDOFF__FRAME_DATA && s->direct)
		return 0;
	len = (size_t)rc;
	rc = handoff__flow_input(flow, &frame, &s->why);
	if (rc < 0)
		return rc;
	handoff__session_unkeep(
		s->conn, kept - (size_t)handoff__flow_kept(flow));
	handoff_conn_consume(s->conn, len);
	return 1;
}

/* Takes what has come, but at most one piece that the inner service gets as it
 * is. -EPROTO: it is no frame that may come now. */
static int
receive(struct serving *s)
{
	int rc = 1;

	while (rc > 0 && !(s->head->flow.flags & HANDOFF__FLOW_ABORTED))
		rc = s->head->flow.rx_left > 0 ? take_data(s) : take_frame(s);
	return rc;
}

static bool
is_aborted(const struct serving *s)
{
	return (s->head->flow.flags & HANDOFF__FLOW_ABORTED) != 0;
}

static bool
input_ended(const struct serving *s)
{
	return (s->head->flow.flags & HANDOFF__FLOW_RX_ENDED) != 0;
}

/* Bytes that the inner service may write. */
static size_t
room_of(const struct serving *s)
{
	uint64_t flow = handoff__flow_room(&s->head->flow);
	size_t room = handoff_conn_room(s->conn);
	size_t taken = HANDOFF__FRAME_HEADER + HANDOFF__SESSION_SPARE;

	room = room > taken ? room - taken : 0;
	return flow < room ? (size_t)flow : room;
}

/* The output becomes a frame, and is kept. */
static int
frame_output(struct serving *s, const struct handoff_wrap_result *result)
{
	unsigned char header[HANDOFF__FRAME_HEADER];
	struct iovec pieces[2];
	int count;

	if (result->written == 0)
		return 0;
	handoff__flow_data(&s->head->flow, (uint32_t)result->written, header);
	handoff_wrap_fill(s->conn, result->at, header, sizeof(header));
	count = handoff_wrap_output(
		s->conn, result->at + sizeof(header), result->written, pieces);
	return handoff__session_keep(s->conn, pieces, count);
}

/* What it has consumed is gone, and the rest pending. */
static int
settle_input(struct serving *s, size_t consumed)
{
	handoff__flow_read(&s->head->flow, consumed);
	if (!s->direct) {
		handoff__session_unhold(s->conn, consumed);
		return 0;
	}
	if (consumed == s->direct_len)
		return 0;
	return handoff__session_hold(
		s->conn, s->direct + consumed, s->direct_len - consumed);
}

/* The inner service is not called any more; nothing waits for it. */
static void
close_session(struct serving *s, uint32_t by)
{
	s->head->flags |= HANDOFF__SESSION_CLOSED | by;
	handoff__flow_read(&s->head->flow, s->head->pending_len);
	handoff__session_unhold(s->conn, s->head->pending_len);
	/* a client that never takes the end does not stay for ever */
	if (s->conn->next->deadline == 0)
		handoff_conn_deadline(s->conn, s->head->timeout_ms);
}

static void
act_on_close(struct serving *s, const struct handoff_wrap_result *result)
{
	if (result->aborted)
		handoff__serve_abort(s->conn, HANDOFF__ABORT_APPLICATION,
			"ended by the service", HANDOFF_ENDED_SERVICE);
	else if (result->closed)
		close_session(s, HANDOFF__SESSION_BY_SERVICE);
}

static int
call_inner(struct serving *s, enum handoff_wrap_hook hook,
	enum handoff_conn_reason reason, struct handoff_wrap_result *result)
{
	unsigned char *state = handoff_conn_state(s->conn);
	struct handoff_wrap_call call = {
		.size = sizeof(call),
		.service = &s->w->inner,
		.hook = hook,
		.reason = reason,
		.input = s->direct
				 ? s->direct
				 : state + handoff__session_pending_at(s->head),
		.input_len = s->direct ? s->direct_len : s->head->pending_len,
		.position = s->head->flow.rx_read,
		.eof = input_ended(s),
		.reserve = HANDOFF__FRAME_HEADER,
		.room = room_of(s),
		.state_at = handoff__session_inner_at(s->head),
		.state_len = s->head->inner_len,
	};
	int rc = handoff_wrap_run(s->conn, &call, result);

	if (rc != 0)
		return rc;
	s->head->inner_len = (uint32_t)result->state_len;
	rc = frame_output(s, result);
	if (rc == 0)
		rc = settle_input(s, result->consumed);
	if (rc == 0)
		act_on_close(s, result);
	return rc;
}

static void
put(struct serving *s, const void *bytes, size_t len)
{
	handoff_conn_write(s->conn, bytes, len);
}

/* The session is over at both ends. */
static void
end_connection(struct serving *s)
{
	bool by_service = s->head->flags & HANDOFF__SESSION_BY_SERVICE;

	s->conn->next->flags |=
		HANDOFF__CLOSING | (uint32_t)(by_service ? HANDOFF_ENDED_SERVICE
							 : HANDOFF_ENDED_CLIENT)
					   << HANDOFF__END_SHIFT;
	s->conn->next->deadline = 0;
}

/* What this end has to say without data, and what follows from it. */
static int
conclude(struct serving *s)
{
	struct handoff__flow *flow = &s->head->flow;
	unsigned char header[HANDOFF__FRAME_HEADER];
	bool over = (s->conn->next->flags & HANDOFF__CLOSING) != 0;

	if (!over && is_closed(s) && !(flow->flags & HANDOFF__FLOW_TX_ENDED) &&
		handoff_conn_room(s->conn) >= sizeof(header)) {
		handoff__flow_end(flow, header);
		put(s, header, sizeof(header));
	}
	if (!over && handoff__flow_ack_due(flow) &&
		handoff_conn_room(s->conn) >= 2 * sizeof(header)) {
		handoff__flow_ack(flow, header);
		put(s, header, sizeof(header));
	}
	if (!over && handoff__flow_over(flow))
		end_connection(s);
	handoff__session_set_held(s->conn);
	return 0;
}

void
handoff__serve_abort(struct handoff_conn *conn, enum handoff__abort reason,
	const char *text, enum handoff_end_reason end)
{
	struct handoff__session_head *head = handoff_conn_state(conn);
	unsigned char bytes[HANDOFF__FRAME_MAX];
	struct handoff__frame frame;
	size_t len;

	handoff__flow_abort(&head->flow, reason, text, &frame);
	head->flags |= HANDOFF__SESSION_CLOSED;
	len = handoff__frame_encode(&frame, bytes, sizeof(bytes));
	if (len <= handoff_conn_room(conn))
		handoff_conn_write(conn, bytes, len);
	conn->next->flags |= HANDOFF__CLOSING | (uint32_t)end
							<< HANDOFF__END_SHIFT;
	handoff_conn_deadline(conn, ABORT_MS);
}

/* The other side has given the session up, or speaks another language. Nothing
 * of the inner service runs but `ended`. */
static int
give_up(struct serving *s)
{
	const char *why = s->why ? s->why : "not a frame";

	if (is_aborted(s)) {
		s->conn->next->flags |=
			HANDOFF__CLOSING | (uint32_t)HANDOFF_ENDED_CLIENT
						   << HANDOFF__END_SHIFT;
	} else {
		handoff__serve_abort(s->conn, HANDOFF__ABORT_PROTOCOL, why,
			HANDOFF_ENDED_PROTOCOL);
		handoff__session_blame(s->conn, why);
	}
	return conclude(s);
}

/* The inner `handle` has returned HANDOFF_LATER: an answer is to come. */
static bool
is_waiting(const struct serving *s)
{
	return (handoff__record_commit(s->conn->view.rec)->flags &
		       HANDOFF__WAITING) != 0;
}

/* Why the inner `handle` is called; negative: it is not. */
static int
reason_to_call(const struct serving *s, enum handoff_conn_reason outer)
{
	bool waits = s->direct || s->head->pending_len > 0;
	bool told = s->head->flags & HANDOFF__SESSION_EOF;

	if (is_closed(s))
		return -1;
	if (outer == HANDOFF_CONN_DEADLINE)
		return HANDOFF_CONN_DEADLINE;
	if (is_waiting(s) || room_of(s) == 0 ||
		!(waits || (input_ended(s) && !told)))
		return -1;
	if (input_ended(s))
		return HANDOFF_CONN_END;
	return s->direct || outer != HANDOFF_CONN_ROOM ? HANDOFF_CONN_INPUT
						       : HANDOFF_CONN_ROOM;
}

/* The inner service waits for something: for more input, or for more room. A
 * client need not acknowledge the last quarter of a window unless it is asked
 * to. */
static void
ask_for_room(struct serving *s, const struct handoff_wrap_result *result)
{
	struct handoff__flow *flow = &s->head->flow;
	unsigned char header[HANDOFF__FRAME_HEADER];

	if (result->consumed > 0 || result->written > 0 || is_closed(s) ||
		s->head->pending_len == 0 || !handoff__flow_sync_due(flow) ||
		handoff_conn_room(s->conn) < 2 * sizeof(header))
		return;
	handoff__flow_sync(flow, header);
	put(s, header, sizeof(header));
}

/* All of the input is there, and the inner service has been called for it.
 * Whether it is done with it: as a plain connection's it is then closed. */
static bool
is_done(const struct serving *s, const struct handoff_wrap_result *result)
{
	if (!input_ended(s) || is_closed(s))
		return false;
	if (s->head->pending_len == 0)
		return true;
	return result->consumed == 0 && result->written == 0 &&
	       s->head->kept_len == 0;
}

/* Whether it waits for more than can come, as a plain connection's handler with
 * a full input: not for an answer, nor for room, which all that is kept takes.
 */
static bool
is_stuck(const struct serving *s, const struct handoff_wrap_result *result)
{
	return s->head->pending_len >= s->w->input_size &&
	       result->consumed == 0 && s->head->kept_len == 0 &&
	       !is_closed(s) && !input_ended(s) && !is_waiting(s);
}

static int
handle_input(struct serving *s, enum handoff_conn_reason reason)
{
	struct handoff_wrap_result result = {.size = sizeof(result)};
	bool ended = input_ended(s);
	int rc = call_inner(s, HANDOFF_WRAP_HANDLE, reason, &result);

	if (rc != 0)
		return rc;
	if (ended)
		s->head->flags |= HANDOFF__SESSION_EOF;
	if (is_done(s, &result))
		close_session(s, 0);
	if (is_stuck(s, &result))
		handoff__serve_abort(s->conn, HANDOFF__ABORT_APPLICATION,
			"the service wants more input than it can have",
			HANDOFF_ENDED_INPUT);
	ask_for_room(s, &result);
	return conclude(s);
}

/* What was received and is not for the inner service now. */
static int
put_by(struct serving *s)
{
	int rc = s->direct ? handoff__session_hold(
				     s->conn, s->direct, s->direct_len)
			   : 0;

	return rc < 0 ? rc : conclude(s);
}

/* The client had long enough to take the end. */
static int
run_out(struct serving *s)
{
	handoff_conn_abort(s->conn);
	return 0;
}

int
handoff__serve_handle(
	struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	struct serving s = begin(conn, w);
	enum handoff_conn_reason outer = handoff_conn_reason(conn);
	int reason;

	if (receive(&s) < 0 || is_aborted(&s))
		return give_up(&s);
	if (is_closed(&s) && outer == HANDOFF_CONN_DEADLINE &&
		!handoff__flow_over(&s.head->flow))
		return run_out(&s);
	reason = reason_to_call(&s, outer);
	return reason < 0 ? put_by(&s)
			  : handle_input(&s, (enum handoff_conn_reason)reason);
}

int
handoff__serve_posted(
	struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	struct serving s = begin(conn, w);
	struct handoff_wrap_result result = {.size = sizeof(result)};
	const struct handoff_posted *posted = handoff_conn_posted(conn);
	size_t window = s.head->flow.tx_window;
	int rc;

	if (receive(&s) < 0 || is_aborted(&s))
		return give_up(&s);
	if (is_closed(&s))
		return put_by(&s);
	if (posted->len > window - window / 4)
		return -EMSGSIZE; /* there may never be so much room */
	if (posted->len > room_of(&s) || room_of(&s) < window / 2)
		return -EAGAIN;
	rc = call_inner(&s, HANDOFF_WRAP_POSTED, HANDOFF_CONN_POST, &result);
	return rc != 0 ? rc : conclude(&s);
}

int
handoff__serve_open(struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	struct serving s = begin(conn, w);
	struct handoff_wrap_result result = {.size = sizeof(result)};
	int rc = call_inner(&s, HANDOFF_WRAP_OPEN, HANDOFF_CONN_OPEN, &result);

	return rc != 0 ? rc : conclude(&s);
}

int
handoff__serve_farewell(
	struct handoff_conn *conn, const struct handoff__wrapper *w)
{
	struct serving s = begin(conn, w);
	struct handoff_wrap_result result = {.size = sizeof(result)};
	int rc = 0;

	if (!is_closed(&s) && w->inner.farewell)
		rc = call_inner(&s, HANDOFF_WRAP_FAREWELL,
			HANDOFF_CONN_FAREWELL, &result);
	if (rc != 0)
		return rc;
	if (!is_closed(&s))
		close_session(&s, HANDOFF__SESSION_BY_SERVICE);
	return conclude(&s);
}
