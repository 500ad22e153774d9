/* SPDX-License-Identifier: MIT */
/*
 * The messages of the link as bytes: each type is encoded and decoded, and
 * anything but a whole message of a known type is refused.
 */
#include "support/support.h"

#include "base/text.h"
#include "peer/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST HANDOFF__HELLO
#define LAST  HANDOFF__ROOM

/* A HELLO of the first version, with its type, and what was added since. */
#define HELLO_FIRST  (4 + 9 * 4 + 8 + 3 * HANDOFF_NAME_MAX + 4)
#define HELLO_SECOND (HELLO_FIRST + 8 + 4 + 4)
#define HELLO_THIRD  (HELLO_SECOND + 8 + 8 + 4 + 4 + 4)
#define HELLO_FOURTH (HELLO_THIRD + 4 + 4 + 4)
#define HELLO_SIZE   (HELLO_FOURTH + 6 * 4 + 8)

struct bytes {
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	size_t len;
};

static bool
has_refs(uint32_t type)
{
	return type == HANDOFF__MIRROR || type == HANDOFF__HELD ||
	       type == HANDOFF__DROP || type == HANDOFF__MOVE ||
	       type == HANDOFF__GAVE;
}

/* A message in which every field that the type carries differs. */
static void
fill(struct handoff__msg *msg, uint32_t type, uint32_t nrefs)
{
	memset(msg, 0, sizeof(*msg));
	msg->type = type;
	msg->batch = 0x01020304;
	msg->reason = HANDOFF__TABLE_FULL;
	msg->cause = HANDOFF__HOME_SILENT;
	msg->index = 0x11121314;
	msg->all = 1;
	msg->generation = UINT64_C(0x2122232425262728);
	msg->moved = 0x41424344;
	msg->listeners = 0x51525354;
	msg->left = 0x61626364;
	msg->took_us = 0x71727374;
	msg->hello = (struct handoff__hello){.version_min = 1,
		.version_max = 2,
		.refusal = 3,
		.layout = 4,
		.state_size = 5,
		.state_version = 6,
		.pid = 7,
		.place = 8,
		.serving = 9,
		.generation = UINT64_MAX,
		.service = "echo",
		.name = "a-name-of-thirty-one-characters",
		.partner = "",
		.partner_pid = UINT32_MAX,
		.config_hash = UINT64_C(0x8182838485868788),
		.config_strict = 1,
		.converts = 0x91929394,
		.instance = UINT64_C(0xa1a2a3a4a5a6a7a8),
		.arena = UINT64_C(0xb1b2b3b4b5b6b7b8),
		.segments = 0xc1c2c3c4,
		.again = 1,
		.hang_ms = 0xd1d2d3d4,
		.makes = 0xf1f2f3f4,
		.shared_size = 0x12345678,
		.shared_version = 0x23456789,
		.carrier = 1,
		.input_size = 0x3456789a,
		.output_size = 0x456789ab,
		.pass_size = 0x56789abc,
		.post_size = 0x6789abcd,
		.grows = 1,
		.lease = 0x789abcde01234567};
	msg->room = (struct handoff__room){.count = 1,
		.state_size = 2,
		.state_version = 3,
		.input_size = 4,
		.output_size = 5,
		.pass_size = 6};
	msg->at_us = INT64_C(0x3132333435363738);
	msg->offer_us = INT64_C(0x4142434445464748);
	msg->serving = 1;
	msg->covered = 0xe1e2e3e4;
	handoff__copy(msg->loading, sizeof(msg->loading), "loads its data");
	msg->nrefs = has_refs(type) ? nrefs : 0;
	for (uint32_t i = 0; i < msg->nrefs; i++)
		msg->refs[i] = (struct handoff__ref){.id = UINT64_MAX - i,
			.segment = i,
			.slot = 1000 + i,
			.arg = 2000 + i};
}

static void
encode(struct bytes *bytes, uint32_t type, uint32_t nrefs)
{
	struct handoff__msg msg;

	fill(&msg, type, nrefs);
	bytes->len =
		handoff__msg_encode(&msg, bytes->data, sizeof(bytes->data));
	assert_in_range(bytes->len, 4, sizeof(bytes->data));
}

/* From memory that ends where the message does, so that a read past it is
 * seen by the sanitizer. */
static int
decode(struct handoff__msg *msg, const unsigned char *data, size_t len)
{
	unsigned char *copy = malloc(len > 0 ? len : 1);
	int err;

	assert_non_null(copy);
	memcpy(copy, data, len);
	err = handoff__msg_decode(msg, copy, len);
	free(copy);
	return err;
}

