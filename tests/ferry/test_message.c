/* SPDX-License-Identifier: MIT */
/* The messages between two ferries: written and read again, cut short, and
 * with each field out of its bounds. */
#include "support/support.h"

#include "ferry/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t types[] = {HANDOFF__LETTER_HELLO, HANDOFF__LETTER_BEGIN,
	HANDOFF__LETTER_BEGUN, HANDOFF__LETTER_REFUSED, HANDOFF__LETTER_FETCH,
	HANDOFF__LETTER_REPORT, HANDOFF__LETTER_REGION, HANDOFF__LETTER_ADDRESS,
	HANDOFF__LETTER_ADDRESSED, HANDOFF__LETTER_BATCH, HANDOFF__LETTER_ENTRY,
	HANDOFF__LETTER_END, HANDOFF__LETTER_PREPARED, HANDOFF__LETTER_WITHDRAW,
	HANDOFF__LETTER_COMMIT, HANDOFF__LETTER_SERVING, HANDOFF__LETTER_FORGET,
	HANDOFF__LETTER_ABORT, HANDOFF__LETTER_QUERY, HANDOFF__LETTER_VERDICT,
	HANDOFF__LETTER_LOST, HANDOFF__LETTER_BYE};

#define TYPES (sizeof(types) / sizeof(types[0]))

static const unsigned char parcel[] = "all that the record says";
static const unsigned char image[] = "all that the kernel says";

static void
fill_hello(struct handoff__letter_hello *h)
{
	memset(h, 0, sizeof(*h));
	h->version_min = h->version_max = HANDOFF__LETTER_VERSION;
	h->flags = HANDOFF__LETTER_KNOWS | HANDOFF__LETTER_AT_HOME;
	strcpy(h->service, "echo");
	strcpy(h->name, "ferry");
	strcpy(h->host, "a.example");
	memset(h->boot, 7, sizeof(h->boot));
	h->arena = UINT64_C(0x1122334455667788);
	h->config_hash = 99;
	h->state_size = 40;
	h->state_version = 3;
	h->converts = 2;
	h->layout = 6;
	h->rx_size = h->tx_size = 65536;
	h->pass_size = 4096;
	h->shared_size = 1 << 20;
	h->shared_version = 5;
	memset(h->mac, 0x42, sizeof(h->mac));
	h->naddresses = 2;
	h->astray = 506;
	h->addresses[0] = (struct handoff__letter_address){
		.family = 4, .prefix = 24, .ip = {10, 77, 0, 100}};
	h->addresses[1] = (struct handoff__letter_address){
		.family = 6, .prefix = 64, .ip = {0xfd, 0x77, [15] = 1}};
}

static void
fill_begin(struct handoff__letter_begin *b)
{
	memset(b, 0, sizeof(*b));
	b->connections = 8000;
	b->region = 3 << 20;
	b->nlisteners = HANDOFF__LETTER_LISTENERS;
	for (uint32_t i = 0; i < b->nlisteners; i++) {
		struct handoff__letter_listener *l = &b->listeners[i];

		l->family = i % 2 ? 6 : 4;
		l->flags = i % 2 ? HANDOFF__LETTER_V6ONLY : 0;
		l->port = (uint16_t)(7000 + i);
		l->backlog = 4096;
		l->ip[0] = 10;
		strcpy(l->label, "10.0.0.0:7000");
	}
}

static void
fill_report(struct handoff__letter_report *r)
{
	memset(r, 0, sizeof(*r));
	r->step = 2;
	r->ok = 1;
	r->total = 8000;
	r->moved = 7998;
	r->left = 2;
	r->took_us = 150000;
	r->hold_us = 9000;
	r->nwhys = 2;
	strcpy(r->whys[0].word, "MPTCP");
	strcpy(r->whys[1].word, "LAST_ACK");
	r->whys[0].count = r->whys[1].count = 1;
}

static void
fill_named(struct handoff__letter *l)
{
	l->nnamed = HANDOFF__LETTER_NAMED;
	for (uint32_t i = 0; i < l->nnamed; i++) {
		memset(&l->named[i], 0, sizeof(l->named[i]));
		l->named[i].index = 3 * i;
		strcpy(l->named[i].why, "this host still has it");
	}
}

