/* SPDX-License-Identifier: MIT */
/* One question to the kernel by netlink, and its answers. */
#ifndef HANDOFF_FERRY_NETLINK_H
#define HANDOFF_FERRY_NETLINK_H

#include <libmnl/libmnl.h>

/* Room for a request. */
#define HANDOFF__NETLINK_ROOM 512

/* A message of that type in `room`, which is HANDOFF__NETLINK_ROOM bytes and
 * aligned for it. */
struct nlmsghdr *handoff__netlink_request(
	void *room, uint16_t type, uint16_t flags);

/* Sends it on a socket of its own and waits for the answers, which the kernel
 * has at once; calls `answer` for each. 0 or a negative errno: that of the
 * socket, of the kernel's answer, or -EINTR if the table changed under a
 * dump. */
int handoff__netlink_ask(
	int bus, struct nlmsghdr *request, mnl_cb_t answer, void *arg);

#endif
