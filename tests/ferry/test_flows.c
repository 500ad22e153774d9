/* SPDX-License-Identifier: MIT */
/* The table of flows: which packets pass, wait, or go to the other host, and in
 * which order. Packets are made here; the sink writes down what was decided. */
#include "support/support.h"

#include "ferry/unfreeze/flows.h"
#include "ferry/unfreeze/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 8192

struct sink {
	/* of each packet, in the order of the verdicts */
	uint32_t ids[MANY];
	bool accepted[MANY];
	uint32_t n;
	uint32_t sent[MANY]; /* the number in its data */
	uint32_t nsent;
	bool refuses;
	uint16_t here; /* the peer's port of the one that is here */
};

static void
on_verdict(void *arg, uint32_t id, bool accept)
{
	struct sink *sink = arg;

	assert_true(sink->n < MANY);
	sink->ids[sink->n] = id;
	sink->accepted[sink->n++] = accept;
}

static bool
on_send(void *arg, int family, const unsigned char *data, size_t len)
{
	struct sink *sink = arg;

	assert_true(family == 4 || family == 6);
	assert_true(sink->nsent < MANY);
	if (sink->refuses)
		return false;
	memcpy(&sink->sent[sink->nsent++], data + len - 4, 4);
	return true;
}

static bool
on_here(void *arg, const struct handoff__flow *flow)
{
	struct sink *sink = arg;

	return flow->peer_port == sink->here;
}

struct fixture {
	struct handoff__flows flows;
	struct sink sink;
	uint32_t last; /* number of a packet */
};

static void
open_flows(struct fixture *f)
{
	const struct handoff__sink sink = {
		.verdict = on_verdict,
		.send = on_send,
		.here = on_here,
		.arg = &f->sink,
	};

	memset(&f->sink, 0, sizeof(f->sink));
	f->last = 0;
	assert_int_equal(handoff__flows_init(&f->flows, &sink), 0);
}

/* Connection number i, of IPv4 if it is even. */
static struct handoff__flow
flow_of(uint32_t i)
{
	struct handoff__flow flow = {
		.family = i % 2 ? 6 : 4,
		.local = {10, 77, 0, 100},
		.peer = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i},
		.local_port = 80,
		.peer_port = (uint16_t)(1000 + i),
	};

	return flow;
}

/* `data` has room for 64 bytes; returns the length. */
static size_t
make_packet(unsigned char *data, const struct handoff__flow *flow, uint32_t n)
{
	size_t ip = flow->family == 4 ? 20 : 40, a = flow->family == 4 ? 4 : 16;

	memset(data, 0, 64);
	data[0] = flow->family == 4 ? 0x45 : 0x60;
	data[flow->family == 4 ? 9 : 6] = IPPROTO_TCP;
	memcpy(data + (flow->family == 4 ? 12 : 8), flow->peer, a);
	memcpy(data + (flow->family == 4 ? 16 : 24), flow->local, a);
	data[ip] = (unsigned char)(flow->peer_port >> 8);
	data[ip + 1] = (unsigned char)flow->peer_port;
	data[ip + 3] = (unsigned char)flow->local_port;
	memcpy(data + ip + 20, &n, 4);
	return ip + 24;
}

static uint32_t
packet_with(struct fixture *f, uint32_t i, unsigned char flags)
{
	struct handoff__flow flow = flow_of(i);
	unsigned char data[64];
	size_t len = make_packet(data, &flow, ++f->last);

	data[len - 24 + 13] = flags;
	handoff__flows_packet(&f->flows, f->last, data, len, true);
	return f->last;
}

/* The next packet of that connection. */
static uint32_t
packet(struct fixture *f, uint32_t i)
{
	return packet_with(f, i, 0x10);
}

/* A SYN. */
static uint32_t
beginning(struct fixture *f, uint32_t i)
{
	return packet_with(f, i, 0x02);
}

static void
take(struct fixture *f, uint32_t slot, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct handoff__flow flow = flow_of(first + i);
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(handoff__flows_take(&f->flows, slot, slot + 1,
					 HANDOFF__GATE_OUT, &flow, &fd, 1),
			0);
	}
}

static void
assert_verdicts(struct fixture *f, const uint32_t *ids, uint32_t n, bool accept)
{
	assert_int_equal(f->sink.n, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(f->sink.ids[i], ids[i]);
		assert_int_equal(f->sink.accepted[i], accept);
	}
	f->sink.n = 0;
}

