/* SPDX-License-Identifier: MIT */
/*
 * JetStream's requests and answers, which are JSON (RFC 8259). Of an answer
 * only three members are of interest, and none of them is nested deeper than
 * their names are unique: they are searched for.
 */
#include "nats/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What follows "NAME": in a text that ends with a zero. */
static const char *
member(const char *json, const char *name)
{
	char quoted[32];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", name);
	at = strstr(json, quoted);
	if (!at)
		return NULL;
	at += strlen(quoted);
	return at + strspn(at, " ");
}

static uint64_t
number(const char *json, const char *name)
{
	const char *at = member(json, name);

	return at && *at >= '0' && *at <= '9' ? strtoull(at, NULL, 10) : 0;
}

static void
text(const char *json, const char *name, char *out, size_t size)
{
	const char *at = member(json, name);
	size_t len = 0;

	out[0] = '\0';
	if (!at || *at++ != '"')
		return;
	while (at[len] && at[len] != '"' && len < size - 1) {
		out[len] = at[len];
		len++;
	}
	out[len] = '\0';
}

void
handoff__nats_answer_read(
	struct handoff__nats_answer *answer, const char *json, size_t len)
{
	char copy[1024];

	if (len >= sizeof(copy))
		len = sizeof(copy) - 1;
	if (len > 0)
		memcpy(copy, json, len);
	copy[len] = '\0';
	memset(answer, 0, sizeof(*answer));
	if (member(copy, "error")) {
		answer->code = number(copy, "err_code");
		if (answer->code == 0)
			answer->code = 1;
		text(copy, "description", answer->error, sizeof(answer->error));
	} else {
		answer->seq = number(copy, "seq");
	}
}

char *
handoff__nats_answer_stream(const struct handoff__nats_address *address)
{
	char *json;

	if (asprintf(&json,
		    "{\"name\":\"%s\",\"subjects\":[\"%s>\"],"
		    "\"retention\":\"limits\",\"storage\":\"file\","
		    "\"max_msgs_per_subject\":1,\"discard\":\"old\","
		    "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,"
		    "\"max_age\":0,\"max_msg_size\":%d,\"num_replicas\":%u,"
		    "\"allow_direct\":true,"
		    "\"republish\":{\"src\":\"%s>\",\"dest\":\"%s>\"}}",
		    address->stream, HANDOFF__NATS_STATE, 4096,
		    address->replicas, HANDOFF__NATS_STATE,
		    HANDOFF__NATS_LIVE) < 0)
		return NULL;
	return json;
}
