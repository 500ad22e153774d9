/* SPDX-License-Identifier: MIT */
/*
 * One end of a session: windows, acknowledgements, resuming, END and ABORT;
 * that it refuses positions that cannot be, from the other side and from
 * shared memory. What two ends make of it: test_simulation.c.
 */
#include "support/support.h"

#include "session/flow.h"

#include <errno.h>
#include <string.h>

static const struct handoff__flow_limits limits = {
	.keep = 1024, .take = 2048, .memory = 4096};

static const struct handoff__frame asked = {
	.type = HANDOFF__FRAME_NEW, .to_server = 4096, .to_client = 1000};

/* A server's end of a new session: it may send 1000, and takes 2048. */
static struct handoff__flow
server(void)
{
	struct handoff__flow flow;
	struct handoff__frame welcome;

	memset(&flow, 0xee, sizeof(flow));
	handoff__flow_serve(&flow, &limits, &asked);
	handoff__flow_welcome(&flow, false, &welcome);
	assert_true(handoff__flow_valid(&flow));
	return flow;
}

static int
input(struct handoff__flow *flow, enum handoff__frame_type type, uint32_t len,
	uint32_t ack)
{
	struct handoff__frame frame = {.type = type, .len = len, .ack = ack};

	return handoff__flow_input(flow, &frame, NULL);
}

static void
refuses(struct handoff__flow *flow, const struct handoff__frame *frame,
	const char *expected)
{
	struct handoff__flow before = *flow;
	const char *why = NULL;

	assert_int_equal(handoff__flow_input(flow, frame, &why), -EPROTO);
	assert_string_equal(why, expected);
	assert_memory_equal(flow, &before, sizeof(before));
	assert_int_equal(handoff__flow_input(flow, frame, NULL), -EPROTO);
}

static void
takes(struct handoff__flow *flow, uint32_t len, uint32_t ack)
{
	assert_int_equal(
		input(flow, HANDOFF__FRAME_DATA, len, ack), HANDOFF__FLOW_DATA);
	assert_int_equal(flow->rx_left, len);
	handoff__flow_take(flow, len);
	assert_true(handoff__flow_valid(flow));
}

/* Frames `len` bytes; returns the acknowledgement that it carries. */
static uint32_t
sends(struct handoff__flow *flow, uint32_t len)
{
	unsigned char header[HANDOFF__FRAME_HEADER];
	struct handoff__frame frame;

	handoff__flow_data(flow, len, header);
	assert_true(handoff__flow_valid(flow));
	assert_int_equal(
		handoff__frame_decode(&frame, header, sizeof(header), NULL),
		HANDOFF__FRAME_HEADER);
	assert_int_equal(frame.type, HANDOFF__FRAME_DATA);
	assert_int_equal(frame.len, len);
	return frame.ack;
}

static uint32_t
ends(struct handoff__flow *flow)
{
	unsigned char header[HANDOFF__FRAME_HEADER];
	struct handoff__frame frame;

	handoff__flow_end(flow, header);
	assert_true(handoff__flow_valid(flow));
	assert_int_equal(
		handoff__frame_decode(&frame, header, sizeof(header), NULL),
		HANDOFF__FRAME_HEADER);
	assert_int_equal(frame.type, HANDOFF__FRAME_END);
	return frame.ack;
}

static uint32_t
acks(struct handoff__flow *flow)
{
	unsigned char header[HANDOFF__FRAME_HEADER];
	struct handoff__frame frame;

	handoff__flow_ack(flow, header);
	assert_int_equal(
		handoff__frame_decode(&frame, header, sizeof(header), NULL),
		HANDOFF__FRAME_HEADER);
	assert_int_equal(frame.type, HANDOFF__FRAME_ACK);
	return frame.ack;
}

