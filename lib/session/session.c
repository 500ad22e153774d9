/* SPDX-License-Identifier: MIT */
/*
 * What the loop of the server does with a session: looks at what a client wants
 * to resume, moves a session to the record of another connection, refuses.
 * Within transactions of its caller, which decides and commits. Calls no
 * service.
 */
#include "session/session.h"

#include "session/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The head of a record's valid state; NULL: none, or damaged. */
static const struct handoff__session_head *
valid_head(const struct handoff__view *view)
{
	const void *state = handoff__record_valid_state(view);

	return state ? handoff__session_head(state,
			       handoff__record_commit(view->rec)->state_len,
			       NULL)
		     : NULL;
}

bool
handoff__session_wish(
	const struct handoff__view *view, struct handoff__session_wish *wish)
{
	const struct handoff__session_head *head = valid_head(view);

	if (!head || head->mode != HANDOFF__SESSION_WISH)
		return false;
	wish->number = head->number;
	wish->received = head->wish_received;
	wish->sent = head->wish_sent;
	wish->ack = head->wish_ack;
	memcpy(wish->token, head->token, sizeof(wish->token));
	return true;
}

/* In a time that does not depend on where they differ. */
static bool
same_token(const unsigned char *a, const unsigned char *b)
{
	volatile unsigned char differ = 0;

	for (size_t i = 0; i < HANDOFF__FRAME_TOKEN; i++)
		differ |= (unsigned char)(a[i] ^ b[i]);
	return differ == 0;
}

static struct handoff__frame
frame_of(const struct handoff__session_wish *wish)
{
	return (struct handoff__frame){
		.type = HANDOFF__FRAME_RESUME,
		.ack = wish->ack,
		.received = wish->received,
		.sent = wish->sent,
	};
}

int
handoff__session_check(const struct handoff__view *from,
	const struct handoff__session_wish *wish)
{
	const struct handoff__session_head *head = valid_head(from);
	struct handoff__frame frame = frame_of(wish);

	if (!head || head->mode != HANDOFF__SESSION_ON ||
		!same_token(head->token, wish->token) ||
		head->number != wish->number)
		return -ENOENT;
	return handoff__flow_check(&head->flow, &frame);
}

/* The connection is the session's from now on. */
static int
take_state(struct handoff_conn *to, const struct handoff__view *from)
{
	const struct handoff__session_head *head = valid_head(from);
	size_t len = head ? handoff__session_len(head) : 0;

	if (!head)
		return -EBADMSG;
	if (len > to->view.seg->geo.state_size)
		return -ENOBUFS;
	memcpy(to->state, head, len);
	to->next->state_len = (uint32_t)len;
	return 0;
}

static int
put(struct handoff_conn *to, const void *bytes, size_t len)
{
	if (handoff_conn_room(to) < len)
		return -ENOBUFS;
	handoff_conn_write(to, bytes, len);
	return 0;
}

static int
put_frame(struct handoff_conn *to, const struct handoff__frame *frame)
{
	unsigned char bytes[HANDOFF__FRAME_MAX];

	return put(
		to, bytes, handoff__frame_encode(frame, bytes, sizeof(bytes)));
}

/* What the client has not received, and the end. */
static int
send_again(struct handoff_conn *to, struct handoff__session_head *head)
{
	struct handoff__flow *flow = &head->flow;
	const unsigned char *kept = (const unsigned char *)(head + 1);
	uint32_t len = (uint32_t)handoff__flow_again(flow);
	size_t at = head->kept_len - len;
	unsigned char header[HANDOFF__FRAME_HEADER];
	int err = 0;

	if (len > 0) {
		handoff__flow_data(flow, len, header);
		err = put(to, header, sizeof(header));
		if (err == 0)
			err = put(to, kept + at, len);
	}
	if (err == 0 && handoff__flow_end_due(flow)) {
		handoff__flow_end(flow, header);
		err = put(to, header, sizeof(header));
	}
	return err;
}

static int
welcome(struct handoff_conn *to, const struct handoff__session_wish *wish)
{
	struct handoff__session_head *head = to->state;
	struct handoff__frame frame = frame_of(wish);
	size_t kept = head->kept_len;
	int err = handoff__flow_resume(&head->flow, &frame);

	if (err < 0)
		return -EBADMSG; /* it was checked */
	handoff__session_unkeep(
		to, kept - (size_t)handoff__flow_kept(&head->flow));
	head->resumed++;
	handoff__flow_welcome(&head->flow, true, &frame);
	frame.number = head->number;
	frame.timeout_ms = head->timeout_ms;
	memcpy(frame.token, head->token, sizeof(frame.token));
	err = put_frame(to, &frame);
	return err < 0 ? err : send_again(to, head);
}

int
handoff__session_resume(struct handoff_conn *to,
	const struct handoff__view *from,
	const struct handoff__session_wish *wish)
{
	int err = take_state(to, from);

	if (err == 0)
		err = welcome(to, wish);
	if (err < 0)
		return err;
	atomic_store_explicit(&to->view.rec->extra.session, wish->number,
		memory_order_relaxed);
	to->next->flags &= ~(uint32_t)HANDOFF__RESUMING;
	to->next->flags |= HANDOFF__SESSION | HANDOFF__OPENED;
	handoff__commit_wrap(to->next,
		((struct handoff__session_head *)to->state)->flow.rx_read);
	handoff__session_set_held(to);
	return 0;
}

int
handoff__session_refuse(struct handoff_conn *to, enum handoff__refusal why)
{
	struct handoff__session_head *head = to->state;
	struct handoff__frame frame = {
		.type = HANDOFF__FRAME_REFUSED, .reason = (uint16_t)why};
	int err;

	snprintf(frame.text, sizeof(frame.text), "%s",
		handoff__refusal_text(why));
	err = put_frame(to, &frame);
	if (err < 0)
		return err;
	if (to->next->state_len >= sizeof(*head)) {
		head->mode = HANDOFF__SESSION_HELLO;
		memset(head->token, 0, sizeof(head->token));
		head->number = 0;
	}
	to->next->flags &= ~(uint32_t)HANDOFF__RESUMING;
	return handoff_conn_deadline(to, HANDOFF__SESSION_REFUSED_MS);
}

void
handoff__session_blame(struct handoff_conn *conn, const char *why)
{
	handoff__record_set_label(conn->view.rec, why);
	conn->next->flags &= ~(uint32_t)HANDOFF__END;
	conn->next->flags |= (uint32_t)HANDOFF_ENDED_PROTOCOL
			     << HANDOFF__END_SHIFT;
}

/* What was sent and not acknowledged is kept, and what was received and is not
 * taken comes again. */
void
handoff__session_absent(struct handoff_conn *conn)
{
	struct handoff__session_head *head = conn->state;
	struct handoff__commit *next = conn->next;

	next->rx_tail = next->rx_origin = conn->rx_head;
	next->tx_head = next->tx_origin = conn->tx_tail;
	next->flags |= HANDOFF__GONE;
	if (next->state_len >= sizeof(*head))
		head->flow.rx_left = 0;
}
