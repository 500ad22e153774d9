/* SPDX-License-Identifier: MIT */
/*
 * The state machine of one end of a session. It checks every position that the
 * other side or shared memory tells against those that can be, and decides
 * what may be sent, acknowledged and forgotten. It never sees a byte.
 */
#include "session/flow.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* No stream gets there, so that no sum of positions overflows. */
#define POSITION_MAX (UINT64_C(1) << 62)

#define FLAGS                                                                  \
	(HANDOFF__FLOW_RX_ENDED | HANDOFF__FLOW_TX_ENDED |                     \
		HANDOFF__FLOW_ABORTED)

static bool
rx_ended(const struct handoff__flow *f)
{
	return f->flags & HANDOFF__FLOW_RX_ENDED;
}

static bool
tx_ended(const struct handoff__flow *f)
{
	return f->flags & HANDOFF__FLOW_TX_ENDED;
}

static bool
aborted(const struct handoff__flow *f)
{
	return f->flags & HANDOFF__FLOW_ABORTED;
}

/* Positions behind the last byte of DATA: END is not one. */
static uint64_t
rx_data(const struct handoff__flow *f)
{
	return f->rx_taken - rx_ended(f);
}

static uint64_t
tx_data(const struct handoff__flow *f)
{
	return f->tx_sent - tx_ended(f);
}

/* How far an acknowledgement may go. What may be sent after it fits into the
 * memory beside what is held; after END nothing is sent. */
static uint64_t
acknowledgeable(const struct handoff__flow *f)
{
	uint64_t data = rx_data(f);
	uint64_t fits = f->rx_read + (f->rx_memory - f->rx_window);

	return fits < data ? fits : f->rx_taken;
}

static bool
tx_valid(const struct handoff__flow *f)
{
	return f->tx_acked <= f->tx_next && f->tx_next <= f->tx_sent &&
	       f->tx_sent <= POSITION_MAX && f->tx_sent >= tx_ended(f) &&
	       f->tx_synced <= f->tx_sent &&
	       tx_data(f) - (f->tx_acked < tx_data(f) ? f->tx_acked
						      : tx_data(f)) <=
		       f->tx_window;
}

static bool
rx_valid(const struct handoff__flow *f)
{
	if (f->rx_taken > POSITION_MAX || f->rx_taken < rx_ended(f))
		return false;
	if (f->rx_read > rx_data(f) || f->rx_told > f->rx_taken ||
		f->rx_synced > f->rx_taken)
		return false;
	if (rx_data(f) - f->rx_read > f->rx_memory)
		return false;
	if (rx_ended(f))
		return f->rx_left == 0;
	return f->rx_told + f->rx_window <= f->rx_read + f->rx_memory &&
	       f->rx_taken + f->rx_left <= f->rx_told + f->rx_window;
}

static bool
window_valid(uint32_t window)
{
	return window >= HANDOFF__WINDOW_MIN && window <= HANDOFF__WINDOW_MAX;
}

bool
handoff__flow_valid(const struct handoff__flow *flow)
{
	return !(flow->flags & ~FLAGS) && flow->unused == 0 &&
	       window_valid(flow->tx_window) && window_valid(flow->rx_window) &&
	       flow->rx_window <= flow->rx_memory && tx_valid(flow) &&
	       rx_valid(flow);
}

/* The position that the lowest 32 bits stand for, at `from` or behind it: no
 * window is so long that another one could be meant. */
static uint64_t
expand(uint64_t from, uint32_t low)
{
	return from + (uint32_t)(low - (uint32_t)from);
}

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void
handoff__flow_ask(
	const struct handoff__flow_limits *limits, struct handoff__frame *out)
{
	memset(out, 0, sizeof(*out));
	out->type = HANDOFF__FRAME_NEW;
	out->to_server = least(limits->keep, HANDOFF__WINDOW_MAX);
	out->to_client = least(limits->take, HANDOFF__WINDOW_MAX);
}

static void
start(struct handoff__flow *flow, uint32_t tx_window, uint32_t rx_window,
	uint32_t rx_memory)
{
	memset(flow, 0, sizeof(*flow));
	flow->tx_window = tx_window;
	flow->rx_window = rx_window;
	flow->rx_memory = rx_memory;
	assert(handoff__flow_valid(flow));
}

void
handoff__flow_serve(struct handoff__flow *flow,
	const struct handoff__flow_limits *limits,
	const struct handoff__frame *asked)
{
	start(flow, least(limits->keep, asked->to_client),
		least(limits->take, asked->to_server), limits->memory);
}

