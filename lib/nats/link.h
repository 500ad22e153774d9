/* SPDX-License-Identifier: MIT */
/* A connection of the client library in the helper's thread. */
#ifndef HANDOFF_NATS_LINK_H
#define HANDOFF_NATS_LINK_H

#include "nats/end.h"

#include <nats/nats.h>

#define HANDOFF__NATS_INBOX_MAX 48

struct handoff__nats_link {
	struct handoff__nats_end *end;
	natsConnection *nc;
	natsSubscription *live, *inbox;
	char prefix[HANDOFF__NATS_INBOX_MAX]; /* of subjects for answers, with a
					       * dot at the end */
};

/* Connects, which may take seconds, and subscribes: to the live subject of the
 * service, and to answers. A negative errno with a sentence. */
int handoff__nats_link_open(struct handoff__nats_link *link,
	struct handoff__nats_end *end, struct handoff__error *error);

void handoff__nats_link_close(struct handoff__nats_link *link);

/* Waits until there is something to do on the connection, or for the helper,
 * and does the former. False: the connection is gone, with a sentence. */
bool handoff__nats_link_turn(struct handoff__nats_link *link, int timeout_ms,
	struct handoff__error *error);

/* Sends a request whose answer has the suffix. `expect` is the number of the
 * subject's last message; -1: any. */
int handoff__nats_link_request(struct handoff__nats_link *link,
	const char *subject, const char *suffix, const void *data, size_t len,
	int64_t expect);

#endif