static void
test_unknown_pass(void **state)
{
	struct fixture f;
	uint32_t ids[2];

	(void)state;
	open_flows(&f);
	take(&f, 0, 10, 5);
	ids[0] = packet(&f, 1);
	ids[1] = packet(&f, 2);
	assert_verdicts(&f, ids, 2, true);
	assert_int_equal(f.flows.counts.passed, 2);
	handoff__flows_fini(&f.flows);
}

static void
test_hold_then_pass(void **state)
{
	struct fixture f;
	uint32_t ids[4];

	(void)state;
	open_flows(&f);
	take(&f, 3, 0, 2);
	for (uint32_t i = 0; i < 4; i++)
		ids[i] = packet(&f, i % 2);
	assert_int_equal(f.sink.n, 0);
	assert_int_equal(f.flows.counts.held_now, 4);
	assert_int_equal(handoff__flows_pass(&f.flows, 3), 0);
	assert_verdicts(&f, ids, 4, true);
	assert_int_equal(f.flows.counts.held_now, 0);
	assert_int_equal(f.flows.counts.held_bytes, 0);
	assert_int_equal(f.sink.nsent, 0);
	assert_false(handoff__flows_guard(&f.flows));
	assert_int_equal(handoff__flows_pass(&f.flows, 3), -ENOENT);
	handoff__flows_fini(&f.flows);
}

static void
test_hold_then_flip(void **state)
{
	struct fixture f;
	uint32_t ids[6];

	(void)state;
	open_flows(&f);
	take(&f, 3, 0, 2);
	for (uint32_t i = 0; i < 4; i++)
		ids[i] = packet(&f, i % 2);
	assert_int_equal(handoff__flows_flip(&f.flows, 3), 0);
	ids[4] = packet(&f, 0);
	ids[5] = packet(&f, 1);
	assert_verdicts(&f, ids, 6, false);
	assert_int_equal(f.sink.nsent, 6);
	assert_memory_equal(f.sink.sent, ids, sizeof(ids));
	assert_int_equal(f.flows.counts.flipped, 6);
	assert_true(handoff__flows_guard(&f.flows));
	assert_int_equal(handoff__flows_forget(&f.flows, 3), 0);
	ids[0] = packet(&f, 0);
	assert_verdicts(&f, ids, 1, true);
	handoff__flows_fini(&f.flows);
}

/* What the device does not take is dropped, as a network does. */
static void
test_unsent(void **state)
{
	struct handoff__flow flow = flow_of(0);
	unsigned char data[64];
	struct fixture f;
	uint32_t id;

	(void)state;
	open_flows(&f);
	take(&f, 0, 0, 1);
	handoff__flows_flip(&f.flows, 0);
	f.sink.refuses = true;
	id = packet(&f, 0);
	assert_verdicts(&f, &id, 1, false);
	/* cut short by the kernel: it cannot be sent on */
	f.sink.refuses = false;
	handoff__flows_packet(
		&f.flows, 99, data, make_packet(data, &flow, 1), false);
	assert_int_equal(f.sink.nsent, 0);
	assert_int_equal(f.flows.counts.unsent, 2);
	assert_int_equal(f.flows.counts.flipped, 0);
	handoff__flows_fini(&f.flows);
}

/* Of unknown flows only the beginnings wait; with their batch, if one takes
 * them, and before later ones. */
static void
test_default(void **state)
{
	struct fixture f;
	uint32_t ids[4], other;

	(void)state;
	open_flows(&f);
	handoff__flows_default(&f.flows, HANDOFF__GATE_HOLD);
	ids[0] = beginning(&f, 0);
	other = beginning(&f, 5);
	ids[1] = beginning(&f, 1);
	assert_int_equal(f.sink.n, 0);
	ids[2] = packet(&f, 6);
	ids[3] = packet_with(&f, 7, 0x12); /* an answer to a SYN of this host */
	assert_verdicts(&f, &ids[2], 2, true);
	take(&f, 0, 0, 2);
	ids[2] = packet(&f, 0);
	ids[3] = packet(&f, 1);
	assert_int_equal(f.sink.n, 0);
	handoff__flows_pass(&f.flows, 0);
	assert_verdicts(&f, ids, 4, true);
	handoff__flows_default(&f.flows, HANDOFF__GATE_FLIP);
	assert_verdicts(&f, &other, 1, false);
	assert_int_equal(f.sink.nsent, 1);
	assert_int_equal(f.sink.sent[0], other);
	other = packet(&f, 6);
	assert_int_equal(f.sink.sent[1], other);
	handoff__flows_fini(&f.flows);
}