static void
assert_same_hello(
	const struct handoff__hello *a, const struct handoff__hello *b)
{
	assert_int_equal(a->version_min, b->version_min);
	assert_int_equal(a->version_max, b->version_max);
	assert_int_equal(a->refusal, b->refusal);
	assert_int_equal(a->layout, b->layout);
	assert_int_equal(a->state_size, b->state_size);
	assert_int_equal(a->state_version, b->state_version);
	assert_int_equal(a->pid, b->pid);
	assert_int_equal(a->place, b->place);
	assert_int_equal(a->serving, b->serving);
	assert_int_equal(a->generation, b->generation);
	assert_string_equal(a->service, b->service);
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->partner, b->partner);
	assert_int_equal(a->partner_pid, b->partner_pid);
	assert_int_equal(a->config_hash, b->config_hash);
	assert_int_equal(a->config_strict, b->config_strict);
	assert_int_equal(a->converts, b->converts);
	assert_int_equal(a->instance, b->instance);
	assert_int_equal(a->arena, b->arena);
	assert_int_equal(a->segments, b->segments);
	assert_int_equal(a->again, b->again);
	assert_int_equal(a->hang_ms, b->hang_ms);
	assert_int_equal(a->makes, b->makes);
	assert_int_equal(a->shared_size, b->shared_size);
	assert_int_equal(a->shared_version, b->shared_version);
	assert_int_equal(a->carrier, b->carrier);
	assert_int_equal(a->input_size, b->input_size);
	assert_int_equal(a->output_size, b->output_size);
	assert_int_equal(a->pass_size, b->pass_size);
	assert_int_equal(a->post_size, b->post_size);
	assert_int_equal(a->grows, b->grows);
	assert_int_equal(a->lease, b->lease);
}

static void
assert_same_refs(const struct handoff__msg *a, const struct handoff__msg *b)
{
	assert_int_equal(a->nrefs, b->nrefs);
	for (uint32_t i = 0; i < a->nrefs; i++) {
		assert_int_equal(a->refs[i].id, b->refs[i].id);
		assert_int_equal(a->refs[i].segment, b->refs[i].segment);
		assert_int_equal(a->refs[i].slot, b->refs[i].slot);
		assert_int_equal(a->refs[i].arg, b->refs[i].arg);
	}
}

static void
there_and_back(uint32_t type, uint32_t nrefs)
{
	struct handoff__msg sent, came;
	struct bytes bytes;

	fill(&sent, type, nrefs);
	encode(&bytes, type, nrefs);
	memset(&came, 0xee, sizeof(came));
	assert_int_equal(decode(&came, bytes.data, bytes.len), 0);
	assert_int_equal(came.type, type);
	assert_same_refs(&sent, &came);
	if (type == HANDOFF__HELLO)
		assert_same_hello(&sent.hello, &came.hello);
	if (type == HANDOFF__SEGMENT || type == HANDOFF__LOST)
		assert_int_equal(came.index, sent.index);
	if (type == HANDOFF__MIRROR || type == HANDOFF__HELD)
		assert_int_equal(came.batch, sent.batch);
	if (type == HANDOFF__HELD || type == HANDOFF__GAVE ||
		type == HANDOFF__BYE)
		assert_int_equal(came.reason, sent.reason);
	if (type == HANDOFF__MOVE || type == HANDOFF__TAKE)
		assert_int_equal(came.cause, sent.cause);
	if (type == HANDOFF__MOVE) {
		assert_int_equal(came.all, sent.all);
		assert_int_equal(came.generation, sent.generation);
	}
	if (type == HANDOFF__MOVE || type == HANDOFF__READY)
		assert_int_equal(came.at_us, sent.at_us);
	if (type == HANDOFF__READY)
		assert_int_equal(came.offer_us, sent.offer_us);
	if (type == HANDOFF__BEAT) {
		assert_int_equal(came.serving, sent.serving);
		assert_int_equal(came.covered, sent.covered);
	}
	if (type == HANDOFF__ROOM) {
		assert_int_equal(came.reason, sent.reason);
		assert_memory_equal(&came.room, &sent.room, sizeof(sent.room));
	}
	if (type == HANDOFF__LOADING)
		assert_string_equal(came.loading, sent.loading);
	if (type == HANDOFF__GAVE) {
		assert_int_equal(came.moved, sent.moved);
		assert_int_equal(came.listeners, sent.listeners);
		assert_int_equal(came.left, sent.left);
		assert_int_equal(came.took_us, sent.took_us);
	}
}