/* A message of that type with all that it can have. */
static struct handoff__letter *
make(uint32_t type)
{
	struct handoff__letter *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->type = type;
	l->batch = UINT64_C(0xfedcba9876543210);
	l->count = 253;
	l->index = 252;
	l->round = 1;
	l->committed = true;
	l->flags = HANDOFF__LETTER_WHOLE | HANDOFF__LETTER_REST;
	strcpy(l->text, "no room for 3 connections here");
	l->offset = 4096;
	l->parcel = parcel;
	l->parcel_len = sizeof(parcel);
	l->image = image;
	l->image_len = sizeof(image);
	l->bytes = image;
	l->len = sizeof(image);
	if (type == HANDOFF__LETTER_HELLO)
		fill_hello(&l->hello);
	else if (type == HANDOFF__LETTER_BEGIN)
		fill_begin(&l->begin);
	else if (type == HANDOFF__LETTER_REPORT)
		fill_report(&l->report);
	else if (type == HANDOFF__LETTER_PREPARED ||
		 type == HANDOFF__LETTER_WITHDRAW)
		fill_named(l);
	return l;
}

static struct handoff__letter_body *
encode(const struct handoff__letter *letter)
{
	struct handoff__letter_body *body = malloc(sizeof(*body));
	struct handoff__error error = {""};

	assert_non_null(body);
	if (handoff__letter_encode(letter, body, &error) < 0)
		fail_msg("%s", error.text);
	return body;
}

/* The body in memory of its size, so that a sanitizer sees a byte too many. */
static unsigned char *
join(const struct handoff__letter_body *body)
{
	unsigned char *data = malloc(body->len > 0 ? body->len : 1);
	size_t at = 0;

	assert_non_null(data);
	for (unsigned i = 0; i < body->count; i++) {
		memcpy(data + at, body->pieces[i].iov_base,
			body->pieces[i].iov_len);
		at += body->pieces[i].iov_len;
	}
	assert_int_equal(at, body->len);
	return data;
}

static bool
carries_number(uint32_t type)
{
	return type >= HANDOFF__LETTER_BATCH && type <= HANDOFF__LETTER_LOST;
}

/* Each field that a message of that type has. */
static void
compare(const struct handoff__letter *a, const struct handoff__letter *b)
{
	uint32_t type = a->type;

	assert_int_equal(b->type, type);
	assert_true(!carries_number(type) || a->batch == b->batch);
	if (type == HANDOFF__LETTER_BATCH)
		assert_int_equal(a->count, b->count);
	if (type == HANDOFF__LETTER_VERDICT)
		assert_true(b->committed);
	if (type == HANDOFF__LETTER_BEGIN || type == HANDOFF__LETTER_FETCH)
		assert_int_equal(a->flags, b->flags);
	if (type == HANDOFF__LETTER_REFUSED || type == HANDOFF__LETTER_REPORT ||
		type == HANDOFF__LETTER_ABORT || type == HANDOFF__LETTER_BYE)
		assert_string_equal(a->text, b->text);
	if (type == HANDOFF__LETTER_HELLO) {
		assert_memory_equal(&a->hello, &b->hello,
			offsetof(struct handoff__letter_hello, addresses) +
				2 * sizeof(a->hello.addresses[0]));
		assert_int_equal(a->hello.astray, b->hello.astray);
	}
	if (type == HANDOFF__LETTER_BEGIN)
		assert_memory_equal(&a->begin, &b->begin, sizeof(a->begin));
	if (type == HANDOFF__LETTER_REPORT)
		assert_memory_equal(&a->report, &b->report,
			offsetof(struct handoff__letter_report, whys) +
				2 * sizeof(a->report.whys[0]));
	if (type != HANDOFF__LETTER_PREPARED &&
		type != HANDOFF__LETTER_WITHDRAW)
		return;
	assert_int_equal(a->round, b->round);
	assert_int_equal(a->nnamed, b->nnamed);
	assert_memory_equal(a->named, b->named, sizeof(a->named));
}

