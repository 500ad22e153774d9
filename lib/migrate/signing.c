/* SPDX-License-Identifier: MIT */
/*
 * One question to sock_diag(7) about one socket: are there MD5 keys? The answer
 * is a message of attributes, each of which is bounded by its length.
 */
#include "migrate/signing.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

struct question {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

static bool
split_address(const struct sockaddr_storage *sa, uint32_t *addr, uint16_t *port)
{
	struct sockaddr_in four;
	struct sockaddr_in6 six;

	if (sa->ss_family == AF_INET) {
		memcpy(&four, sa, sizeof(four));
		memcpy(addr, &four.sin_addr, sizeof(four.sin_addr));
		*port = four.sin_port;
		return true;
	}
	memcpy(&six, sa, sizeof(six));
	memcpy(addr, &six.sin6_addr, sizeof(six.sin6_addr));
	*port = six.sin6_port;
	return sa->ss_family == AF_INET6;
}

static bool
fill(int fd, struct question *q)
{
	struct sockaddr_storage local = {0}, peer = {0};
	socklen_t len = sizeof(local);
	struct inet_diag_sockid *id = &q->body.id;
	uint64_t cookie = 0;

	if (getsockname(fd, (struct sockaddr *)&local, &len) < 0)
		return false;
	len = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return false;
	len = sizeof(cookie);
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return false;
	id->idiag_cookie[0] = (uint32_t)cookie;
	id->idiag_cookie[1] = (uint32_t)(cookie >> 32);
	q->head.nlmsg_len = sizeof(*q);
	q->head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	q->head.nlmsg_flags = NLM_F_REQUEST;
	q->body.sdiag_family = (uint8_t)local.ss_family;
	q->body.sdiag_protocol = IPPROTO_TCP;
	q->body.idiag_states = UINT32_MAX;
	/* the keys come along with this */
	q->body.idiag_ext = 1 << (INET_DIAG_INFO - 1);
	return split_address(&local, id->idiag_src, &id->idiag_sport) &&
	       split_address(&peer, id->idiag_dst, &id->idiag_dport);
}

static bool
names_keys(const unsigned char *answer, size_t size)
{
	const size_t begin = sizeof(struct nlmsghdr) +
			     NLMSG_ALIGN(sizeof(struct inet_diag_msg));
	struct nlmsghdr head;
	struct rtattr attr;

	if (size < begin)
		return false;
	memcpy(&head, answer, sizeof(head));
	if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	for (size_t at = begin; at + sizeof(attr) <= size;) {
		memcpy(&attr, answer + at, sizeof(attr));
		if (attr.rta_len < sizeof(attr) || attr.rta_len > size - at)
			return false;
		if (attr.rta_type == INET_DIAG_MD5SIG)
			return true;
		at += NLMSG_ALIGN((size_t)attr.rta_len);
	}
	return false;
}

bool
handoff__migrate_signed(int fd)
{
	unsigned char answer[8192];
	struct question q = {0};
	ssize_t n = -1;
	int diag;

	if (!fill(fd, &q))
		return false;
	diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (diag < 0)
		return false;
	if (send(diag, &q, sizeof(q), MSG_NOSIGNAL) == (ssize_t)sizeof(q))
		n = recv(diag, answer, sizeof(answer), MSG_DONTWAIT);
	close(diag);
	return n > 0 && names_keys(answer, (size_t)n);
}
