/* SPDX-License-Identifier: MIT */
/*
 * Builds the frames that announce an address, and sends them by a packet
 * socket. Does not know whether the address is here: its owner does.
 */
#include "ferry/announce.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define FRAME 128

#define ARP_REQUEST 1
#define ARP_REPLY   2
#define NA          136
#define NA_OVERRIDE 0x20
#define NA_LENGTH   32 /* with the option of the link-layer address */

/* After the first time. */
static const int64_t delays_us[] = {50000, 150000, 800000};

#define ROUNDS (1 + sizeof(delays_us) / sizeof(*delays_us))

struct frame {
	uint8_t data[FRAME];
	size_t len;
};

static void
put(struct frame *f, const void *data, size_t len)
{
	memcpy(f->data + f->len, data, len);
	f->len += len;
}

static void
put_u16(struct frame *f, unsigned value)
{
	uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(f, bytes, 2);
}

static void
put_ethernet(struct frame *f, const uint8_t to[6], const uint8_t from[6],
	unsigned type)
{
	put(f, to, 6);
	put(f, from, 6);
	put_u16(f, type);
}

/* Sender and target are the same address. Linux takes a reply for gratuitous
 * only if both link-layer addresses are the same, too; and only then does an
 * entry change that is younger than a second. */
static void
build_arp(struct frame *f, const struct handoff__device *device,
	const struct handoff__prefix *prefix, unsigned operation)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t nobody[6];

	f->len = 0;
	put_ethernet(f, all, device->mac, ETH_P_ARP);
	put_u16(f, 1); /* Ethernet */
	put_u16(f, ETH_P_IP);
	put(f, "\6\4", 2); /* the lengths of both kinds of address */
	put_u16(f, operation);
	put(f, device->mac, 6);
	put(f, prefix->ip, 4);
	put(f, operation == ARP_REPLY ? device->mac : nobody, 6);
	put(f, prefix->ip, 4);
}

static uint32_t
sum(const uint8_t *data, size_t len, uint32_t start)
{
	for (size_t i = 0; i < len; i += 2)
		start += (uint32_t)data[i] << 8 | data[i + 1];
	return start;
}

/* RFC 4443, 2.3: over the addresses, the length and the type too. */
static unsigned
checksum(const uint8_t *ip, const uint8_t *icmp)
{
	uint32_t s = sum(ip + 8, 32, NA_LENGTH + IPPROTO_ICMPV6);

	s = sum(icmp, NA_LENGTH, s);
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

static void
build_na(struct frame *f, const struct handoff__device *device,
	const struct handoff__prefix *prefix)
{
	static const uint8_t to[6] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t all[16] = {
		0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
	static const uint8_t version[4] = {0x60};
	static const uint8_t head[8] = {NA, 0, 0, 0, NA_OVERRIDE};
	uint8_t *ip, *icmp;
	unsigned check;

	f->len = 0;
	put_ethernet(f, to, device->mac, ETH_P_IPV6);
	ip = f->data + f->len;
	put(f, version, 4);
	put_u16(f, NA_LENGTH);
	put(f, (uint8_t[]){IPPROTO_ICMPV6, 255}, 2);
	put(f, prefix->ip, 16);
	put(f, all, 16);
	icmp = f->data + f->len;
	put(f, head, sizeof(head));
	put(f, prefix->ip, 16);
	put(f, "\2\1", 2); /* the target's link-layer address, 8 bytes */
	put(f, device->mac, 6);
	check = checksum(ip, icmp);
	icmp[2] = (uint8_t)(check >> 8);
	icmp[3] = (uint8_t)check;
}

static int
send_frame(int fd, const struct handoff__device *device, const struct frame *f)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = device->ifindex,
		.sll_halen = 6,
	};

	memcpy(to.sll_addr, f->data, 6);
	return sendto(fd, f->data, f->len, MSG_NOSIGNAL | MSG_DONTWAIT,
		       (struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

static int
send_all(int fd, const struct handoff__device *device,
	const struct handoff__prefix *prefix)
{
	struct frame f;
	int err;

	if (prefix->family == 6) {
		build_na(&f, device, prefix);
		return send_frame(fd, device, &f);
	}
	build_arp(&f, device, prefix, ARP_REQUEST);
	err = send_frame(fd, device, &f);
	build_arp(&f, device, prefix, ARP_REPLY);
	return err < 0 ? err : send_frame(fd, device, &f);
}

int
handoff__announce_once(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error)
{
	/* protocol 0: it receives nothing */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? -errno : send_all(fd, device, prefix);
	char text[HANDOFF__PREFIX_TEXT];

	if (fd >= 0)
		close(fd);
	if (err == 0)
		return 0;
	handoff__prefix_format(prefix, text, sizeof(text));
	return handoff__fail(error, err, "cannot announce %s on %s: %s%s", text,
		device->name, strerror(-err),
		err == -EPERM ? ": needs CAP_NET_RAW" : "");
}

/* All of them, whatever becomes of one. */
static int
announce_round(struct handoff__announce *a, struct handoff__error *error)
{
	int first = 0, err;

	for (uint32_t i = 0; i < a->count; i++) {
		err = handoff__announce_once(
			&a->device, &a->list[i], first == 0 ? error : NULL);
		first = first == 0 ? err : first;
	}
	a->round++;
	if (a->round < ROUNDS)
		handoff__timer_arm(a->loop, &a->timer, delays_us[a->round - 1]);
	return first;
}

static void
on_timer(struct handoff__timer *timer)
{
	(void)announce_round(timer->arg, NULL);
}

void
handoff__announce_init(struct handoff__announce *a, struct handoff__loop *loop)
{
	memset(a, 0, sizeof(*a));
	a->loop = loop;
	a->timer = (struct handoff__timer){.fn = on_timer, .arg = a};
}

int
handoff__announce_start(struct handoff__announce *a,
	const struct handoff__device *device,
	const struct handoff__prefix *list, uint32_t count,
	struct handoff__error *error)
{
	handoff__announce_stop(a);
	if (count > HANDOFF__PREFIXES)
		return handoff__fail(error, -EINVAL,
			"cannot announce more than %d addresses",
			HANDOFF__PREFIXES);
	a->device = *device;
	a->count = count;
	memcpy(a->list, list, count * sizeof(*list));
	return announce_round(a, error);
}

void
handoff__announce_stop(struct handoff__announce *a)
{
	handoff__timer_disarm(a->loop, &a->timer);
	a->round = a->count = 0;
}