static void
compare_bytes(const struct handoff__letter *a, const struct handoff__letter *b)
{
	if (a->type == HANDOFF__LETTER_ENTRY) {
		assert_int_equal(a->index, b->index);
		assert_int_equal(a->parcel_len, b->parcel_len);
		assert_int_equal(a->image_len, b->image_len);
		assert_memory_equal(a->parcel, b->parcel, a->parcel_len);
		assert_memory_equal(a->image, b->image, a->image_len);
	}
	if (a->type == HANDOFF__LETTER_REGION) {
		assert_true(a->offset == b->offset);
		assert_int_equal(a->len, b->len);
		assert_memory_equal(a->bytes, b->bytes, a->len);
	}
}

static void
test_what_is_written_is_read(void **state)
{
	struct handoff__letter *again = malloc(sizeof(*again));

	(void)state;
	assert_non_null(again);
	for (size_t i = 0; i < TYPES; i++) {
		struct handoff__letter *letter = make(types[i]);
		struct handoff__letter_body *body = encode(letter);
		unsigned char *data = join(body);
		struct handoff__error error = {""};

		memset(again, 0, sizeof(*again)); /* paddings count */
		if (handoff__letter_decode(
			    again, types[i], data, body->len, &error) < 0)
			fail_msg("%s", error.text);
		compare(letter, again);
		compare_bytes(letter, again);
		free(data);
		free(body);
		free(letter);
	}
	free(again);
}

static size_t
size_of(uint32_t type)
{
	struct handoff__letter *letter = make(type);
	struct handoff__letter_body *body = encode(letter);
	size_t len = body->len;

	free(body);
	free(letter);
	return len;
}

/* As handoff_protocol(7) has them. */
static void
test_each_has_its_size(void **state)
{
	static const struct {
		uint32_t type;
		size_t size;
	} plain[] = {
		{HANDOFF__LETTER_BEGUN, 0},
		{HANDOFF__LETTER_REFUSED, 256},
		{HANDOFF__LETTER_FETCH, 4},
		{HANDOFF__LETTER_REGION, 12 + sizeof(image)},
		{HANDOFF__LETTER_ADDRESS, 0},
		{HANDOFF__LETTER_ADDRESSED, 0},
		{HANDOFF__LETTER_BATCH, 12},
		{HANDOFF__LETTER_ENTRY, 20 + sizeof(parcel) + sizeof(image)},
		{HANDOFF__LETTER_END, 8},
		{HANDOFF__LETTER_COMMIT, 8},
		{HANDOFF__LETTER_SERVING, 8},
		{HANDOFF__LETTER_FORGET, 8},
		{HANDOFF__LETTER_ABORT, 264},
		{HANDOFF__LETTER_QUERY, 8},
		{HANDOFF__LETTER_VERDICT, 12},
		{HANDOFF__LETTER_LOST, 8},
		{HANDOFF__LETTER_BYE, 256},
	};
	struct handoff__letter *l = make(HANDOFF__LETTER_HELLO);

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		assert_int_equal(size_of(plain[i].type), plain[i].size);
	assert_int_equal(size_of(HANDOFF__LETTER_HELLO),
		414 + 20 * l->hello.naddresses + 4);
	free(l);
	l = make(HANDOFF__LETTER_BEGIN);
	assert_int_equal(
		size_of(HANDOFF__LETTER_BEGIN), 16 + 154 * l->begin.nlisteners);
	free(l);
	l = make(HANDOFF__LETTER_REPORT);
	assert_int_equal(
		size_of(HANDOFF__LETTER_REPORT), 308 + 52 * l->report.nwhys);
	free(l);
	l = make(HANDOFF__LETTER_PREPARED);
	assert_int_equal(
		size_of(HANDOFF__LETTER_PREPARED), 16 + 100 * l->nnamed);
	assert_int_equal(
		size_of(HANDOFF__LETTER_WITHDRAW), 16 + 100 * l->nnamed);
	free(l);
}

