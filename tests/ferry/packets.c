/* SPDX-License-Identifier: MIT */
/*
 * ARP and neighbour discovery by a packet socket.
 */
#include "ferry/packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mac_c[6] = {2, 0, 0, 0, 0, 12};

int
packets_open(void)
{
	struct handoff__device device = lan_device();
	struct sockaddr_ll own = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = device.ifindex,
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	return fd;
}

static bool
parse(const uint8_t *p, size_t len, struct heard *h)
{
	unsigned type = (unsigned)p[12] << 8 | p[13];

	memset(h, 0, sizeof(*h));
	memcpy(h->from, p + 6, 6);
	if (type == ETH_P_ARP && len >= 42) {
		h->kind = p[21];
		memcpy(h->told, p + 22, 6);
		memcpy(h->sender, p + 28, 4);
		memcpy(h->target, p + 38, 4);
		return true;
	}
	if (type != ETH_P_IPV6 || len < 78 || p[20] != IPPROTO_ICMPV6)
		return false;
	h->kind = p[54];
	h->override = (p[58] & 0x20) != 0;
	memcpy(h->sender, p + 22, 16);
	memcpy(h->target, p + 62, 16);
	if (len >= 86)
		memcpy(h->told, p + 80, 6);
	return h->kind == 135 || h->kind == 136;
}

bool
packets_next(int fd, struct heard *heard, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	uint8_t data[2048];
	ssize_t n;

	while (poll(&p, 1, ms) > 0) {
		len = sizeof(from);
		n = recvfrom(fd, data, sizeof(data), 0,
			(struct sockaddr *)&from, &len);
		if (n > 14 && from.sll_pkttype != PACKET_OUTGOING &&
			parse(data, (size_t)n, heard))
			return true;
	}
	return false;
}

struct heard
packets_await(int fd, unsigned kind, uint8_t mac)
{
	struct heard h;

	while (packets_next(fd, &h, 1000)) {
		if (h.kind == kind && h.from[5] == mac)
			return h;
	}
	fail_msg("no frame of kind %u came from host %u", kind, mac);
	return h;
}

static size_t
ask_four(uint8_t *p, const struct handoff__prefix *target)
{
	static const uint8_t own[4] = {10, 77, 0, 3};
	static const uint8_t head[10] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};

	memcpy(p + 12, head, sizeof(head));
	memcpy(p + 22, mac_c, 6);
	memcpy(p + 28, own, 4);
	memset(p + 32, 0, 6);
	memcpy(p + 38, target->ip, 4);
	return 42;
}

static unsigned
sum(const uint8_t *p, size_t len, unsigned start)
{
	for (size_t i = 0; i < len; i += 2)
		start += (unsigned)p[i] << 8 | p[i + 1];
	return start;
}

/* To the target itself, as one asks whether a neighbour is still there: hosts
 * that do not have it do not listen to its group. */
static size_t
ask_six(uint8_t *p, const struct handoff__prefix *target)
{
	unsigned check;

	memset(p + 12, 0, 74);
	p[12] = 0x86;
	p[13] = 0xdd;
	p[14] = 0x60;
	p[19] = 32;
	p[20] = IPPROTO_ICMPV6;
	p[21] = 255;
	inet_pton(AF_INET6, "fd77::3", p + 22);
	memcpy(p + 38, target->ip, 16);
	p[54] = 135;
	memcpy(p + 62, target->ip, 16);
	p[78] = p[79] = 1;
	memcpy(p + 80, mac_c, 6);
	check = sum(p + 22, 32, 32 + IPPROTO_ICMPV6);
	check = sum(p + 54, 32, check);
	check = (check & 0xffff) + (check >> 16);
	check = ~((check & 0xffff) + (check >> 16));
	p[56] = (uint8_t)(check >> 8);
	p[57] = (uint8_t)check;
	return 86;
}

void
packets_ask(int fd, const struct handoff__prefix *target, uint8_t mac)
{
	uint8_t p[128];
	size_t len;

	memcpy(p, mac_c, 6);
	p[5] = mac;
	if (mac == 0)
		memset(p, 255, 6);
	memcpy(p + 6, mac_c, 6);
	len = target->family == 4 ? ask_four(p, target) : ask_six(p, target);
	assert_int_equal(send(fd, p, len, 0), len);
}
