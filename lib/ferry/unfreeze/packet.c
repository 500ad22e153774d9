/* SPDX-License-Identifier: MIT */
/*
 * Reads the headers of packets, which strangers write: every offset is checked
 * against the length. Knows no verdicts.
 */
#include "ferry/unfreeze/packet.h"

#include <netinet/in.h>
#include <string.h>

#define TCP_LEAST  20
#define ICMP_LEAST 8
#define SYN        0x02
#define ACK        0x10

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

/* Where what follows the header of IPv4 begins; 0: there is none. RFC 791,
 * 3.1 */
static size_t
behind_four(const unsigned char *data, size_t len)
{
	size_t header = len < 20 ? 0 : (size_t)(data[0] & 15) * 4;

	return header < 20 || header > len ? 0 : header;
}

/* The same of IPv6, whatever headers are before `next`. RFC 8200, 4 */
static size_t
behind_six(const unsigned char *data, size_t len, int *next)
{
	size_t at = 40;

	if (len < at)
		return 0;
	*next = data[6];
	while (*next == IPPROTO_HOPOPTS || *next == IPPROTO_ROUTING ||
		*next == IPPROTO_DSTOPTS) {
		if (len - at < 8)
			return 0;
		*next = data[at];
		at += ((size_t)data[at + 1] + 1) * 8;
		if (at > len)
			return 0;
	}
	return at;
}

/* Some of the packet that this host has sent, at least the ports. Anything but
 * TCP is nobody's business here. */
static enum handoff__packet_kind
read_four_inside(
	const unsigned char *data, size_t len, struct handoff__flow *flow)
{
	size_t at = behind_four(data, len);

	if (at == 0 || data[0] >> 4 != 4 || data[9] != IPPROTO_TCP ||
		(u16_at(data + 6) & 0x1fff) != 0 || len - at < 4 ||
		memcmp(flow->local, data + 12, 4) != 0)
		return HANDOFF__PACKET_OTHER;
	memcpy(flow->peer, data + 16, 4);
	flow->local_port = u16_at(data + at);
	flow->peer_port = u16_at(data + at + 2);
	return HANDOFF__PACKET_ERROR;
}

static enum handoff__packet_kind
read_six_inside(
	const unsigned char *data, size_t len, struct handoff__flow *flow)
{
	int next = 0;
	size_t at = behind_six(data, len, &next);

	if (at == 0 || data[0] >> 4 != 6 || next != IPPROTO_TCP ||
		len - at < 4 || memcmp(flow->local, data + 8, 16) != 0)
		return HANDOFF__PACKET_OTHER;
	memcpy(flow->peer, data + 24, 16);
	flow->local_port = u16_at(data + at);
	flow->peer_port = u16_at(data + at + 2);
	return HANDOFF__PACKET_ERROR;
}

static enum handoff__packet_kind
read_four(const unsigned char *data, size_t len, struct handoff__flow *flow,
	bool *begins)
{
	size_t at = behind_four(data, len);

	if (at == 0 || (data[9] != IPPROTO_TCP && data[9] != IPPROTO_ICMP))
		return HANDOFF__PACKET_BAD;
	flow->family = 4;
	memcpy(flow->peer, data + 12, 4);
	memcpy(flow->local, data + 16, 4);
	if (u16_at(data + 6) & 0x3fff) /* more fragments, or an offset */
		return HANDOFF__PACKET_FRAGMENT;
	if (data[9] == IPPROTO_TCP)
		return read_tcp(data + at, len - at, flow, begins);
	if (len - at < ICMP_LEAST || data[at] != HANDOFF__PACKET_UNREACHABLE)
		return HANDOFF__PACKET_OTHER;
	at += ICMP_LEAST;
	return read_four_inside(data + at, len - at, flow);
}

static enum handoff__packet_kind
read_six(const unsigned char *data, size_t len, struct handoff__flow *flow,
	bool *begins)
{
	int next = 0;
	size_t at = behind_six(data, len, &next);

	if (at == 0)
		return HANDOFF__PACKET_BAD;
	flow->family = 6;
	memcpy(flow->peer, data + 8, 16);
	memcpy(flow->local, data + 24, 16);
	if (next == IPPROTO_FRAGMENT)
		return HANDOFF__PACKET_FRAGMENT;
	if (next == IPPROTO_TCP)
		return read_tcp(data + at, len - at, flow, begins);
	if (next != IPPROTO_ICMPV6)
		return HANDOFF__PACKET_BAD;
	if (len - at < ICMP_LEAST || data[at] != HANDOFF__PACKET_TOO_BIG)
		return HANDOFF__PACKET_OTHER;
	at += ICMP_LEAST;
	return read_six_inside(data + at, len - at, flow);
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
