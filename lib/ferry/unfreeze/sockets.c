/* SPDX-License-Identifier: MIT */
/*
 * Asks sock_diag(7) about one connection. Its answer for a connection that is
 * not there may be the listener of its port.
 */
#include "ferry/unfreeze/sockets.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM   8192
#define WAIT_S 1

int
handoff__sockets_open(
	struct handoff__sockets *sockets, struct handoff__error *error)
{
	struct timeval wait = {.tv_sec = WAIT_S};

	*sockets = (struct handoff__sockets){
		.netlink = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC)};
	if (!sockets->netlink ||
		mnl_socket_bind(sockets->netlink, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		handoff__sockets_close(sockets);
		return handoff__fail(error, err,
			"sockets: opening a netlink socket: %s",
			strerror(-err));
	}
	setsockopt(mnl_socket_get_fd(sockets->netlink), SOL_SOCKET, SO_RCVTIMEO,
		&wait, sizeof(wait));
	return 0;
}

void
handoff__sockets_close(struct handoff__sockets *sockets)
{
	if (sockets->netlink)
		mnl_socket_close(sockets->netlink);
	sockets->netlink = NULL;
}

static int
on_socket(const struct nlmsghdr *head, void *arg)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(head);
	bool *has = arg;

	if (mnl_nlmsg_get_payload_len(head) >= sizeof(*m))
		*has = m->idiag_state != TCP_LISTEN;
	return MNL_CB_STOP;
}

static bool
ask(struct handoff__sockets *sockets, const struct handoff__flow *flow)
{
	_Alignas(struct nlmsghdr) char room[ROOM];
	struct nlmsghdr *head = mnl_nlmsg_put_header(room);
	struct inet_diag_req_v2 *body;

	head->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	head->nlmsg_flags = NLM_F_REQUEST;
	head->nlmsg_seq = ++sockets->seq;
	body = mnl_nlmsg_put_extra_header(head, sizeof(*body));
	body->sdiag_family = flow->family == 4 ? AF_INET : AF_INET6;
	body->sdiag_protocol = IPPROTO_TCP;
	body->idiag_states = UINT32_MAX;
	body->id.idiag_sport = htons(flow->local_port);
	body->id.idiag_dport = htons(flow->peer_port);
	memcpy(body->id.idiag_src, flow->local, 16);
	memcpy(body->id.idiag_dst, flow->peer, 16);
	body->id.idiag_cookie[0] = body->id.idiag_cookie[1] =
		INET_DIAG_NOCOOKIE;
	return mnl_socket_sendto(sockets->netlink, head, head->nlmsg_len) >= 0;
}

bool
handoff__sockets_have(
	struct handoff__sockets *sockets, const struct handoff__flow *flow)
{
	_Alignas(struct nlmsghdr) char room[ROOM];
	unsigned port = mnl_socket_get_portid(sockets->netlink);
	bool has = false;
	ssize_t n;

	if (!ask(sockets, flow))
		return true;
	do {
		n = mnl_socket_recvfrom(sockets->netlink, room, sizeof(room));
		if (n < 0)
			return true;
		/* the answer to a question that was given up: not to this */
	} while (((struct nlmsghdr *)room)->nlmsg_seq != sockets->seq);
	if (mnl_cb_run(room, (size_t)n, sockets->seq, port, on_socket, &has) <
		0)
		return errno != ENOENT;
	return has;
}