static void
each_type_comes_as_it_went(void **state)
{
	static const uint32_t counts[] = {0, 1, 2, HANDOFF_FDPASS_MAX};

	(void)state;
	for (uint32_t type = FIRST; type <= LAST; type++) {
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
			there_and_back(type, counts[i]);
	}
}

/* What a type does not carry is 0 in what comes. */
static void
nothing_of_a_former_message_remains(void **state)
{
	struct handoff__msg msg;
	struct bytes bytes;

	(void)state;
	encode(&bytes, HANDOFF__READY, 0);
	memset(&msg, 0xee, sizeof(msg));
	assert_int_equal(decode(&msg, bytes.data, bytes.len), 0);
	assert_int_equal(msg.batch, 0);
	assert_int_equal(msg.reason, 0);
	assert_int_equal(msg.all, 0);
	assert_int_equal(msg.nrefs, 0);
	assert_string_equal(msg.hello.name, "");
}

/* Only a carrier names what it takes. */
static void
take_of_the_rest_names_entries(void **state)
{
	struct handoff__msg sent, came;
	unsigned char data[HANDOFF_FDPASS_PAYLOAD_MAX];
	size_t len;

	(void)state;
	fill(&sent, HANDOFF__DROP, HANDOFF_FDPASS_MAX);
	sent.type = HANDOFF__TAKE;
	sent.cause = HANDOFF__REST;
	len = handoff__msg_encode(&sent, data, sizeof(data));
	assert_int_equal(decode(&came, data, len), 0);
	assert_int_equal(came.cause, HANDOFF__REST);
	assert_same_refs(&sent, &came);
	sent.cause = HANDOFF__HOME;
	assert_int_equal(handoff__msg_encode(&sent, data, sizeof(data)), 8);
}

/* The bytes themselves: a peer of another build must read them. */
static void
bytes_are_what_they_are(void **state)
{
	static const unsigned char drop[] = {5, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xe8, 3, 0, 0,
		0xd0, 7, 0, 0};
	static const unsigned char bye[] = {10, 0, 0, 0, 7, 0, 0, 0};
	struct bytes bytes;

	(void)state;
	encode(&bytes, HANDOFF__DROP, 1);
	assert_int_equal(bytes.len, sizeof(drop));
	assert_memory_equal(bytes.data, drop, sizeof(drop));
	encode(&bytes, HANDOFF__BYE, 0);
	assert_int_equal(bytes.len, sizeof(bye));
	assert_memory_equal(bytes.data, bye, sizeof(bye));
	encode(&bytes, HANDOFF__HELLO, 0);
	assert_int_equal(bytes.len, HELLO_SIZE);
}

static void
cut_short_it_is_refused(void **state)
{
	(void)state;
	for (uint32_t type = FIRST; type <= LAST; type++) {
		struct handoff__msg msg;
		struct bytes bytes;

		encode(&bytes, type, 2);
		for (size_t len = 0; len < bytes.len; len++) {
			if (type == HANDOFF__HELLO &&
				(len == HELLO_FIRST || len == HELLO_SECOND ||
					len == HELLO_THIRD ||
					len == HELLO_FOURTH))
				continue;
			assert_int_equal(
				decode(&msg, bytes.data, len), -EBADMSG);
		}
		assert_int_equal(decode(&msg, bytes.data, bytes.len), 0);
	}
}

/* An earlier version's HELLO ends before the fields that came later: its
 * configuration is not compared. */
static void
first_hello_is_understood(void **state)
{
	struct handoff__msg sent, came;
	struct bytes bytes;

	(void)state;
	fill(&sent, HANDOFF__HELLO, 0);
	encode(&bytes, HANDOFF__HELLO, 0);
	memset(&came, 0xee, sizeof(came));
	assert_int_equal(decode(&came, bytes.data, HELLO_FOURTH), 0);
	sent.hello.carrier = sent.hello.post_size = 0;
	sent.hello.input_size = sent.hello.output_size = 0;
	sent.hello.pass_size = sent.hello.grows = 0;
	sent.hello.lease = 0;
	assert_same_hello(&sent.hello, &came.hello);
	memset(&came, 0xee, sizeof(came));
	assert_int_equal(decode(&came, bytes.data, HELLO_THIRD), 0);
	sent.hello.makes = 0;
	sent.hello.shared_size = sent.hello.shared_version = 0;
	assert_same_hello(&sent.hello, &came.hello);
	memset(&came, 0xee, sizeof(came));
	assert_int_equal(decode(&came, bytes.data, HELLO_FIRST), 0);
	sent.hello.config_hash = 0;
	sent.hello.config_strict = sent.hello.converts = 0;
	sent.hello.instance = sent.hello.arena = 0;
	sent.hello.segments = sent.hello.again = sent.hello.hang_ms = 0;
	assert_same_hello(&sent.hello, &came.hello);
}