static void
test_windows_are_the_smaller_ones(void **state)
{
	struct handoff__flow server_end, client_end;
	struct handoff__frame frame;
	struct handoff__flow_limits huge = {
		.keep = UINT32_MAX, .take = UINT32_MAX, .memory = UINT32_MAX};

	(void)state;
	handoff__flow_ask(&huge, &frame);
	assert_int_equal(frame.type, HANDOFF__FRAME_NEW);
	assert_int_equal(frame.to_server, HANDOFF__WINDOW_MAX);
	assert_int_equal(frame.to_client, HANDOFF__WINDOW_MAX);
	handoff__flow_serve(&server_end, &limits, &frame);
	assert_int_equal(server_end.tx_window, 1024);
	assert_int_equal(server_end.rx_window, 2048);
	handoff__flow_welcome(&server_end, false, &frame);
	assert_int_equal(frame.to_server, 2048);
	assert_int_equal(frame.to_client, 1024);
	assert_int_equal(handoff__flow_begin(&client_end, &huge, &frame), 0);
	assert_int_equal(client_end.tx_window, 2048);
	assert_int_equal(client_end.rx_window, 1024);
	assert_true(handoff__flow_valid(&client_end));
}

static void
test_welcome_that_cannot_be(void **state)
{
	const struct handoff__frame good = {.type = HANDOFF__FRAME_WELCOME,
		.to_server = 1024,
		.to_client = 2048};
	struct handoff__frame bad[6];
	struct handoff__flow flow = {.tx_sent = 99}, same = flow;

	(void)state;
	for (size_t i = 0; i < 6; i++)
		bad[i] = good;
	bad[0].resumed = true;
	bad[1].received = 1;
	bad[2].ack = 1;
	bad[3].to_server = 1025;
	bad[4].to_client = 2049;
	bad[5].type = HANDOFF__FRAME_REFUSED;
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(
			handoff__flow_begin(&flow, &limits, &bad[i]), -EPROTO);
	assert_memory_equal(&flow, &same, sizeof(flow));
	assert_int_equal(handoff__flow_begin(&flow, &limits, &good), 0);
}

static void
test_sends_up_to_the_window(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	assert_int_equal(handoff__flow_room(&flow), 1000);
	sends(&flow, 600);
	assert_int_equal(handoff__flow_room(&flow), 400);
	assert_int_equal(handoff__flow_kept(&flow), 600);
	sends(&flow, 400);
	assert_int_equal(handoff__flow_room(&flow), 0);
	assert_int_equal(input(&flow, HANDOFF__FRAME_ACK, 0, 250),
		HANDOFF__FLOW_NOTHING);
	assert_int_equal(handoff__flow_room(&flow), 250);
	assert_int_equal(handoff__flow_kept(&flow), 750);
	assert_true(handoff__flow_valid(&flow));
}

/* An ACK at a quarter of the window, not before. */
static void
test_acknowledges_by_quarters(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	takes(&flow, 511, 0);
	assert_false(handoff__flow_ack_due(&flow));
	takes(&flow, 1, 0);
	assert_true(handoff__flow_ack_due(&flow));
	assert_int_equal(acks(&flow), 512);
	assert_false(handoff__flow_ack_due(&flow));
	takes(&flow, 100, 0);
	assert_int_equal(sends(&flow, 1), 612); /* with each frame */
}

/* What the application does not consume is acknowledged only as long as the
 * whole window fits beside it. */
static void
test_acknowledges_what_fits(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	takes(&flow, 2048, 0);
	assert_int_equal(acks(&flow), 2048);
	takes(&flow, 2048, 0);
	assert_false(handoff__flow_ack_due(&flow));
	assert_int_equal(acks(&flow), 2048);
	assert_int_equal(handoff__flow_held(&flow), 4096);
	handoff__flow_read(&flow, 511);
	assert_false(handoff__flow_ack_due(&flow));
	handoff__flow_read(&flow, 1);
	assert_true(handoff__flow_ack_due(&flow));
	assert_int_equal(acks(&flow), 2560);
	assert_int_equal(handoff__flow_held(&flow), 3584);
	assert_true(handoff__flow_valid(&flow));
}

/* The last quarter is acknowledged when the other side asks for it, once. */
static void
test_sync(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	takes(&flow, 100, 0);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_SYNC, 0, 0), HANDOFF__FLOW_NOTHING);
	assert_true(handoff__flow_valid(&flow));
	assert_true(handoff__flow_ack_due(&flow));
	assert_int_equal(acks(&flow), 100);
	takes(&flow, 100, 0);
	assert_false(handoff__flow_ack_due(&flow));
}

