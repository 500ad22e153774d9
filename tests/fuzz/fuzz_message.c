/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a message of the link: it is refused, or what was understood
 * is what is understood when it is written and read again.
 */
#include "fuzz.h"

#include "peer/message.h"

#include <errno.h>

static void
check_text(const char *text)
{
	check(memchr(text, 0, HANDOFF_NAME_MAX));
}

static bool
same_ref(const struct handoff__ref *a, const struct handoff__ref *b)
{
	return a->id == b->id && a->segment == b->segment &&
	       a->slot == b->slot && a->arg == b->arg;
}

/* From memory that ends where the message does. */
static int
decode(struct handoff__msg *msg, const unsigned char *data, size_t size)
{
	unsigned char *copy = exact_copy(data, size);
	int err;

	err = handoff__msg_decode(msg, copy, size);
	free(copy);
	return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char encoded[HANDOFF_FDPASS_PAYLOAD_MAX];
	struct handoff__msg msg, again;
	size_t len;
	int err;

	memset(&msg, 0xee, sizeof(msg));
	err = decode(&msg, data, size);
	check(err == 0 || err == -EBADMSG);
	check(msg.nrefs <= HANDOFF_FDPASS_MAX);
	if (err < 0)
		return 0;
	check_text(msg.hello.service);
	check_text(msg.hello.name);
	check_text(msg.hello.partner);
	check(handoff__reason_text((enum handoff__reason)msg.reason));
	len = handoff__msg_encode(&msg, encoded, sizeof(encoded));
	/* A HELLO is longer or shorter in another version. */
	check(len == size || msg.type == HANDOFF__HELLO);
	check(decode(&again, encoded, len) == 0);
	check(memcmp(&msg, &again, offsetof(struct handoff__msg, refs)) == 0);
	for (uint32_t i = 0; i < msg.nrefs; i++)
		check(same_ref(&msg.refs[i], &again.refs[i]));
	return 0;
}
