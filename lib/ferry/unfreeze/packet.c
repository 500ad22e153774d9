/* SPDX-License-Identifier: MIT */
/*
 * Reads the headers of packets, which strangers write: every offset is checked
 * against the length. Knows no verdicts.
 */
#include "ferry/unfreeze/packet.h"

#include <netinet/in.h>
#include <string.h>

#define TCP_LEAST 20
#define SYN       0x02
#define ACK       0x10

static uint16_t
u16_at(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* RFC 9293, 3.1 */
static enum handoff__packet_kind
read_tcp(const unsigned char *data, size_t len, struct handoff__flow *flow,
	bool *begins)
{
	if (len < TCP_LEAST)
		return HANDOFF__PACKET_BAD;
	flow->peer_port = u16_at(data);
	flow->local_port = u16_at(data + 2);
	*begins = (data[13] & (SYN | ACK)) == SYN;
	return HANDOFF__PACKET_TCP;
}

/* RFC 791, 3.1 */
static enum handoff__packet_kind
read_four(const unsigned char *data, size_t len, struct handoff__flow *flow,
	bool *begins)
{
	size_t header;

	if (len < 20)
		return HANDOFF__PACKET_BAD;
	header = (size_t)(data[0] & 15) * 4;
	if (header < 20 || header > len || data[9] != IPPROTO_TCP)
		return HANDOFF__PACKET_BAD;
	flow->family = 4;
	memcpy(flow->peer, data + 12, 4);
	memcpy(flow->local, data + 16, 4);
	if (u16_at(data + 6) & 0x3fff) /* more fragments, or an offset */
		return HANDOFF__PACKET_FRAGMENT;
	return read_tcp(data + header, len - header, flow, begins);
}

/* RFC 8200, 4: the headers that may be between IPv6 and TCP. */
static enum handoff__packet_kind
read_six(const unsigned char *data, size_t len, struct handoff__flow *flow,
	bool *begins)
{
	size_t at = 40;
	int next;

	if (len < at)
		return HANDOFF__PACKET_BAD;
	flow->family = 6;
	memcpy(flow->peer, data + 8, 16);
	memcpy(flow->local, data + 24, 16);
	next = data[6];
	while (next != IPPROTO_TCP) {
		if (next == IPPROTO_FRAGMENT)
			return HANDOFF__PACKET_FRAGMENT;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
			next != IPPROTO_DSTOPTS)
			return HANDOFF__PACKET_BAD;
		if (len - at < 8)
			return HANDOFF__PACKET_BAD;
		next = data[at];
		at += ((size_t)data[at + 1] + 1) * 8;
		if (at > len)
			return HANDOFF__PACKET_BAD;
	}
	return read_tcp(data + at, len - at, flow, begins);
}

enum handoff__packet_kind
handoff__packet_read(const unsigned char *data, size_t len,
	struct handoff__flow *flow, bool *begins)
{
	memset(flow, 0, sizeof(*flow));
	*begins = false;
	if (len > 0 && data[0] >> 4 == 4)
		return read_four(data, len, flow, begins);
	if (len > 0 && data[0] >> 4 == 6)
		return read_six(data, len, flow, begins);
	return HANDOFF__PACKET_BAD;
}
