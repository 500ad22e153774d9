/* SPDX-License-Identifier: MIT */
/*
 * A socket for each question: there are few of them, and a socket that stays
 * open would have to be emptied of the answers to the last one that failed.
 */
#include "ferry/netlink.h"

#include <errno.h>
#include <string.h>

#define BUFFER 32768

struct nlmsghdr *
handoff__netlink_request(void *room, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *head;

	memset(room, 0, HANDOFF__NETLINK_ROOM);
	head = mnl_nlmsg_put_header(room);
	head->nlmsg_type = type;
	head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	head->nlmsg_seq = 1;
	return head;
}

static int
converse(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t answer,
	void *arg)
{
	_Alignas(struct nlmsghdr) char buffer[BUFFER];
	unsigned port = mnl_socket_get_portid(nl);
	ssize_t n;
	int rc = 1;

	if (mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		return -errno;
	while (rc > 0) {
		n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(buffer, (size_t)n, 1, port, answer, arg);
	}
	return rc < 0 ? -errno : 0;
}

int
handoff__netlink_ask(
	int bus, struct nlmsghdr *request, mnl_cb_t answer, void *arg)
{
	struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	int err, one = 1;

	if (!nl)
		return -errno;
	/* a dump leaves out what is not asked for (Linux 4.20); callers look at
	 * each answer all the same */
	(void)mnl_socket_setsockopt(
		nl, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	err = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (err == 0)
		err = converse(nl, request, answer, arg);
	mnl_socket_close(nl);
	return err;
}