int
handoff__flow_begin(struct handoff__flow *flow,
	const struct handoff__flow_limits *limits,
	const struct handoff__frame *welcome)
{
	if (welcome->type != HANDOFF__FRAME_WELCOME || welcome->resumed ||
		welcome->received != 0 || welcome->ack != 0 ||
		welcome->to_server > limits->keep ||
		welcome->to_client > limits->take)
		return -EPROTO;
	start(flow, welcome->to_server, welcome->to_client, limits->memory);
	return 0;
}

void
handoff__flow_wish(const struct handoff__flow *flow, struct handoff__frame *out)
{
	memset(out, 0, sizeof(*out));
	out->type = HANDOFF__FRAME_RESUME;
	out->ack = (uint32_t)flow->rx_told;
	out->received = flow->rx_taken;
	out->sent = flow->tx_sent;
}

/* Whether the other side can have received and acknowledged so much; at least
 * what it has acknowledged before, which is where expand() begins. */
static bool
received_ok(const struct handoff__flow *f, const struct handoff__frame *frame)
{
	return frame->received <= f->tx_sent &&
	       expand(f->tx_acked, frame->ack) <= frame->received;
}

int
handoff__flow_check(
	const struct handoff__flow *flow, const struct handoff__frame *resume)
{
	uint64_t most = flow->rx_told + flow->rx_window + 1; /* with END */

	if (handoff__flow_over(flow))
		return -ENOENT;
	if (rx_ended(flow))
		most = flow->rx_taken;
	if (resume->sent < flow->rx_taken || resume->sent > most ||
		!received_ok(flow, resume))
		return -ERANGE;
	return 0;
}

int
handoff__flow_resume(
	struct handoff__flow *flow, const struct handoff__frame *frame)
{
	if (frame->type == HANDOFF__FRAME_RESUME) {
		int err = handoff__flow_check(flow, frame);

		if (err < 0)
			return err;
	} else if (frame->type != HANDOFF__FRAME_WELCOME || !frame->resumed ||
		   aborted(flow) || frame->to_server != flow->tx_window ||
		   frame->to_client != flow->rx_window ||
		   !received_ok(flow, frame)) {
		return -EPROTO;
	}
	flow->tx_acked = expand(flow->tx_acked, frame->ack);
	flow->tx_next = frame->received;
	flow->tx_synced = 0; /* it may be lost */
	flow->rx_left = 0;
	return 0;
}

void
handoff__flow_welcome(
	struct handoff__flow *flow, bool resumed, struct handoff__frame *out)
{
	flow->rx_told = acknowledgeable(flow);
	memset(out, 0, sizeof(*out));
	out->type = HANDOFF__FRAME_WELCOME;
	out->ack = (uint32_t)flow->rx_told;
	out->received = flow->rx_taken;
	out->to_server = flow->rx_window;
	out->to_client = flow->tx_window;
	out->resumed = resumed;
}

/* What is wrong with a frame at this point; NULL: nothing. */
static const char *
check_input(const struct handoff__flow *f, const struct handoff__frame *frame)
{
	bool more = frame->type == HANDOFF__FRAME_DATA ||
		    frame->type == HANDOFF__FRAME_END;

	if (frame->type >= HANDOFF__FRAME_NEW)
		return "a frame of the handshake after it";
	if (aborted(f))
		return "a frame after ABORT";
	if (rx_ended(f) && more)
		return "a frame of a stream that has ended";
	if (expand(f->tx_acked, frame->ack) > f->tx_next)
		return "an acknowledgement of what was not sent";
	if (frame->type == HANDOFF__FRAME_DATA &&
		f->rx_taken + frame->len > f->rx_told + f->rx_window)
		return "more DATA than the window";
	return NULL;
}

int
handoff__flow_input(struct handoff__flow *flow,
	const struct handoff__frame *frame, const char **why)
{
	const char *wrong = check_input(flow, frame);

	assert(flow->rx_left == 0);
	if (wrong) {
		if (why)
			*why = wrong;
		return -EPROTO;
	}
	flow->tx_acked = expand(flow->tx_acked, frame->ack);
	switch (frame->type) {
	case HANDOFF__FRAME_DATA:
		flow->rx_left = frame->len;
		return HANDOFF__FLOW_DATA;
	case HANDOFF__FRAME_END:
		flow->rx_taken++;
		flow->flags |= HANDOFF__FLOW_RX_ENDED;
		return HANDOFF__FLOW_END;
	case HANDOFF__FRAME_ABORT:
		flow->flags |= HANDOFF__FLOW_ABORTED;
		return HANDOFF__FLOW_ABORT;
	case HANDOFF__FRAME_SYNC:
		flow->rx_synced = flow->rx_taken;
		return HANDOFF__FLOW_NOTHING;
	default:
		return HANDOFF__FLOW_NOTHING;
	}
}