/* Refuses a body with a sentence that names the type. */
static void
refuse(uint32_t type, const unsigned char *data, size_t len)
{
	struct handoff__letter *letter = malloc(sizeof(*letter));
	unsigned char *copy = malloc(len > 0 ? len : 1);
	struct handoff__error error = {""};

	assert_non_null(letter);
	assert_non_null(copy);
	memcpy(copy, data, len);
	assert_int_equal(
		handoff__letter_decode(letter, type, copy, len, &error),
		-EBADMSG);
	assert_non_null(strstr(error.text, handoff__letter_name(type)));
	free(copy);
	free(letter);
}

static void
test_what_is_cut_short_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		struct handoff__letter *letter = make(types[i]);
		struct handoff__letter_body *body = encode(letter);
		unsigned char *data = join(body);

		for (size_t len = 0; len < body->len; len++)
			refuse(types[i], data, len);
		free(data);
		free(body);
		free(letter);
	}
}

/* HELLO may grow, everything else is what it is. */
static void
test_what_is_too_long_is_refused(void **state)
{
	struct handoff__letter *again = malloc(sizeof(*again));

	(void)state;
	assert_non_null(again);
	for (size_t i = 0; i < TYPES; i++) {
		struct handoff__letter *letter = make(types[i]);
		struct handoff__letter_body *body = encode(letter);
		unsigned char *data = join(body);

		data = realloc(data, body->len + 1);
		assert_non_null(data);
		data[body->len] = 0;
		if (types[i] == HANDOFF__LETTER_HELLO)
			assert_int_equal(handoff__letter_decode(again, types[i],
						 data, body->len + 1, NULL),
				0);
		else
			refuse(types[i], data, body->len + 1);
		free(data);
		free(body);
		free(letter);
	}
	free(again);
}

/* Writing refuses what reading refuses: so reading is asked with a body that is
 * right but for one number at `offset`. */
static void
refuse_number(uint32_t type, size_t offset, uint32_t number)
{
	struct handoff__letter *letter = make(type);
	struct handoff__letter_body *body = encode(letter);
	unsigned char *data = join(body);

	for (size_t i = 0; i < 4; i++)
		data[offset + i] = (unsigned char)(number >> 8 * i);
	refuse(type, data, body->len);
	free(data);
	free(body);
	free(letter);
}

static void
test_numbers_out_of_bounds_are_refused(void **state)
{
	(void)state;
	refuse_number(HANDOFF__LETTER_HELLO, 0, 1); /* magic */
	refuse_number(HANDOFF__LETTER_HELLO, 4, 2); /* above the other */
	refuse_number(HANDOFF__LETTER_HELLO, 12, 1u << 31);
	refuse_number(HANDOFF__LETTER_HELLO, 16, '.');  /* service */
	refuse_number(HANDOFF__LETTER_HELLO, 48, 0);    /* name */
	refuse_number(HANDOFF__LETTER_HELLO, 80, 0x1b); /* host */
	refuse_number(HANDOFF__LETTER_BEGIN, 0, 8);
	refuse_number(HANDOFF__LETTER_BEGIN, 12, HANDOFF__LETTER_LISTENERS + 1);
	refuse_number(HANDOFF__LETTER_BEGIN, 16, 5); /* family */
	refuse_number(HANDOFF__LETTER_BEGIN, 20, 0); /* port */
	refuse_number(HANDOFF__LETTER_REFUSED, 0, 0);
	refuse_number(HANDOFF__LETTER_REFUSED, 0, '\n');
	refuse_number(HANDOFF__LETTER_BATCH, 8, 0);
	refuse_number(HANDOFF__LETTER_BATCH, 8, 65536);
	refuse_number(HANDOFF__LETTER_ENTRY, 8, 65535);
	refuse_number(HANDOFF__LETTER_ENTRY, 12, UINT32_MAX);
	refuse_number(HANDOFF__LETTER_ENTRY, 16, UINT32_MAX);
	refuse_number(
		HANDOFF__LETTER_ENTRY, 12, sizeof(parcel) + sizeof(image) + 1);
	refuse_number(HANDOFF__LETTER_REGION, 8, UINT32_MAX);
	refuse_number(HANDOFF__LETTER_REGION, 8, 0);
	refuse_number(HANDOFF__LETTER_REGION, 4, 1); /* beyond 4 GiB */
	refuse_number(HANDOFF__LETTER_PREPARED, 12, HANDOFF__LETTER_NAMED + 1);
	refuse_number(HANDOFF__LETTER_PREPARED, 16, 3); /* the next is 3 too */
	refuse_number(HANDOFF__LETTER_PREPARED, 20, '\t');
	refuse_number(HANDOFF__LETTER_VERDICT, 8, 2);
}