/* What this host does not have is the other one's, unless it only begins; and
 * a batch that has it says itself what becomes of it. */
static void
test_seek(void **state)
{
	struct fixture f;
	uint32_t ids[2], lacking;
	struct handoff__flow flow = flow_of(2);

	(void)state;
	open_flows(&f);
	f.sink.here = flow_of(1).peer_port;
	assert_false(handoff__flows_guard(&f.flows));
	handoff__flows_seek(&f.flows, true);
	assert_true(handoff__flows_guard(&f.flows));
	ids[0] = packet(&f, 1);
	ids[1] = beginning(&f, 2);
	assert_verdicts(&f, ids, 2, true);
	lacking = packet(&f, 2);
	assert_verdicts(&f, &lacking, 1, false);
	assert_int_equal(f.sink.nsent, 1);
	assert_int_equal(f.sink.sent[0], lacking);
	handoff__flows_default(&f.flows, HANDOFF__GATE_HOLD);
	lacking = packet(&f, 2);
	assert_int_equal(f.sink.sent[1], lacking);
	assert_verdicts(&f, &lacking, 1, false);
	take(&f, 0, 2, 1);
	assert_null(handoff__flows_coming(&f.flows, &flow));
	ids[0] = packet(&f, 2);
	assert_int_equal(f.sink.nsent, 2);
	handoff__flows_pass(&f.flows, 0);
	assert_verdicts(&f, ids, 1, true);
	handoff__flows_seek(&f.flows, false);
	ids[0] = packet(&f, 2);
	assert_verdicts(&f, ids, 1, true);
	handoff__flows_fini(&f.flows);
}

/* A batch that is forgotten while what begins waits passes. */
static void
test_forget_held(void **state)
{
	struct fixture f;
	uint32_t ids[3];

	(void)state;
	open_flows(&f);
	take(&f, 0, 0, 1);
	ids[0] = packet(&f, 0);
	ids[1] = packet(&f, 0);
	handoff__flows_default(&f.flows, HANDOFF__GATE_HOLD);
	handoff__flows_forget(&f.flows, 0);
	ids[2] = packet(&f, 0);
	assert_verdicts(&f, ids, 3, true);
	handoff__flows_fini(&f.flows);
}

/* A released flow passes whatever others do, and another batch can have it. */
static void
test_release(void **state)
{
	const uint32_t which = 1, beyond = 2;
	struct fixture f;
	uint32_t ids[3];

	(void)state;
	open_flows(&f);
	take(&f, 0, 0, 2);
	ids[0] = packet(&f, 1);
	packet(&f, 0);
	handoff__flows_default(&f.flows, HANDOFF__GATE_FLIP);
	assert_int_equal(
		handoff__flows_release(&f.flows, 0, &beyond, 1), -EINVAL);
	assert_int_equal(
		handoff__flows_release(&f.flows, 1, &which, 1), -ENOENT);
	assert_int_equal(handoff__flows_release(&f.flows, 0, &which, 1), 0);
	ids[1] = packet(&f, 1);
	assert_verdicts(&f, ids, 2, true);
	take(&f, 1, 1, 1);
	packet(&f, 1);
	assert_int_equal(f.sink.n, 0);
	handoff__flows_forget(&f.flows, 0); /* does not take it away */
	assert_int_equal(f.sink.n, 1);      /* the one of flow 0 */
	f.sink.n = 0;
	packet(&f, 1);
	assert_int_equal(f.sink.n, 0);
	handoff__flows_fini(&f.flows);
}

