/* SPDX-License-Identifier: MIT */
/* Where a socket that listens on all addresses of the host can be reached. */
#ifndef HANDOFF_BASE_REACH_H
#define HANDOFF_BASE_REACH_H

#include <handoff/common.h>

#include <ifaddrs.h>
#include <stdbool.h>
#include <sys/socket.h>

#define HANDOFF__REACH_MAX 16

struct handoff__reach {
	size_t count; /* of list */
	size_t more;  /* for which there was no room */
	char list[HANDOFF__REACH_MAX][HANDOFF_ADDRESS_MAX];
};

/* Adds what can be reached of a host with these interfaces: nothing unless
 * `bound` is a wildcard. Addresses of the link come after those that are good
 * everywhere, and the loopback last. `both`: an IPv6 wildcard takes IPv4
 * too. */
void handoff__reach_select(struct handoff__reach *reach,
	const struct sockaddr *bound, bool both, const struct ifaddrs *list);

/* The same for a listening socket on this host. */
int handoff__reach_add(struct handoff__reach *reach, int listener);

#endif