void
handoff__flow_take(struct handoff__flow *flow, uint32_t len)
{
	assert(len <= flow->rx_left);
	flow->rx_left -= len;
	flow->rx_taken += len;
}

void
handoff__flow_read(struct handoff__flow *flow, uint64_t len)
{
	assert(len <= handoff__flow_held(flow));
	flow->rx_read += len;
}

uint64_t
handoff__flow_held(const struct handoff__flow *flow)
{
	return rx_data(flow) - flow->rx_read;
}

uint64_t
handoff__flow_room(const struct handoff__flow *flow)
{
	if (aborted(flow))
		return 0;
	if (tx_ended(flow))
		return handoff__flow_again(flow);
	return flow->tx_acked + flow->tx_window - flow->tx_next;
}

uint64_t
handoff__flow_again(const struct handoff__flow *flow)
{
	uint64_t data = tx_data(flow);

	return flow->tx_next < data && !aborted(flow) ? data - flow->tx_next
						      : 0;
}

uint64_t
handoff__flow_kept(const struct handoff__flow *flow)
{
	uint64_t data = tx_data(flow);

	return flow->tx_acked < data ? data - flow->tx_acked : 0;
}

/* A frame of this end goes out, with the acknowledgement. */
static void
header(struct handoff__flow *f, enum handoff__frame_type type, uint32_t len,
	unsigned char *out)
{
	struct handoff__frame frame = {.type = type, .len = len};

	f->rx_told = acknowledgeable(f);
	frame.ack = (uint32_t)f->rx_told;
	handoff__frame_encode(&frame, out, HANDOFF__FRAME_HEADER);
}

void
handoff__flow_data(struct handoff__flow *flow, uint32_t len,
	unsigned char out[HANDOFF__FRAME_HEADER])
{
	assert(len > 0 && len <= HANDOFF__FRAME_DATA_MAX);
	assert(len <= handoff__flow_room(flow));
	header(flow, HANDOFF__FRAME_DATA, len, out);
	flow->tx_next += len;
	if (flow->tx_next > flow->tx_sent)
		flow->tx_sent = flow->tx_next;
}

bool
handoff__flow_ack_due(const struct handoff__flow *flow)
{
	uint64_t untold = acknowledgeable(flow) - flow->rx_told;

	if (aborted(flow) || untold == 0)
		return false;
	return rx_ended(flow) || flow->rx_told < flow->rx_synced ||
	       untold >= flow->rx_window / 4;
}

void
handoff__flow_ack(
	struct handoff__flow *flow, unsigned char out[HANDOFF__FRAME_HEADER])
{
	header(flow, HANDOFF__FRAME_ACK, 0, out);
}

bool
handoff__flow_sync_due(const struct handoff__flow *flow)
{
	return flow->tx_acked < flow->tx_next &&
	       flow->tx_synced < flow->tx_next && !aborted(flow);
}

void
handoff__flow_sync(
	struct handoff__flow *flow, unsigned char out[HANDOFF__FRAME_HEADER])
{
	header(flow, HANDOFF__FRAME_SYNC, 0, out);
	flow->tx_synced = flow->tx_next;
}

bool
handoff__flow_end_due(const struct handoff__flow *flow)
{
	return tx_ended(flow) && !aborted(flow) &&
	       flow->tx_next == tx_data(flow);
}

void
handoff__flow_end(
	struct handoff__flow *flow, unsigned char out[HANDOFF__FRAME_HEADER])
{
	assert(tx_ended(flow) ? handoff__flow_end_due(flow)
			      : flow->tx_next == flow->tx_sent);
	header(flow, HANDOFF__FRAME_END, 0, out);
	flow->tx_next++;
	flow->tx_sent = flow->tx_next;
	flow->flags |= HANDOFF__FLOW_TX_ENDED;
}

void
handoff__flow_abort(struct handoff__flow *flow, enum handoff__abort reason,
	const char *text, struct handoff__frame *out)
{
	memset(out, 0, sizeof(*out));
	out->type = HANDOFF__FRAME_ABORT;
	out->ack = (uint32_t)flow->rx_taken;
	out->reason = (uint16_t)reason;
	strncpy(out->text, text, sizeof(out->text) - 1);
	flow->flags |= HANDOFF__FLOW_ABORTED;
}

bool
handoff__flow_over(const struct handoff__flow *flow)
{
	return aborted(flow) || (rx_ended(flow) && tx_ended(flow) &&
					flow->tx_acked == flow->tx_sent &&
					flow->rx_told == flow->rx_taken);
}
