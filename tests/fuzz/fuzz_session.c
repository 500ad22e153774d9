/* SPDX-License-Identifier: MIT */
/*
 * One end of a session with a hostile other side, or in damaged shared memory:
 * whatever comes, between the steps of an application that keeps to the
 * header, the structure stays valid, and nothing is kept or held beyond what
 * was agreed on. A violation ends the session.
 *
 * The input is a structure, if it is a valid one, and then steps: a byte says
 * which, and some have a number of 2 bytes behind it.
 */
#include "fuzz.h"

#include "session/flow.h"

#include <errno.h>

struct input {
	const uint8_t *data;
	size_t size;
};

static uint32_t
number(struct input *in)
{
	uint32_t n = 0;

	for (int i = 0; i < 2 && in->size > 0; i++, in->size--)
		n = n << 8 | *in->data++;
	return n;
}

static uint32_t
least(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static void
begin(struct handoff__flow *flow, struct input *in)
{
	const struct handoff__flow_limits limits = {1024, 1024, 1500};
	const struct handoff__frame asked = {.type = HANDOFF__FRAME_NEW,
		.to_server = 4096,
		.to_client = 512};

	if (in->size >= sizeof(*flow)) {
		memcpy(flow, in->data, sizeof(*flow));
		if (handoff__flow_valid(flow)) {
			in->data += sizeof(*flow);
			in->size -= sizeof(*flow);
			return;
		}
	}
	handoff__flow_serve(flow, &limits, &asked);
}

/* A frame of the other side, or the payload of its DATA. False: the session
 * has ended. */
static bool
receive(struct handoff__flow *flow, struct input *in)
{
	const struct handoff__flow before = *flow;
	struct handoff__frame f;
	const char *why = NULL;
	int used, event;

	if (flow->rx_left > 0) {
		handoff__flow_take(flow, least(flow->rx_left, number(in)));
		return true;
	}
	used = handoff__frame_decode(&f, in->data, in->size, NULL);
	if (used <= 0)
		return false;
	in->data += used;
	in->size -= (size_t)used;
	if (f.type == HANDOFF__FRAME_RESUME || f.type == HANDOFF__FRAME_WELCOME)
		event = handoff__flow_resume(flow, &f);
	else
		event = handoff__flow_input(flow, &f, &why);
	check(flow->tx_acked >= before.tx_acked);
	check(flow->rx_taken >= before.rx_taken);
	if (event < 0)
		check(memcmp(flow, &before, sizeof(before)) == 0);
	return event >= 0 || !why;
}

static void
write_data(struct handoff__flow *flow, uint32_t n)
{
	unsigned char header[HANDOFF__FRAME_HEADER];

	n = least(handoff__flow_room(flow), n);
	if (n > 0)
		handoff__flow_data(flow, n, header);
}

static void
write_end(struct handoff__flow *flow)
{
	unsigned char header[HANDOFF__FRAME_HEADER];

	if (handoff__flow_end_due(flow) ||
		(!(flow->flags & ~HANDOFF__FLOW_RX_ENDED) &&
			flow->tx_next == flow->tx_sent))
		handoff__flow_end(flow, header);
}

static void
write_ack(struct handoff__flow *flow)
{
	unsigned char header[HANDOFF__FRAME_HEADER];

	if (handoff__flow_ack_due(flow)) {
		handoff__flow_ack(flow, header);
		check(!handoff__flow_ack_due(flow));
	}
}

static void
write_sync(struct handoff__flow *flow)
{
	unsigned char header[HANDOFF__FRAME_HEADER];

	if (handoff__flow_sync_due(flow)) {
		handoff__flow_sync(flow, header);
		check(!handoff__flow_sync_due(flow));
	}
}

static bool
step(struct handoff__flow *flow, struct input *in)
{
	struct handoff__frame f;
	unsigned which = *in->data++ % 8;

	in->size--;
	switch (which) {
	case 0:
		write_data(flow, number(in));
		return true;
	case 1:
		write_end(flow);
		return true;
	case 2:
		write_ack(flow);
		return true;
	case 3:
		handoff__flow_read(
			flow, least(handoff__flow_held(flow), number(in)));
		return true;
	case 4:
		write_sync(flow);
		return true;
	case 5:
		handoff__flow_welcome(flow, true, &f);
		handoff__flow_wish(flow, &f);
		return true;
	default:
		return receive(flow, in);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct handoff__flow flow;
	struct handoff__frame f;

	begin(&flow, &in);
	while (in.size > 0) {
		bool goes_on = step(&flow, &in);

		check(handoff__flow_valid(&flow));
		check(handoff__flow_kept(&flow) <= flow.tx_window);
		check(handoff__flow_held(&flow) <= flow.rx_memory);
		check(handoff__flow_again(&flow) <= handoff__flow_room(&flow));
		if (!goes_on)
			break;
	}
	handoff__flow_abort(&flow, HANDOFF__ABORT_PROTOCOL, "", &f);
	check(handoff__flow_valid(&flow) && handoff__flow_over(&flow));
	check(handoff__flow_room(&flow) == 0);
	return 0;
}