/* A later version's HELLO is longer; no other message may be. */
static void
only_hello_may_have_more(void **state)
{
	(void)state;
	for (uint32_t type = FIRST; type <= LAST; type++) {
		struct handoff__msg msg;
		struct bytes bytes;
		int expected = type == HANDOFF__HELLO ? 0 : -EBADMSG;

		encode(&bytes, type, 1);
		memset(bytes.data + bytes.len, 0x55, 100);
		assert_int_equal(
			decode(&msg, bytes.data, bytes.len + 1), expected);
		assert_int_equal(
			decode(&msg, bytes.data, bytes.len + 100), expected);
	}
}

static void
unknown_types_are_refused(void **state)
{
	static const uint32_t types[] = {
		0, LAST + 1, 255, 256 + LAST, 1u << 31, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		unsigned char data[256] = {(unsigned char)types[i],
			(unsigned char)(types[i] >> 8),
			(unsigned char)(types[i] >> 16),
			(unsigned char)(types[i] >> 24)};
		struct handoff__msg msg;

		assert_int_equal(decode(&msg, data, 4), -EBADMSG);
		assert_int_equal(decode(&msg, data, sizeof(data)), -EBADMSG);
	}
}

static void
too_many_references_are_refused(void **state)
{
	static const uint32_t counts[] = {
		HANDOFF_FDPASS_MAX + 1, 1000, UINT32_MAX, UINT32_MAX / 20 + 1};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct handoff__msg msg;
		struct bytes bytes;

		encode(&bytes, HANDOFF__DROP, HANDOFF_FDPASS_MAX);
		for (int b = 0; b < 4; b++)
			bytes.data[4 + b] =
				(unsigned char)(counts[i] >> (8 * b));
		assert_int_equal(decode(&msg, bytes.data, bytes.len), -EBADMSG);
		assert_int_equal(decode(&msg, bytes.data,
					 bytes.len + 20 < sizeof(bytes.data)
						 ? bytes.len + 20
						 : sizeof(bytes.data)),
			-EBADMSG);
		assert_in_range(msg.nrefs, 0, HANDOFF_FDPASS_MAX);
	}
}

/* A name is a text field: it must end within its width. */
static void
name_without_an_end_is_refused(void **state)
{
	/* service, name and partner, after the type and 44 bytes */
	static const size_t offsets[] = {
		48, 48 + HANDOFF_NAME_MAX, 48 + 2 * HANDOFF_NAME_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		struct handoff__msg msg;
		struct bytes bytes;

		encode(&bytes, HANDOFF__HELLO, 0);
		memset(bytes.data + offsets[i], 'a', HANDOFF_NAME_MAX);
		assert_int_equal(decode(&msg, bytes.data, bytes.len), -EBADMSG);
		bytes.data[offsets[i] + HANDOFF_NAME_MAX - 1] = '\0';
		assert_int_equal(decode(&msg, bytes.data, bytes.len), 0);
	}
}

static void
every_reason_has_its_own_words(void **state)
{
	(void)state;
	for (unsigned a = HANDOFF__OK; a <= HANDOFF__BAD_CONFIG; a++) {
		const char *text =
			handoff__reason_text((enum handoff__reason)a);

		assert_string_not_equal(text, "unknown reason");
		for (unsigned b = HANDOFF__OK; b < a; b++)
			assert_string_not_equal(text,
				handoff__reason_text((enum handoff__reason)b));
	}
	assert_string_equal(handoff__reason_text((enum handoff__reason)999),
		"unknown reason");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_type_comes_as_it_went),
		handoff_test(nothing_of_a_former_message_remains),
		handoff_test(take_of_the_rest_names_entries),
		handoff_test(bytes_are_what_they_are),
		handoff_test(cut_short_it_is_refused),
		handoff_test(first_hello_is_understood),
		handoff_test(only_hello_may_have_more),
		handoff_test(unknown_types_are_refused),
		handoff_test(too_many_references_are_refused),
		handoff_test(name_without_an_end_is_refused),
		handoff_test(every_reason_has_its_own_words),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