/* Its flows go on to be flipped, and the slot is for others. */
static void
test_settle(void **state)
{
	const uint32_t row = HANDOFF__GATE_SLOTS;
	struct fixture f;
	uint32_t id;

	(void)state;
	open_flows(&f);
	take(&f, 0, 0, 2);
	assert_int_equal(handoff__flows_settle(&f.flows, 0, row), -EINVAL);
	handoff__flows_flip(&f.flows, 0);
	assert_int_equal(handoff__flows_settle(&f.flows, 0, 5), -EINVAL);
	assert_int_equal(handoff__flows_settle(&f.flows, 0, HANDOFF__GATE_ROWS),
		-EINVAL);
	assert_int_equal(handoff__flows_settle(&f.flows, 0, row), 0);
	assert_int_equal(handoff__flows_settle(&f.flows, 0, row), -ENOENT);
	id = packet(&f, 1);
	assert_verdicts(&f, &id, 1, false);
	assert_int_equal(f.sink.nsent, 1);
	/* a connection that is over there, and begins again here */
	take(&f, 0, 0, 1);
	packet(&f, 0);
	assert_int_equal(f.flows.counts.held_now, 1);
	assert_int_equal(handoff__flows_forget(&f.flows, row), 0);
	packet(&f, 0);
	assert_int_equal(f.flows.counts.held_now, 2);
	handoff__flows_fini(&f.flows);
}

static void
test_refused(void **state)
{
	struct handoff__flow flow = flow_of(0), bad = flow_of(1);
	struct fixture f;
	int none = -1;

	(void)state;
	open_flows(&f);
	take(&f, 0, 0, 2);
	assert_int_equal(handoff__flows_take(&f.flows, HANDOFF__GATE_ROWS, 1,
				 HANDOFF__GATE_OUT, &flow, &none, 1),
		-EINVAL);
	/* another batch in the slot; a flow of another batch */
	assert_int_equal(handoff__flows_take(&f.flows, 0, 99, HANDOFF__GATE_OUT,
				 &flow, &none, 1),
		-EEXIST);
	assert_int_equal(handoff__flows_take(&f.flows, 1, 99, HANDOFF__GATE_OUT,
				 &flow, &none, 1),
		-EEXIST);
	assert_null(handoff__flows_slot(&f.flows, 1));
	bad.family = 5;
	assert_int_equal(handoff__flows_take(&f.flows, 1, 99, HANDOFF__GATE_OUT,
				 &bad, &none, 1),
		-EINVAL);
	/* no more can be added to what was flipped */
	handoff__flows_flip(&f.flows, 0);
	flow = flow_of(7);
	assert_int_equal(handoff__flows_take(&f.flows, 0, 1, HANDOFF__GATE_OUT,
				 &flow, &none, 1),
		-EEXIST);
	/* what comes to this host has no packets */
	assert_int_equal(handoff__flows_take(&f.flows, 5, 2, HANDOFF__GATE_IN,
				 &flow, &none, 1),
		0);
	assert_int_equal(handoff__flows_flip(&f.flows, 5), -EINVAL);
	packet(&f, 7);
	assert_int_equal(f.flows.counts.passed, 1);
	handoff__flows_fini(&f.flows);
}

static void
test_bounded(void **state)
{
	struct fixture f;

	(void)state;
	open_flows(&f);
	f.flows.most_packets = 10;
	take(&f, 0, 0, 1);
	for (int i = 0; i < 15; i++)
		packet(&f, 0);
	assert_int_equal(f.flows.counts.held_now, 10);
	assert_int_equal(f.flows.counts.overflowed, 5);
	assert_int_equal(f.sink.n, 5);
	assert_false(f.sink.accepted[4]);
	f.flows.most_packets = 1000;
	f.flows.most_bytes = f.flows.counts.held_bytes + 50;
	packet(&f, 0);
	packet(&f, 0);
	assert_int_equal(f.flows.counts.held_now, 11);
	assert_int_equal(f.flows.counts.overflowed, 6);
	handoff__flows_fini(&f.flows);
}

static void
test_many(void **state)
{
	const uint32_t n = 5000;
	struct fixture f;

	(void)state;
	support_need_descriptors(n + 100);
	open_flows(&f);
	take(&f, 0, 0, n);
	for (uint32_t i = 0; i < n + 100; i++)
		packet(&f, i);
	assert_int_equal(f.flows.counts.held_now, n);
	assert_int_equal(f.flows.counts.passed, 100);
	handoff__flows_clear(&f.flows);
	assert_int_equal(f.sink.n, n + 100);
	assert_false(handoff__flows_guard(&f.flows));
	handoff__flows_fini(&f.flows);
}

static enum handoff__packet_kind
kind_of(const unsigned char *data, size_t len)
{
	struct handoff__flow flow;
	bool begins;

	return handoff__packet_read(data, len, &flow, &begins);
}