/* What does not fit yet is acknowledged as it does. */
static void
test_sync_of_what_does_not_fit(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	takes(&flow, 2048, 0);
	acks(&flow);
	takes(&flow, 2048, 0);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_SYNC, 0, 0), HANDOFF__FLOW_NOTHING);
	assert_false(handoff__flow_ack_due(&flow));
	handoff__flow_read(&flow, 1);
	assert_true(handoff__flow_ack_due(&flow));
	assert_int_equal(acks(&flow), 2049);
	handoff__flow_read(&flow, 1);
	assert_true(handoff__flow_ack_due(&flow));
}

static void
test_sync_is_due_once(void **state)
{
	struct handoff__flow flow = server();
	unsigned char header[HANDOFF__FRAME_HEADER];
	struct handoff__frame frame = {.type = HANDOFF__FRAME_RESUME};

	(void)state;
	assert_false(handoff__flow_sync_due(&flow));
	sends(&flow, 10);
	assert_true(handoff__flow_sync_due(&flow));
	handoff__flow_sync(&flow, header);
	assert_int_equal(header[0], HANDOFF__FRAME_SYNC);
	assert_true(handoff__flow_valid(&flow));
	assert_false(handoff__flow_sync_due(&flow));
	frame.received = 5;
	assert_int_equal(handoff__flow_resume(&flow, &frame), 0);
	assert_true(handoff__flow_sync_due(&flow));
	sends(&flow, 5);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_ACK, 0, 10), HANDOFF__FLOW_NOTHING);
	assert_false(handoff__flow_sync_due(&flow));
}

static void
test_data_in_parts(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_DATA, 10, 0), HANDOFF__FLOW_DATA);
	handoff__flow_take(&flow, 4);
	assert_int_equal(flow.rx_left, 6);
	handoff__flow_take(&flow, 6);
	assert_int_equal(flow.rx_left, 0);
	assert_true(flow.rx_taken == 10);
}

static void
test_input_that_cannot_be(void **state)
{
	struct handoff__flow flow = server();
	struct handoff__frame frame = {.type = HANDOFF__FRAME_ACK, .ack = 1};

	(void)state;
	refuses(&flow, &frame, "an acknowledgement of what was not sent");
	sends(&flow, 10);
	frame.ack = 11;
	refuses(&flow, &frame, "an acknowledgement of what was not sent");
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_ACK, 0, 10), HANDOFF__FLOW_NOTHING);
	frame.ack = 9; /* back */
	refuses(&flow, &frame, "an acknowledgement of what was not sent");
	frame.ack = 10;
	frame.type = HANDOFF__FRAME_DATA;
	frame.len = 2049;
	refuses(&flow, &frame, "more DATA than the window");
	frame.len = HANDOFF__FRAME_DATA_MAX;
	refuses(&flow, &frame, "more DATA than the window");
	takes(&flow, 1000, 10); /* which is not acknowledged yet */
	frame.len = 1049;
	refuses(&flow, &frame, "more DATA than the window");
	frame.type = HANDOFF__FRAME_NEW;
	refuses(&flow, &frame, "a frame of the handshake after it");
	frame.type = HANDOFF__FRAME_REFUSED;
	refuses(&flow, &frame, "a frame of the handshake after it");
}

static void
test_nothing_after_end(void **state)
{
	struct handoff__flow flow = server();
	struct handoff__frame frame = {.type = HANDOFF__FRAME_END};

	(void)state;
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_END, 0, 0), HANDOFF__FLOW_END);
	refuses(&flow, &frame, "a frame of a stream that has ended");
	frame.type = HANDOFF__FRAME_DATA;
	frame.len = 1;
	refuses(&flow, &frame, "a frame of a stream that has ended");
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_ACK, 0, 0), HANDOFF__FLOW_NOTHING);
}

static void
test_end_has_a_position(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	takes(&flow, 7, 0);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_END, 0, 0), HANDOFF__FLOW_END);
	assert_int_equal(handoff__flow_held(&flow), 7);
	assert_true(handoff__flow_ack_due(&flow));
	assert_false(handoff__flow_over(&flow));
	sends(&flow, 3);
	assert_int_equal(ends(&flow), 8);
	assert_int_equal(handoff__flow_room(&flow), 0);
	assert_false(handoff__flow_end_due(&flow));
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_ACK, 0, 3), HANDOFF__FLOW_NOTHING);
	assert_false(handoff__flow_over(&flow));
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_ACK, 0, 4), HANDOFF__FLOW_NOTHING);
	assert_int_equal(handoff__flow_kept(&flow), 0);
	assert_true(handoff__flow_over(&flow));
}

