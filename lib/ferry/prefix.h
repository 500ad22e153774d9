/* SPDX-License-Identifier: MIT */
/* Addresses of a service with the length of their prefix: text, no kernel. */
#ifndef HANDOFF_FERRY_PREFIX_H
#define HANDOFF_FERRY_PREFIX_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* So many addresses can a service have. */
#define HANDOFF__PREFIXES 16

/* with its terminating zero, "fd77::100/128" */
#define HANDOFF__PREFIX_TEXT 52

struct handoff__prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t length; /* of the prefix, in bits */
	uint8_t ip[16]; /* network order; IPv4: the first four */
};

/* Parses "IP/PREFIX[,IP/PREFIX]...": the number of them, 1 to `max`. -EINVAL
 * with a sentence: no address, a name, no prefix, one twice, an address that no
 * host can have to itself (any, loopback, multicast, link-local). */
int handoff__prefixes_parse(const char *text, struct handoff__prefix *list,
	uint32_t max, struct handoff__error *error);

/* "10.77.0.100/32" */
void handoff__prefix_format(
	const struct handoff__prefix *prefix, char *text, size_t size);

/* Whether one of them has this address (an IPv4-mapped one counts as IPv4). */
bool handoff__prefix_holds(const struct handoff__prefix *list, uint32_t count,
	const struct sockaddr *sa);

#endif
