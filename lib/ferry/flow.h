/* SPDX-License-Identifier: MIT */
/* A flow: the addresses and ports of one TCP connection, as they are in its
 * packets. */
#ifndef HANDOFF_FERRY_FLOW_H
#define HANDOFF_FERRY_FLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct handoff__flow {
	uint8_t family;              /* 4 or 6, of the packets */
	uint8_t local[16], peer[16]; /* network order; IPv4: the first four */
	uint16_t local_port, peer_port; /* in host order */
};

/* The flow of a connected socket; an IPv4 connection of an IPv6 socket is one
 * of family 4. -errno if it has none. */
int handoff__flow_of(int fd, struct handoff__flow *flow);

/* The same of a connection between these addresses of its ends. */
int handoff__flow_between(const struct sockaddr_storage *local,
	const struct sockaddr_storage *peer, struct handoff__flow *flow);

bool handoff__flow_equal(
	const struct handoff__flow *a, const struct handoff__flow *b);

#endif