/* The other side is told that its END is here before all is over. */
static void
test_last_acknowledgement(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	ends(&flow);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_END, 0, 1), HANDOFF__FLOW_END);
	assert_false(handoff__flow_over(&flow));
	assert_true(handoff__flow_ack_due(&flow));
	assert_int_equal(acks(&flow), 1);
	assert_true(handoff__flow_over(&flow));
}

/* END needs no room in the window. */
static void
test_end_of_a_full_window(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	sends(&flow, 1000);
	ends(&flow);
	assert_int_equal(handoff__flow_kept(&flow), 1000);
	assert_int_equal(input(&flow, HANDOFF__FRAME_ACK, 0, 1001),
		HANDOFF__FLOW_NOTHING);
	takes(&flow, 2048, 1001);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_END, 0, 1001), HANDOFF__FLOW_END);
	assert_true(handoff__flow_valid(&flow));
}

/* The END of a stream whose bytes do not fit is acknowledged once they do. */
static void
test_end_waits_for_the_bytes_before_it(void **state)
{
	struct handoff__flow flow = server();

	(void)state;
	takes(&flow, 2048, 0);
	acks(&flow);
	takes(&flow, 2048, 0);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_END, 0, 0), HANDOFF__FLOW_END);
	assert_false(handoff__flow_ack_due(&flow));
	handoff__flow_read(&flow, 1);
	assert_true(handoff__flow_ack_due(&flow)); /* no quarter any more */
	assert_int_equal(acks(&flow), 2049);
	handoff__flow_read(&flow, 4095);
	assert_int_equal(acks(&flow), 4097);
	assert_true(handoff__flow_valid(&flow));
}

static void
test_resume_sends_again(void **state)
{
	struct handoff__flow flow = server(), before;
	struct handoff__frame resume = {.type = HANDOFF__FRAME_RESUME,
		.ack = 200,
		.received = 300,
		.sent = 60};

	(void)state;
	takes(&flow, 50, 0);
	sends(&flow, 500);
	ends(&flow);
	assert_int_equal(input(&flow, HANDOFF__FRAME_ACK, 0, 100),
		HANDOFF__FLOW_NOTHING);
	assert_int_equal(input(&flow, HANDOFF__FRAME_DATA, 10, 100),
		HANDOFF__FLOW_DATA); /* and then the connection is cut */
	before = flow;
	assert_int_equal(handoff__flow_check(&flow, &resume), 0);
	assert_memory_equal(&flow, &before, sizeof(flow));
	assert_int_equal(handoff__flow_resume(&flow, &resume), 0);
	assert_true(handoff__flow_valid(&flow));
	assert_int_equal(flow.rx_left, 0);
	assert_true(flow.tx_next == 300);
	assert_int_equal(handoff__flow_kept(&flow), 300);
	assert_int_equal(handoff__flow_again(&flow), 200);
	assert_int_equal(handoff__flow_room(&flow), 200);
	resume.type = HANDOFF__FRAME_ACK; /* of what is not sent again yet */
	resume.ack = 301;
	refuses(&flow, &resume, "an acknowledgement of what was not sent");
	sends(&flow, 150);
	assert_false(handoff__flow_end_due(&flow));
	sends(&flow, 50);
	assert_true(handoff__flow_end_due(&flow));
	ends(&flow);
	assert_false(handoff__flow_end_due(&flow));
}

static void
test_welcome_says_what_was_taken(void **state)
{
	struct handoff__flow flow = server();
	struct handoff__frame frame;

	(void)state;
	takes(&flow, 2048, 0);
	acks(&flow);
	takes(&flow, 2000, 0);
	handoff__flow_welcome(&flow, true, &frame);
	assert_int_equal(frame.type, HANDOFF__FRAME_WELCOME);
	assert_true(frame.resumed);
	assert_true(frame.received == 4048);
	assert_int_equal(frame.ack, 2048);
	handoff__flow_read(&flow, 100);
	handoff__flow_wish(&flow, &frame);
	assert_int_equal(frame.type, HANDOFF__FRAME_RESUME);
	assert_int_equal(frame.ack, 2048); /* what the other side knows */
	assert_true(frame.received == 4048);
	assert_true(frame.sent == 0);
}

