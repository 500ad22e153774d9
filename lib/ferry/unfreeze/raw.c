/* SPDX-License-Identifier: MIT */
/*
 * A packet socket without a protocol: it receives nothing. The packets keep
 * their checksums and addresses; only the link address is new.
 */
#include "ferry/unfreeze/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (16 << 20)

int
handoff__raw_open(struct handoff__raw *raw, struct handoff__error *error)
{
	int room = ROOM;

	*raw = (struct handoff__raw){
		.fd = socket(AF_PACKET,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	};
	if (raw->fd < 0)
		return handoff__fail(error, -errno,
			"opening a packet socket: %s%s", strerror(errno),
			errno == EPERM ? ": it needs CAP_NET_RAW" : "");
	setsockopt(raw->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return 0;
}

void
handoff__raw_close(struct handoff__raw *raw)
{
	if (raw->fd >= 0)
		close(raw->fd);
	raw->fd = -1;
}

bool
handoff__raw_send(const struct handoff__raw *raw, int family,
	const unsigned char *data, size_t len)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(family == 4 ? ETH_P_IP : ETH_P_IPV6),
		.sll_ifindex = raw->ifindex,
		.sll_halen = ETH_ALEN,
	};

	if (raw->ifindex <= 0)
		return false;
	memcpy(to.sll_addr, raw->mac, ETH_ALEN);
	return sendto(raw->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
		       (const struct sockaddr *)&to,
		       sizeof(to)) == (ssize_t)len;
}