static void
test_packets(void **state)
{
	struct handoff__flow four = flow_of(0), six = flow_of(1), got;
	unsigned char data[80], longer[80];
	bool begins;
	size_t len;

	(void)state;
	len = make_packet(data, &four, 0);
	assert_int_equal(handoff__packet_read(data, len, &got, &begins),
		HANDOFF__PACKET_TCP);
	assert_false(begins);
	assert_true(handoff__flow_equal(&got, &four));
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(kind_of(data, i), HANDOFF__PACKET_BAD);
	data[6] = 0x40; /* don't fragment */
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_TCP);
	data[6] = 0x20;
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_FRAGMENT);
	data[6] = 0;
	data[7] = 1;
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_FRAGMENT);
	data[7] = 0;
	data[9] = IPPROTO_UDP;
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_BAD);
	data[9] = IPPROTO_TCP;
	data[0] = 0x4f; /* options up to beyond the end */
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_BAD);
	data[0] = 0x44;
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_BAD);

	len = make_packet(data, &six, 0);
	assert_int_equal(handoff__packet_read(data, len, &got, &begins),
		HANDOFF__PACKET_TCP);
	assert_false(begins);
	assert_true(handoff__flow_equal(&got, &six));
	for (size_t i = 0; i < 60; i++)
		assert_int_equal(kind_of(data, i), HANDOFF__PACKET_BAD);
	/* one header more */
	memcpy(longer, data, 40);
	longer[6] = IPPROTO_HOPOPTS;
	memset(longer + 40, 0, 8);
	longer[40] = IPPROTO_TCP;
	memcpy(longer + 48, data + 40, 24);
	longer[48 + 13] = 0x02;
	assert_int_equal(handoff__packet_read(longer, len + 8, &got, &begins),
		HANDOFF__PACKET_TCP);
	assert_true(begins);
	assert_true(handoff__flow_equal(&got, &six));
	longer[41] = 200;
	assert_int_equal(kind_of(longer, len + 8), HANDOFF__PACKET_BAD);
	longer[41] = 0;
	longer[40] = IPPROTO_FRAGMENT;
	assert_int_equal(kind_of(longer, len + 8), HANDOFF__PACKET_FRAGMENT);
	longer[40] = IPPROTO_ESP;
	assert_int_equal(kind_of(longer, len + 8), HANDOFF__PACKET_BAD);
}

/* An error about a packet that this connection has sent, with all of that but
 * the data; `data` has room for 128 bytes; returns the length. */
static size_t
make_error(unsigned char *data, const struct handoff__flow *flow, uint32_t n)
{
	struct handoff__flow sent = *flow;
	size_t ip = flow->family == 4 ? 20 : 40, len;
	bool four = flow->family == 4;

	memcpy(sent.local, flow->peer, 16);
	memcpy(sent.peer, flow->local, 16);
	sent.local_port = flow->peer_port;
	sent.peer_port = flow->local_port;
	memset(data, 0, 128);
	data[0] = four ? 0x45 : 0x60;
	data[four ? 9 : 6] = four ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	data[four ? 12 : 8] = 99; /* from any router */
	memcpy(data + (four ? 16 : 24), flow->local, four ? 4 : 16);
	data[ip] = four ? 3 : 2;
	len = ip + 8 + make_packet(data + ip + 8, &sent, n);
	/* make_packet writes one byte of the port that is the peer's there */
	data[2 * ip + 8 + 2] = (unsigned char)(flow->peer_port >> 8);
	return len;
}

static void
error_is_read(uint32_t connection)
{
	struct handoff__flow flow = flow_of(connection), got;
	unsigned char data[128];
	size_t len = make_error(data, &flow, 0), ip = connection % 2 ? 40 : 20;
	bool begins;

	assert_int_equal(handoff__packet_read(data, len, &got, &begins),
		HANDOFF__PACKET_ERROR);
	assert_false(begins);
	assert_true(handoff__flow_equal(&got, &flow));
	/* the ports are enough */
	assert_int_equal(kind_of(data, 2 * ip + 8 + 4), HANDOFF__PACKET_ERROR);
	for (size_t i = ip; i < 2 * ip + 8 + 4; i++)
		assert_int_equal(kind_of(data, i), HANDOFF__PACKET_OTHER);
	data[ip] = 8; /* no error */
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_OTHER);
	make_error(data, &flow, 0);
	data[ip + 8 + (connection % 2 ? 6 : 9)] = IPPROTO_UDP;
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_OTHER);
	make_error(data, &flow, 0);
	data[ip + 8 + (connection % 2 ? 8 : 12)] ^= 1; /* sent by another */
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_OTHER);
	make_error(data, &flow, 0);
	data[ip + 8] ^= 0x20; /* neither 4 nor 6 */
	assert_int_equal(kind_of(data, len), HANDOFF__PACKET_OTHER);
}