/* A RESUME that cannot be: a byte would be lost or be there twice. */
static void
test_resume_that_cannot_be(void **state)
{
	struct handoff__flow flow = server(), before;
	struct handoff__frame resume = {.type = HANDOFF__FRAME_RESUME,
		.ack = 100,
		.received = 100,
		.sent = 50};

	(void)state;
	takes(&flow, 50, 0);
	sends(&flow, 500);
	assert_int_equal(input(&flow, HANDOFF__FRAME_ACK, 0, 100),
		HANDOFF__FLOW_NOTHING);
	assert_int_equal(handoff__flow_check(&flow, &resume), 0);
	before = flow;
#define REFUSES(field, value)                                                  \
	do {                                                                   \
		struct handoff__frame bad = resume;                            \
		bad.field = (value);                                           \
		assert_int_equal(handoff__flow_resume(&flow, &bad), -ERANGE);  \
	} while (0)
	REFUSES(received, 99);  /* it has acknowledged 100 */
	REFUSES(received, 501); /* never sent */
	REFUSES(received, UINT64_MAX);
	REFUSES(ack, 99);
	REFUSES(ack, 101);
	REFUSES(sent, 49); /* 50 have come */
	REFUSES(sent, 50 + 2048 + 2);
	REFUSES(sent, UINT64_MAX);
	assert_memory_equal(&flow, &before, sizeof(flow));
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_END, 0, 100), HANDOFF__FLOW_END);
	resume.sent = 51;
	assert_int_equal(handoff__flow_check(&flow, &resume), 0);
	REFUSES(sent, 50);
	REFUSES(sent, 52);
	flow = before;
	resume.sent = flow.rx_told + 2048 + 1; /* a whole window, and END */
	assert_int_equal(handoff__flow_check(&flow, &resume), 0);
	REFUSES(sent, resume.sent + 1);
#undef REFUSES
}

static void
test_resume_of_what_is_over(void **state)
{
	struct handoff__flow flow = server();
	struct handoff__frame frame = {.type = HANDOFF__FRAME_RESUME};

	(void)state;
	handoff__flow_abort(&flow, HANDOFF__ABORT_APPLICATION, "", &frame);
	frame.type = HANDOFF__FRAME_RESUME;
	assert_int_equal(handoff__flow_check(&flow, &frame), -ENOENT);
}

/* The client checks the answer as well. */
static void
test_resumed_that_cannot_be(void **state)
{
	struct handoff__flow flow = server(), before;
	const struct handoff__frame good = {.type = HANDOFF__FRAME_WELCOME,
		.resumed = true,
		.received = 300,
		.ack = 200,
		.to_server = 1000,
		.to_client = 2048};
	struct handoff__frame bad[7];

	(void)state;
	sends(&flow, 500);
	before = flow;
	for (size_t i = 0; i < 7; i++)
		bad[i] = good;
	bad[0].resumed = false;
	bad[1].received = 501;
	bad[2].ack = 301;
	bad[3].to_server = 999;
	bad[4].to_client = 2047;
	bad[5].received = 199;
	bad[6].type = HANDOFF__FRAME_REFUSED;
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(handoff__flow_resume(&flow, &bad[i]), -EPROTO);
	assert_memory_equal(&flow, &before, sizeof(flow));
	assert_int_equal(handoff__flow_resume(&flow, &good), 0);
	assert_int_equal(handoff__flow_again(&flow), 200);
}

static void
test_abort(void **state)
{
	struct handoff__flow flow = server(), other = server();
	struct handoff__frame frame;

	(void)state;
	takes(&flow, 2048, 0);
	handoff__flow_abort(&flow, HANDOFF__ABORT_PROTOCOL, "bad", &frame);
	assert_int_equal(frame.type, HANDOFF__FRAME_ABORT);
	assert_int_equal(frame.reason, HANDOFF__ABORT_PROTOCOL);
	assert_int_equal(frame.ack, 2048);
	assert_string_equal(frame.text, "bad");
	assert_true(handoff__flow_over(&flow));
	assert_int_equal(handoff__flow_room(&flow), 0);
	assert_false(handoff__flow_ack_due(&flow));
	frame.ack = 0;
	refuses(&flow, &frame, "a frame after ABORT");
	assert_int_equal(
		handoff__flow_input(&other, &frame, NULL), HANDOFF__FLOW_ABORT);
	assert_true(handoff__flow_over(&other));
	assert_true(handoff__flow_valid(&other));
}

