/* SPDX-License-Identifier: MIT */
/*
 * Between the bytes of a connection and those of a session: takes frames apart
 * where they lie, and writes the heads of those that go. The positions are
 * flow.h's; this adds which bytes they are.
 */
#include "client/talk.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Of one DATA: an acknowledgement has to wait for its last byte. */
#define BODY_MAX 65536u

void
handoff__talk_init(struct handoff__talk *talk, struct handoff__outbox *box)
{
	uint32_t keep = box->max < HANDOFF__WINDOW_MIN   ? HANDOFF__WINDOW_MIN
			: box->max > HANDOFF__WINDOW_MAX ? HANDOFF__WINDOW_MAX
							 : (uint32_t)box->max;

	memset(talk, 0, sizeof(*talk));
	talk->on = talk->first = true;
	/* The program has consumed what it was given. */
	talk->limits = (struct handoff__flow_limits){
		.keep = keep,
		.take = HANDOFF__WINDOW_MAX,
		.memory = HANDOFF__WINDOW_MAX,
	};
	/* Less than a quarter may wait for its acknowledgement for ever. */
	box->largest = box->max - box->max / 4;
}

void
handoff__talk_fini(struct handoff__talk *talk)
{
	explicit_bzero(talk->token, sizeof(talk->token));
	talk->known = false;
}

size_t
handoff__talk_ask(const struct handoff__talk *talk, bool preface,
	unsigned char out[HANDOFF__TALK_ASK_MAX])
{
	size_t at = preface ? HANDOFF__PREFACE_LEN : 0;
	struct handoff__frame frame;

	memset(&frame, 0, sizeof(frame));
	memcpy(out, handoff__preface, at);
	if (talk->known) {
		handoff__flow_wish(&talk->flow, &frame);
		frame.number = talk->number;
		memcpy(frame.token, talk->token, sizeof(frame.token));
	} else
		handoff__flow_ask(&talk->limits, &frame);
	at += handoff__frame_encode(
		&frame, out + at, HANDOFF__TALK_ASK_MAX - at);
	explicit_bzero(&frame, sizeof(frame));
	return at;
}

/* What the server acknowledges leaves the outbox. END has a position too, but
 * no byte. False if it acknowledges what it cannot have. */
static bool
note_acked(struct handoff__talk *talk, struct handoff__outbox *box)
{
	uint64_t position = talk->flow.tx_acked, n;

	if (position == talk->acked)
		return true;
	n = position - talk->acked;
	if (n > box->sent - box->acked && handoff__talk_has_ended(talk) &&
		position == talk->flow.tx_sent)
		n--;
	if (n > box->sent - box->acked)
		return false;
	handoff__outbox_acked(box, (size_t)n);
	talk->acked += n;
	return true;
}

static int
begin(struct handoff__talk *talk, const struct handoff__frame *welcome)
{
	int err = handoff__flow_begin(&talk->flow, &talk->limits, welcome);

	if (err < 0)
		return err;
	talk->number = welcome->number;
	memcpy(talk->token, welcome->token, sizeof(talk->token));
	talk->acked = talk->taken = talk->received = 0;
	talk->known = true;
	talk->first = false;
	return 0;
}

/* The server has so many bytes of the stream: the others go again. */
static bool
go_back(struct handoff__talk *talk, struct handoff__outbox *box)
{
	uint64_t position = talk->flow.tx_next;

	if (handoff__talk_has_ended(talk) && position == talk->flow.tx_sent)
		position--;
	if (!note_acked(talk, box) || position < talk->acked ||
		position - talk->acked > box->sent - box->acked)
		return false;
	handoff__outbox_seek(box, (size_t)(position - talk->acked));
	talk->taken = position;
	return true;
}

static int
resume(struct handoff__talk *talk, struct handoff__outbox *box,
	const struct handoff__frame *welcome)
{
	int err = welcome->number == talk->number
			  ? handoff__flow_resume(&talk->flow, welcome)
			  : -EPROTO;

	if (err < 0)
		return err;
	if (!go_back(talk, box))
		return -EPROTO;
	memcpy(talk->token, welcome->token, sizeof(talk->token));
	return 0;
}

int
handoff__talk_welcome(struct handoff__talk *talk, struct handoff__outbox *box,
	const struct handoff__frame *welcome)
{
	int err =
		talk->known ? resume(talk, box, welcome) : begin(talk, welcome);

	if (err < 0)
		return err;
	talk->head_at = talk->head_len = talk->body = talk->in_len = 0;
	return 0;
}

/* Decodes the next frame of `buf`, or what was left of one with what follows.
 * Returns the bytes of `buf` that this took, or -EPROTO; `*whole` tells whether
 * there is a frame. */
static int
next_frame(struct handoff__talk *talk, const unsigned char *buf, size_t len,
	struct handoff__frame *frame, bool *whole, const char **why)
{
	size_t old = talk->in_len, more = sizeof(talk->in) - old;
	int n;

	if (more > len)
		more = len;
	memcpy(talk->in + old, buf, more);
	n = handoff__frame_decode(frame, talk->in, old + more, why);
	if (n < 0)
		return n;
	*whole = n > 0;
	talk->in_len = n > 0 ? 0 : old + more;
	return n > 0 ? n - (int)old : (int)more;
}

static enum handoff__talk_news
violated(const char **why, const char *text)
{
	*why = text;
	return HANDOFF__TALK_VIOLATED;
}

