/* SPDX-License-Identifier: MIT */
/*
 * A dump of sock_diag(7) of the connections in some states; picks those of the
 * service's addresses and ports.
 */
#include "ferry/halfopen.h"

#include "ferry/netlink.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define TRIES 8 /* of a dump under which the table changes */

struct count {
	const struct handoff__prefix *addresses;
	uint32_t addresses_count;
	const uint16_t *ports;
	uint32_t ports_count;
	uint32_t states; /* by bits */
	int found;
};

static bool
is_port(const struct count *c, uint16_t port)
{
	for (uint32_t i = 0; i < c->ports_count; i++) {
		if (c->ports[i] == port)
			return true;
	}
	return false;
}

/* A client of IPv4 that has reached a socket of IPv6 has a mapped address
 * there. */
static int
on_socket(const struct nlmsghdr *head, void *arg)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(head);
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	const struct sockaddr *local = (struct sockaddr *)&six;
	struct count *c = arg;

	if (mnl_nlmsg_get_payload_len(head) < sizeof(*m) ||
		!(c->states >> m->idiag_state & 1) ||
		!is_port(c, ntohs(m->id.idiag_sport)))
		return MNL_CB_OK;
	memcpy(&four.sin_addr, m->id.idiag_src, sizeof(four.sin_addr));
	memcpy(&six.sin6_addr, m->id.idiag_src, sizeof(six.sin6_addr));
	if (m->idiag_family == AF_INET)
		local = (struct sockaddr *)&four;
	c->found +=
		handoff__prefix_holds(c->addresses, c->addresses_count, local);
	return MNL_CB_OK;
}

static int
count_family(struct count *c, uint8_t family)
{
	_Alignas(struct nlmsghdr) char room[HANDOFF__NETLINK_ROOM];
	struct inet_diag_req_v2 *body;
	struct nlmsghdr *head;
	int err = -EINTR, before = c->found;

	for (int i = 0; i < TRIES && err == -EINTR; i++) {
		c->found = before;
		head = handoff__netlink_request(
			room, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
		body = mnl_nlmsg_put_extra_header(head, sizeof(*body));
		body->sdiag_family = family;
		body->sdiag_protocol = IPPROTO_TCP;
		body->idiag_states = c->states;
		err = handoff__netlink_ask(
			NETLINK_SOCK_DIAG, head, on_socket, c);
	}
	return err;
}

static int
count_all(struct count *c, struct handoff__error *error)
{
	int err = count_family(c, AF_INET);

	if (err == 0)
		err = count_family(c, AF_INET6);
	if (err < 0)
		return handoff__fail(error, err,
			"cannot count half-open connections by sock_diag: %s",
			strerror(-err));
	return c->found;
}

int
handoff__halfopen_count(const struct handoff__prefix *addresses, uint32_t count,
	const uint16_t *ports, uint32_t ports_count,
	struct handoff__error *error)
{
	struct count c = {
		addresses, count, ports, ports_count, 1u << TCP_SYN_RECV, 0};

	return count_all(&c, error);
}

int
handoff__halfopen_ending(const struct handoff__prefix *addresses,
	uint32_t count, const uint16_t *ports, uint32_t ports_count,
	struct handoff__error *error)
{
	struct count c = {addresses, count, ports, ports_count,
		1u << TCP_FIN_WAIT1 | 1u << TCP_CLOSING | 1u << TCP_LAST_ACK,
		0};

	return count_all(&c, error);
}
