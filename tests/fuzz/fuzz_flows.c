/* SPDX-License-Identifier: MIT */
/*
 * Any sequence of packets and of what a ferry asks for: every packet is decided
 * once or waits, packets of one connection keep their order, and in the end
 * none is left. Some packets are any bytes.
 */
#include "fuzz.h"

#include "ferry/unfreeze/flows.h"
#include "ferry/unfreeze/packet.h"

#include <netinet/in.h>

#define FLOWS   8
#define PACKETS 512

struct model {
	struct handoff__flows flows;
	uint32_t packets; /* numbers begin at 1 */
	bool decided[PACKETS + 1];
	uint8_t flow[PACKETS + 1]; /* FLOWS: any bytes */
	uint32_t last[FLOWS];      /* that has passed or was sent */
	uint32_t ndecided;
	uint32_t sent; /* the packet of the last send, or 0 */
};

static void
has_gone(struct model *m, uint32_t id)
{
	if (m->flow[id] == FLOWS)
		return;
	check(id > m->last[m->flow[id]]);
	m->last[m->flow[id]] = id;
}

static void
on_verdict(void *arg, uint32_t id, bool accept)
{
	struct model *m = arg;

	check(id > 0 && id <= m->packets && !m->decided[id]);
	m->decided[id] = true;
	m->ndecided++;
	if (accept)
		has_gone(m, id);
	check(!accept || m->sent != id);
}

static bool
on_send(void *arg, int family, const unsigned char *data, size_t len)
{
	struct model *m = arg;
	uint32_t id = 0;

	check(family == 4 || family == 6);
	check(len >= 4);
	memcpy(&id, data + len - 4, 4);
	if (id == 0 || id > m->packets || m->flow[id] == FLOWS)
		return true; /* any bytes */
	m->sent = id;
	has_gone(m, id);
	return true;
}

static struct handoff__flow
flow_of(uint32_t i)
{
	return (struct handoff__flow){
		.family = i % 2 ? 6 : 4,
		.local = {1, 2, 3, 4},
		.peer = {5, 6, 7, 8},
		.local_port = 80,
		.peer_port = (uint16_t)(i / 2),
	};
}

static void
send_packet(struct model *m, uint32_t i, bool begins)
{
	struct handoff__flow flow = flow_of(i);
	size_t ip = flow.family == 4 ? 20 : 40, a = flow.family == 4 ? 4 : 16;
	unsigned char data[64] = {0}, *copy;

	/* one that begins may wait while later ones pass */
	m->flow[++m->packets] = begins ? FLOWS : (uint8_t)i;
	data[0] = flow.family == 4 ? 0x45 : 0x60;
	data[flow.family == 4 ? 9 : 6] = IPPROTO_TCP;
	memcpy(data + (flow.family == 4 ? 12 : 8), flow.peer, a);
	memcpy(data + (flow.family == 4 ? 16 : 24), flow.local, a);
	data[ip + 1] = (unsigned char)flow.peer_port;
	data[ip + 13] = begins ? 0x02 : 0x10;
	data[ip + 3] = (unsigned char)flow.local_port;
	memcpy(data + ip + 20, &m->packets, 4);
	copy = exact_copy(data, ip + 24);
	handoff__flows_packet(&m->flows, m->packets, copy, ip + 24, true);
	free(copy);
}

static void
send_bytes(struct model *m, const uint8_t *data, size_t size)
{
	unsigned char *copy = exact_copy(data, size);
	struct handoff__flow flow;
	bool begins;

	m->flow[++m->packets] = FLOWS;
	if (handoff__packet_read(copy, size, &flow, &begins) ==
		HANDOFF__PACKET_TCP)
		check(size >= 40);
	handoff__flows_packet(&m->flows, m->packets, copy, size, true);
	free(copy);
}

static void
ask(struct model *m, uint8_t what, uint8_t of)
{
	uint32_t slot = of % 4, index = of / 4 % 4;
	struct handoff__flow flow = flow_of(of / 4);
	const int none = -1;

	switch (what) {
	case 0:
		handoff__flows_take(&m->flows, slot, slot + 1,
			of >> 7 ? HANDOFF__GATE_IN : HANDOFF__GATE_OUT, &flow,
			&none, 1);
		break;
	case 1:
		handoff__flows_pass(&m->flows, slot);
		break;
	case 2:
		handoff__flows_flip(&m->flows, slot);
		break;
	case 3:
		handoff__flows_forget(&m->flows, slot);
		break;
	case 4:
		handoff__flows_release(&m->flows, slot, &index, 1);
		break;
	case 5:
		handoff__flows_default(
			&m->flows, (enum handoff__gate_verdict)(of % 3));
		break;
	case 6:
		handoff__flows_settle(
			&m->flows, slot, HANDOFF__GATE_SLOTS + index);
		break;
	default:
		handoff__flows_let_pass(&m->flows);
		break;
	}
}

/* Two bytes for each step. */
static void
step(struct model *m, const uint8_t *data, size_t size)
{
	if (data[0] < 128)
		send_packet(m, data[1] % FLOWS, data[1] >> 7);
	else if (data[0] < 140)
		send_bytes(m, data + 2, size - 2 < 48 ? size - 2 : 48);
	else
		ask(m, data[0] % 8, data[1]);
	check(m->ndecided + m->flows.counts.held_now == m->packets);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m;
	const struct handoff__sink sink = {
		.verdict = on_verdict,
		.send = on_send,
		.arg = &m,
	};

	memset(&m, 0, sizeof(m));
	check(handoff__flows_init(&m.flows, &sink) == 0);
	for (; size >= 2 && m.packets < PACKETS; data += 2, size -= 2)
		step(&m, data, size);
	handoff__flows_clear(&m.flows);
	check(m.ndecided == m.packets && m.flows.counts.held_now == 0);
	check(m.flows.counts.held_bytes == 0 && m.flows.nflows == 0);
	handoff__flows_fini(&m.flows);
	return 0;
}