static enum handoff__talk_news
react(struct handoff__talk *talk, struct handoff__outbox *box,
	const struct handoff__frame *frame, const char **why)
{
	int event = handoff__flow_input(&talk->flow, frame, why);

	if (event < 0)
		return HANDOFF__TALK_VIOLATED;
	if (!note_acked(talk, box))
		return violated(why, "it acknowledges what was not sent");
	if (event == HANDOFF__FLOW_END)
		return HANDOFF__TALK_ENDED;
	if (event != HANDOFF__FLOW_ABORT)
		return HANDOFF__TALK_ON;
	*why = frame->reason == HANDOFF__ABORT_PROTOCOL
		       ? "the server finds the protocol violated"
		       : "the service has given the session up";
	return HANDOFF__TALK_ABORTED;
}

enum handoff__talk_news
handoff__talk_input(struct handoff__talk *talk, struct handoff__outbox *box,
	unsigned char *buf, size_t len, size_t *data, const char **why)
{
	enum handoff__talk_news news = HANDOFF__TALK_ON;
	struct handoff__frame frame;
	size_t at = 0;

	*data = 0;
	while (at < len && news < HANDOFF__TALK_ABORTED) {
		size_t n = talk->flow.rx_left;
		bool whole = false;
		int taken;

		n = n < len - at ? n : len - at;
		if (n > 0) {
			memmove(buf + *data, buf + at, n);
			handoff__flow_take(&talk->flow, (uint32_t)n);
			handoff__flow_read(&talk->flow, n);
			*data += n;
			at += n;
			continue;
		}
		taken = next_frame(
			talk, buf + at, len - at, &frame, &whole, why);
		if (taken < 0)
			news = HANDOFF__TALK_VIOLATED;
		else if (whole)
			news = react(talk, box, &frame, why);
		at += taken > 0 ? (size_t)taken : 0;
	}
	talk->received += *data;
	if (news == HANDOFF__TALK_ON &&
		talk->flow.flags & HANDOFF__FLOW_RX_ENDED)
		news = HANDOFF__TALK_ENDED;
	return news;
}

/* The next frame, if one is due. */
static void
compose(struct handoff__talk *talk, const struct handoff__outbox *box, bool end)
{
	uint64_t room = handoff__flow_room(&talk->flow);
	size_t body = handoff__outbox_unsent(box);

	talk->head_at = talk->head_len = 0;
	body = body < room ? body : (size_t)room;
	body = body < BODY_MAX ? body : BODY_MAX;
	if (body > 0) {
		handoff__flow_data(&talk->flow, (uint32_t)body, talk->head);
		talk->body = body;
	} else if (handoff__outbox_unsent(box) == 0 &&
		   (handoff__flow_end_due(&talk->flow) ||
			   (end && !handoff__talk_has_ended(talk))))
		handoff__flow_end(&talk->flow, talk->head);
	else if (handoff__flow_ack_due(&talk->flow))
		handoff__flow_ack(&talk->flow, talk->head);
	else
		return;
	talk->head_len = HANDOFF__FRAME_HEADER;
}

int
handoff__talk_output(struct handoff__talk *talk,
	const struct handoff__outbox *box, bool end, struct iovec iov[3])
{
	int pieces = 0;

	if (handoff__talk_idle(talk))
		compose(talk, box, end);
	if (talk->head_at < talk->head_len)
		iov[pieces++] = (struct iovec){talk->head + talk->head_at,
			talk->head_len - talk->head_at};
	return pieces + handoff__outbox_peek(box, talk->body, iov + pieces);
}

void
handoff__talk_written(
	struct handoff__talk *talk, struct handoff__outbox *box, size_t n)
{
	size_t head = talk->head_len - talk->head_at;

	head = head < n ? head : n;
	assert(n - head <= talk->body);
	talk->head_at += head;
	talk->body -= n - head;
	if (n > head)
		handoff__outbox_passed(box, n - head);
}

bool
handoff__talk_idle(const struct handoff__talk *talk)
{
	return talk->head_at == talk->head_len && talk->body == 0;
}

bool
handoff__talk_has_ended(const struct handoff__talk *talk)
{
	return talk->flow.flags & HANDOFF__FLOW_TX_ENDED;
}

bool
handoff__talk_is_over(const struct handoff__talk *talk)
{
	return handoff__talk_idle(talk) && handoff__flow_over(&talk->flow);
}

size_t
handoff__talk_give_up(struct handoff__talk *talk, enum handoff__abort reason,
	const char *text, unsigned char out[HANDOFF__FRAME_MAX])
{
	struct handoff__frame frame;

	if (!talk->known || !handoff__talk_idle(talk) ||
		talk->flow.flags & HANDOFF__FLOW_ABORTED)
		return 0;
	memset(&frame, 0, sizeof(frame));
	handoff__flow_abort(&talk->flow, reason, text, &frame);
	return handoff__frame_encode(&frame, out, HANDOFF__FRAME_MAX);
}

size_t
handoff__talk_farewell(
	struct handoff__talk *talk, unsigned char out[HANDOFF__FRAME_MAX])
{
	if (!talk->known || !handoff__talk_idle(talk) ||
		handoff__talk_has_ended(talk) ||
		handoff__flow_again(&talk->flow) > 0)
		return 0;
	handoff__flow_end(&talk->flow, out);
	return HANDOFF__FRAME_HEADER;
}

void
handoff__talk_close(
	struct handoff__talk *talk, struct handoff__outbox *box, bool told)
{
	struct handoff__fate *fate = &talk->fate;
	uint64_t left;

	if (!talk->known)
		return;
	left = talk->acked + handoff__outbox_forget(box, told);
	fate->certain = talk->acked > talk->taken ? talk->acked : talk->taken;
	fate->doubtful = left > fate->certain ? left - fate->certain : 0;
	fate->received = talk->received;
	fate->lost = !(talk->flow.flags & HANDOFF__FLOW_RX_ENDED);
	handoff__talk_fini(talk);
	memset(&talk->flow, 0, sizeof(talk->flow));
}
