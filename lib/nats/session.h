/* SPDX-License-Identifier: MIT */
/* What is said on one connection. */
#ifndef HANDOFF_NATS_SESSION_H
#define HANDOFF_NATS_SESSION_H

#include "nats/link.h"

/* A request that was sent. Answers to earlier ones of its kind are ignored. */
struct handoff__nats_asked {
	uint64_t serial;
	int64_t due_us; /* when it is taken for lost; 0: nothing is asked */
};

struct handoff__nats_session {
	struct handoff__nats_end *end;
	struct handoff__nats_link link;
	uint64_t serial;

	/* get: the retained message; make: to create the stream; put: to
	 * publish */
	struct handoff__nats_asked get, make, put;
	int64_t get_us;   /* when to ask for the retained message next */
	unsigned answers; /* to get */
	bool known;       /* `seq` is the number of the subject's last message,
			   * 0: there is none */
	uint64_t seq;
	uint64_t sent; /* counter of what was published last */
	bool failing;  /* it was not taken, and the trouble says why */
};

int handoff__nats_session_open(struct handoff__nats_session *session,
	struct handoff__nats_end *end, struct handoff__error *error);

/* Until the connection is gone, with a sentence, or the end stops. */
void handoff__nats_session_run(
	struct handoff__nats_session *session, struct handoff__error *error);

void handoff__nats_session_close(struct handoff__nats_session *session);

#endif
