/* SPDX-License-Identifier: MIT */
/*
 * With a lease, the upper half of a generation is its owner's token: the term.
 * A connection that was made in an earlier term than a notice's is dead or
 * being reset. Decides whether that is so; does nothing about it.
 */
#include "client/client.h"

#include <netinet/tcp.h>
#include <string.h>

/* The kernel counts acknowledgements in units that are as coarse as this. */
#define COARSE_US 20000

static uint32_t
term_of(uint64_t generation)
{
	return (uint32_t)(generation >> 32);
}

void
handoff__client_heard(struct handoff_client *client, uint64_t generation)
{
	if (term_of(generation) > client->heard)
		client->heard = term_of(generation);
	/* the first that was heard at all: it tells nothing about before */
	if (client->term == 0)
		client->term = client->heard;
}

bool
handoff__client_begins_term(const struct handoff_client *client,
	const struct handoff_notice *notice)
{
	return client->heard != 0 &&
	       term_of(notice->generation) > client->heard;
}

/* The address that the connection really has, whatever name led to it. */
static bool
read_peer(int fd, char text[HANDOFF_ADDRESS_MAX])
{
	struct sockaddr_storage peer = {0};
	socklen_t len = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 ||
		peer.ss_family == AF_UNIX)
		return false;
	handoff__addr_format(
		(struct sockaddr *)&peer, len, text, HANDOFF_ADDRESS_MAX);
	return true;
}

static bool
names(const struct handoff_notice *notice, const char *peer)
{
	char text[HANDOFF_ADDRESS_MAX];
	struct sockaddr_storage sa;
	socklen_t len;

	for (uint32_t i = 0; i < notice->nendpoints; i++) {
		if (handoff__addr_numeric(notice->endpoints[i], &sa, &len) < 0)
			continue;
		handoff__addr_format(
			(struct sockaddr *)&sa, len, text, HANDOFF_ADDRESS_MAX);
		if (strcmp(text, peer) == 0)
			return true;
	}
	return false;
}

bool
handoff__client_outlived(
	struct handoff_client *client, const struct handoff_notice *notice)
{
	uint32_t term = term_of(notice->generation);
	char peer[HANDOFF_ADDRESS_MAX];

	if (!handoff__stream_is_open(client->now) || client->term == 0 ||
		term <= client->term || !read_peer(client->now->fd, peer))
		return false;
	if (!names(notice, peer))
		return true;
	/* the address has moved, or it was reached before the notice came */
	client->term = term;
	return false;
}

bool
handoff__client_answers(const struct handoff_client *client)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int64_t ago_us;

	memset(&info, 0, sizeof(info));
	if (getsockopt(client->now->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return false;
	ago_us = (int64_t)info.tcpi_last_ack_recv * 1000;
	return handoff__now_us() - ago_us > client->leave_us + COARSE_US;
}
