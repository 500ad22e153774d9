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
handoff__flow_between(const struct sockaddr_storage *local,
	const struct sockaddr_storage *peer, struct handoff__flow *flow)
{
	int family, other;

	memset(flow, 0, sizeof(*flow));
	family = read_address(local, flow->local, &flow->local_port);
	other = read_address(peer, flow->peer, &flow->peer_port);
	if (family < 0 || other != family)
		return -EAFNOSUPPORT;
	flow->family = (uint8_t)family;
	return 0;
}

int
handoff__flow_of(int fd, struct handoff__flow *flow)
{
	struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
	struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(local);

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return -errno;
	len = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return -errno;
	return handoff__flow_between(&local, &peer, flow);
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
