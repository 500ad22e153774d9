/* SPDX-License-Identifier: MIT */
/* Whether this host has a connection. */
#ifndef HANDOFF_FERRY_UNFREEZE_SOCKETS_H
#define HANDOFF_FERRY_UNFREEZE_SOCKETS_H

#include "base/text.h"
#include "ferry/flow.h"

struct mnl_socket;

struct handoff__sockets {
	struct mnl_socket *netlink;
	uint32_t seq;
};

/* Needs no privilege. */
int handoff__sockets_open(
	struct handoff__sockets *sockets, struct handoff__error *error);
void handoff__sockets_close(struct handoff__sockets *sockets);

/* Whether the kernel has a socket of that connection, one that has only begun
 * or has just ended included; also if the kernel does not say. */
bool handoff__sockets_have(
	struct handoff__sockets *sockets, const struct handoff__flow *flow);

#endif
