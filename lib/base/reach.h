/* SPDX-License-Identifier: MIT */
/* The addresses at which a socket bound to a wildcard can be reached. */
#ifndef HANDOFF_BASE_REACH_H
#define HANDOFF_BASE_REACH_H

#include <handoff/common.h>

#include <ifaddrs.h>
#include <stdbool.h>
#include <sys/socket.h>

#define HANDOFF__REACH_MAX 16

struct handoff__reach {
	size_t count; /* of list */
	size_t more;  /* further addresses, beyond the list */
	char list[HANDOFF__REACH_MAX][HANDOFF_ADDRESS_MAX];
};

/* Adds the addresses of these interfaces at which `bound` can be reached; none
 * unless `bound` is a wildcard. Global addresses come first, then link-local,
 * then loopback. `both`: an IPv6 wildcard that also accepts IPv4. */
void handoff__reach_select(struct handoff__reach *reach,
	const struct sockaddr *bound, bool both, const struct ifaddrs *list);

/* The same for a listening socket and the interfaces of this host. */
int handoff__reach_add(struct handoff__reach *reach, int listener);

#endif