/* They go where the packets of their connection go, and in order. */
static void
test_errors(void **state)
{
	(void)state;
	error_is_read(0);
	error_is_read(1);
	for (uint32_t i = 0; i < 2; i++) {
		struct handoff__flow flow = flow_of(i), other = flow_of(i + 2);
		unsigned char data[128];
		struct fixture f;
		size_t len = make_error(data, &flow, 7);

		open_flows(&f);
		take(&f, 0, i, 1);
		handoff__flows_packet(&f.flows, 7, data, len, true);
		packet(&f, i);
		assert_int_equal(f.sink.n, 0);
		assert_int_equal(f.flows.counts.held_now, 2);
		handoff__flows_flip(&f.flows, 0);
		assert_int_equal(f.sink.nsent, 2);
		assert_int_equal(f.sink.sent[0], 7);
		make_error(data, &flow, 8);
		handoff__flows_packet(&f.flows, 8, data, len, true);
		assert_int_equal(f.sink.sent[2], 8);
		make_error(data, &other, 9);
		handoff__flows_packet(&f.flows, 9, data, len, true);
		assert_int_equal(f.sink.nsent, 3);
		assert_true(f.sink.accepted[f.sink.n - 1]);
		/* about something else: never held, nor sent on */
		handoff__flows_default(&f.flows, HANDOFF__GATE_FLIP);
		data[i ? 40 : 20] = 1;
		handoff__flows_packet(&f.flows, 10, data, len, true);
		assert_int_equal(f.sink.nsent, 3);
		assert_true(f.sink.accepted[f.sink.n - 1]);
		handoff__flows_fini(&f.flows);
	}
}

/* Whatever comes, nothing outside of it is read (this runs under sanitizers and
 * valgrind), and every packet has a verdict or waits. */
static void
test_random_packets(void **state)
{
	struct fixture f;
	unsigned seed = 1;

	(void)state;
	open_flows(&f);
	take(&f, 0, 0, 4);
	for (uint32_t i = 0; i < MANY; i++) {
		struct handoff__flow flow = flow_of(i % 6);
		size_t len = (size_t)rand_r(&seed) % 65;
		unsigned char *data = malloc(64), *copy = malloc(len + 1);

		make_packet(data, &flow, i);
		for (int n = rand_r(&seed) % 4; n > 0; n--)
			data[rand_r(&seed) % 64] = (unsigned char)rand_r(&seed);
		memcpy(copy, data, len);
		copy = realloc(copy, len > 0 ? len : 1);
		handoff__flows_packet(&f.flows, i, copy, len, true);
		free(copy);
		free(data);
	}
	assert_int_equal(f.sink.n + f.flows.counts.held_now, MANY);
	assert_true(f.flows.counts.malformed > 100);
	assert_true(f.flows.counts.held_now > 100);
	handoff__flows_fini(&f.flows);
}

/* They have no ports: as long as nothing is guarded they pass. */
static void
test_fragments(void **state)
{
	struct handoff__flow flow = flow_of(0);
	unsigned char data[64];
	struct fixture f;
	size_t len = make_packet(data, &flow, 0);

	(void)state;
	open_flows(&f);
	data[6] = 0x20;
	handoff__flows_packet(&f.flows, 1, data, len, true);
	assert_true(f.sink.accepted[0]);
	take(&f, 0, 9, 1);
	handoff__flows_packet(&f.flows, 2, data, len, true);
	assert_false(f.sink.accepted[1]);
	assert_int_equal(f.flows.counts.fragments, 1);
	handoff__flows_fini(&f.flows);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_unknown_pass),
		handoff_test(test_hold_then_pass),
		handoff_test(test_hold_then_flip),
		handoff_test(test_unsent),
		handoff_test(test_default),
		handoff_test(test_seek),
		handoff_test(test_forget_held),
		handoff_test(test_release),
		handoff_test(test_settle),
		handoff_test(test_refused),
		handoff_test(test_bounded),
		handoff_test(test_many),
		handoff_test(test_packets),
		handoff_test(test_errors),
		handoff_test(test_random_packets),
		handoff_test(test_fragments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
