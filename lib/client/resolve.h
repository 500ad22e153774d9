/* SPDX-License-Identifier: MIT */
/*
 * Resolves host names in a helper thread, since getaddrinfo(3) blocks. One
 * request, one answer; nothing is cached.
 */
#ifndef HANDOFF_CLIENT_RESOLVE_H
#define HANDOFF_CLIENT_RESOLVE_H

#include "base/addr.h"

#include <netinet/in.h>
#include <sys/un.h>

/* how many addresses of a name are tried */
#define HANDOFF__RESOLVED_MAX 16

struct handoff__address {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} u;
};

struct handoff__resolved {
	int err; /* of getaddrinfo(3): 0 or EAI_* */
	size_t count;
	struct handoff__address list[HANDOFF__RESOLVED_MAX];
};

struct handoff__resolve;

/* True if no lookup is needed (a Unix socket or a numeric address); `addresses`
 * is then filled in. */
bool handoff__resolve_at_once(
	const struct handoff__addr *addr, struct handoff__resolved *addresses);

/* Starts a lookup. Returns the descriptor that becomes readable with the
 * answer, or a negative errno. */
int handoff__resolve_start(
	struct handoff__resolve **out, const struct handoff__addr *addr);

/* Takes the answer; valid once the descriptor is readable. */
void handoff__resolve_take(
	struct handoff__resolve *resolve, struct handoff__resolved *addresses);

/* Ends the request, answered or not, and closes the descriptor; NULL is fine. A
 * thread still in the lookup frees the rest when it finishes. */
void handoff__resolve_free(struct handoff__resolve *resolve);

#endif
