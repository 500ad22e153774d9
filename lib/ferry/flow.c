/* SPDX-License-Identifier: MIT */
/*
 * Flows. Reads the addresses of a socket and compares; knows neither packets
 * nor what becomes of them.
 */
#include "ferry/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static int
read_address(const struct sockaddr_storage *sa, uint8_t ip[16], uint16_t *port)
{
	const struct sockaddr_in6 *six = (const void *)sa;
	const struct sockaddr_in *four = (const void *)sa;

	memset(ip, 0, 16);
	if (sa->ss_family == AF_INET) {
		memcpy(ip, &four->sin_addr, 4);
		*port = ntohs(four->sin_port);
		return 4;
	}
	if (sa->ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	*port = ntohs(six->sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		memcpy(ip, six->sin6_addr.s6_addr + 12, 4);
		return 4;
	}
	memcpy(ip, &six->sin6_addr, 16);
	return 6;
}

int
handoff__flow_of(int fd, struct handoff__flow *flow)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(sa);
	int family, peer;

	memset(flow, 0, sizeof(*flow));
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	family = read_address(&sa, flow->local, &flow->local_port);
	len = sizeof(sa);
	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	peer = read_address(&sa, flow->peer, &flow->peer_port);
	if (family < 0 || peer != family)
		return -EAFNOSUPPORT;
	flow->family = (uint8_t)family;
	return 0;
}

bool
handoff__flow_equal(
	const struct handoff__flow *a, const struct handoff__flow *b)
{
	return a->family == b->family && a->local_port == b->local_port &&
	       a->peer_port == b->peer_port &&
	       memcmp(a->local, b->local, sizeof(a->local)) == 0 &&
	       memcmp(a->peer, b->peer, sizeof(a->peer)) == 0;
}