static void
test_no_message_of_a_batch_goes_without_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		struct handoff__letter *letter = make(types[i]);
		struct handoff__letter_body *body = malloc(sizeof(*body));
		struct handoff__error error = {""};

		assert_non_null(body);
		letter->batch = 0;
		assert_int_equal(handoff__letter_encode(letter, body, &error),
			carries_number(types[i]) ? -EBADMSG : 0);
		free(body);
		free(letter);
	}
}

static void
cannot_write(struct handoff__letter *letter)
{
	struct handoff__letter_body *body = malloc(sizeof(*body));
	struct handoff__error error = {""};

	assert_non_null(body);
	assert_int_equal(
		handoff__letter_encode(letter, body, &error), -EBADMSG);
	assert_true(error.text[0] != '\0');
	free(body);
	free(letter);
}

static void
test_what_is_too_large_is_not_written(void **state)
{
	struct handoff__letter *letter = make(HANDOFF__LETTER_ENTRY);

	(void)state;
	letter->parcel_len = HANDOFF__LETTER_ENTRY_MAX;
	cannot_write(letter);
	letter = make(HANDOFF__LETTER_REGION);
	letter->len = HANDOFF__LETTER_REGION_MAX + 1;
	cannot_write(letter);
	letter = make(HANDOFF__LETTER_WITHDRAW);
	letter->nnamed = 0;
	cannot_write(letter);
	letter = make(HANDOFF__LETTER_BYE);
	memset(letter->text, 'x', sizeof(letter->text));
	cannot_write(letter);
	letter = make(HANDOFF__LETTER_BYE);
	letter->type = 1000;
	cannot_write(letter);
}

/* A sentence may quote anything, and is sent all the same. */
static void
test_text_that_cannot_be_printed_is_replaced(void **state)
{
	struct handoff__letter *letter = make(HANDOFF__LETTER_ABORT), *again;
	struct handoff__letter_body *body;

	(void)state;
	again = malloc(sizeof(*again));
	assert_non_null(again);
	strcpy(letter->text, "a\nb\x1b[31m\xff");
	body = encode(letter);
	assert_int_equal(handoff__letter_decode(again, HANDOFF__LETTER_ABORT,
				 body->fixed, body->len, NULL),
		0);
	assert_string_equal(again->text, "a?b?[31m?");
	free(body);
	free(again);
	free(letter);
}

static void
test_an_unknown_type_is_another_version(void **state)
{
	struct handoff__letter *letter = malloc(sizeof(*letter));
	struct handoff__error error = {""};

	(void)state;
	assert_non_null(letter);
	assert_int_equal(
		handoff__letter_decode(letter, 0, "", 0, &error), -EPROTO);
	assert_int_equal(
		handoff__letter_decode(letter, 999, "", 0, &error), -EPROTO);
	assert_non_null(strstr(error.text, "999"));
	free(letter);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_each_has_its_size),
		cmocka_unit_test(test_what_is_cut_short_is_refused),
		cmocka_unit_test(test_what_is_too_long_is_refused),
		cmocka_unit_test(test_numbers_out_of_bounds_are_refused),
		cmocka_unit_test(test_no_message_of_a_batch_goes_without_one),
		cmocka_unit_test(test_what_is_too_large_is_not_written),
		cmocka_unit_test(test_text_that_cannot_be_printed_is_replaced),
		cmocka_unit_test(test_an_unknown_type_is_another_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
