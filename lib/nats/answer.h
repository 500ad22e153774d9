/* SPDX-License-Identifier: MIT */
/* The text of requests to JetStream and of its answers. Pure: no I/O. */
#ifndef HANDOFF_NATS_ANSWER_H
#define HANDOFF_NATS_ANSWER_H

#include "nats/address.h"

/* error codes of JetStream */
#define HANDOFF__NATS_STREAM_EXISTS  10058 /* with another configuration */
#define HANDOFF__NATS_WRONG_SEQUENCE 10071 /* of Expected-Last-Subject */

struct handoff__nats_answer {
	uint64_t seq;  /* 0: none */
	uint64_t code; /* of an error; 0: none */
	char error[160];
};

/* Reads an answer, which is untrusted text of one JSON object: of what is not
 * there the fields stay 0 or "". */
void handoff__nats_answer_read(
	struct handoff__nats_answer *answer, const char *json, size_t len);

/* The request that creates the stream, to be freed with free(3); NULL: no
 * memory. */
char *handoff__nats_answer_stream(const struct handoff__nats_address *address);

#endif
