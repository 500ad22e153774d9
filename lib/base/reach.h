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

/* Whether a numeric address is on a loopback device among these and on no
 * other, although it is none of its own: so is one that is about to come from
 * another host, and nobody else reaches it yet. */
bool handoff__reach_is_coming(const char *address, const struct ifaddrs *list);

/* The same as handoff__reach_select, for a listening socket and the interfaces
 * of this host. */
int handoff__reach_add(struct handoff__reach *reach, int listener);

/* The same as handoff__reach_is_coming, for the devices of this host. */
bool handoff__reach_coming(const char *address);

#endif