/* Positions beyond 2^32: the acknowledgement has the lowest bits only. */
static void
test_positions_beyond_32_bits(void **state)
{
	struct handoff__flow flow = server();
	const uint64_t base = UINT64_C(0x2fffffe00);

	(void)state;
	flow.tx_acked = flow.tx_next = flow.tx_sent = base;
	flow.rx_taken = flow.rx_read = flow.rx_told = base;
	assert_true(handoff__flow_valid(&flow));
	sends(&flow, 1000);
	assert_int_equal(input(&flow, HANDOFF__FRAME_ACK, 0, 0x10),
		HANDOFF__FLOW_NOTHING);
	assert_true(flow.tx_acked == UINT64_C(0x300000010));
	takes(&flow, 1024, 0x10);
	handoff__flow_read(&flow, 1024);
	assert_int_equal(acks(&flow), 0x200);
	assert_true(flow.rx_told == UINT64_C(0x300000200));
}

/* Any field from shared memory. */
static void
test_damage(void **state)
{
	struct handoff__flow flow = server(), bad;

	(void)state;
	takes(&flow, 100, 0);
	sends(&flow, 100);
	assert_int_equal(
		input(&flow, HANDOFF__FRAME_DATA, 100, 50), HANDOFF__FLOW_DATA);
	handoff__flow_read(&flow, 60);
	assert_true(handoff__flow_valid(&flow));
#define DAMAGE(field, value)                                                   \
	do {                                                                   \
		bad = flow;                                                    \
		bad.field = (value);                                           \
		assert_false(handoff__flow_valid(&bad));                       \
	} while (0)
	DAMAGE(tx_acked, 101);
	DAMAGE(tx_next, 49);
	DAMAGE(tx_next, 101);
	DAMAGE(tx_sent, 99);
	DAMAGE(tx_sent, 1051);
	DAMAGE(tx_sent, UINT64_MAX);
	DAMAGE(rx_taken, 99);
	DAMAGE(rx_taken, UINT64_MAX);
	DAMAGE(rx_read, 101);
	DAMAGE(rx_told, 101);
	DAMAGE(tx_synced, 101);
	DAMAGE(rx_synced, 101);
	DAMAGE(tx_window, 255);
	DAMAGE(tx_window, HANDOFF__WINDOW_MAX + 1);
	DAMAGE(rx_window, 0);
	DAMAGE(rx_window, 4097);
	DAMAGE(rx_memory, 2047);
	DAMAGE(rx_left, 2049);
	DAMAGE(rx_left, UINT32_MAX);
	DAMAGE(flags, 8);
	DAMAGE(flags, HANDOFF__FLOW_RX_ENDED); /* in the midst of DATA */
	DAMAGE(unused, 1);
#undef DAMAGE
	memset(&bad, 0, sizeof(bad));
	assert_false(handoff__flow_valid(&bad));
	memset(&bad, 0xff, sizeof(bad));
	assert_false(handoff__flow_valid(&bad));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows_are_the_smaller_ones),
		cmocka_unit_test(test_welcome_that_cannot_be),
		cmocka_unit_test(test_sends_up_to_the_window),
		cmocka_unit_test(test_acknowledges_by_quarters),
		cmocka_unit_test(test_acknowledges_what_fits),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_sync_of_what_does_not_fit),
		cmocka_unit_test(test_sync_is_due_once),
		cmocka_unit_test(test_data_in_parts),
		cmocka_unit_test(test_input_that_cannot_be),
		cmocka_unit_test(test_nothing_after_end),
		cmocka_unit_test(test_end_has_a_position),
		cmocka_unit_test(test_last_acknowledgement),
		cmocka_unit_test(test_end_of_a_full_window),
		cmocka_unit_test(test_end_waits_for_the_bytes_before_it),
		cmocka_unit_test(test_resume_sends_again),
		cmocka_unit_test(test_welcome_says_what_was_taken),
		cmocka_unit_test(test_resume_that_cannot_be),
		cmocka_unit_test(test_resume_of_what_is_over),
		cmocka_unit_test(test_resumed_that_cannot_be),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_positions_beyond_32_bits),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, support_setup, support_teardown);
}
