/* SPDX-License-Identifier: MIT */
/*
 * The codec of notices, their order and expiry: pure functions, so no directory
 * and no queue is needed.
 */
#include "support/support.h"

#include "notice/notice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct handoff_notice
sample(void)
{
	struct handoff_notice n = {
		.service = "echo",
		.serving = "alt",
		.kind = HANDOFF_NOTICE_MAINTENANCE,
		.generation = 0x0102030405060708,
		.seq = 9,
		.grace_ms = 60000,
		.spread_ms = 2000,
		.expires_ms = 1893456000000,
		.nendpoints = HANDOFF_NOTICE_ENDPOINTS,
	};

	for (int i = 0; i < HANDOFF_NOTICE_ENDPOINTS; i++)
		strcpy(n.endpoints[i], "127.0.0.1:7000");
	memset(n.endpoints[3], 'x', HANDOFF_ADDRESS_MAX - 1);
	return n;
}

static void
test_round_trip(void **state)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice in = sample(), out;

	(void)state;
	for (uint32_t n = 0; n <= HANDOFF_NOTICE_ENDPOINTS; n++) {
		int len;

		in.nendpoints = n;
		for (uint32_t i = 0; i < n; i++)
			strcpy(in.endpoints[i], "unix:/run/x");
		memset(&out, 0xff, sizeof(out));
		len = handoff__notice_encode(&in, data, sizeof(data));
		assert_in_range(len, 1, HANDOFF__NOTICE_SIZE);
		assert_int_equal(
			handoff__notice_decode(&out, data, (size_t)len), 0);
		assert_string_equal(out.service, in.service);
		assert_string_equal(out.serving, in.serving);
		assert_int_equal(out.kind, in.kind);
		assert_int_equal(out.generation, in.generation);
		assert_int_equal(out.seq, in.seq);
		assert_int_equal(out.grace_ms, in.grace_ms);
		assert_int_equal(out.spread_ms, in.spread_ms);
		assert_int_equal(out.expires_ms, in.expires_ms);
		assert_int_equal(out.nendpoints, n);
		for (uint32_t i = 0; i < n; i++)
			assert_string_equal(out.endpoints[i], "unix:/run/x");
	}
}

/* The bytes are a format: they must not change by accident. */
static void
test_bytes(void **state)
{
	static const unsigned char head[] = {'N', 'O', 'T', '1', 1, 0, 1, 0, 8,
		7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0x60, 0xea, 0, 0,
		0xd0, 7, 0, 0};
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice n = sample();

	(void)state;
	assert_int_equal(handoff__notice_encode(&n, data, sizeof(data)),
		40 + 2 * HANDOFF_NAME_MAX + 4 + 4 * HANDOFF_ADDRESS_MAX);
	assert_memory_equal(data, head, sizeof(head));
	assert_memory_equal(data + 40, "echo\0", 5);
}

static void
test_truncated(void **state)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice n = sample(), out;
	int len = handoff__notice_encode(&n, data, sizeof(data));

	(void)state;
	memset(&out, 0x5a, sizeof(out));
	n = out;
	for (size_t i = 0; i < (size_t)len; i++) {
		/* Exactly as large as it is, for the address sanitizer. */
		unsigned char *copy = malloc(i ? i : 1);

		memcpy(copy, data, i);
		assert_int_equal(
			handoff__notice_decode(&out, copy, i), -EBADMSG);
		free(copy);
	}
	assert_memory_equal(&out, &n, sizeof(out));
}

static void
test_too_small(void **state)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice n = sample();
	int len = handoff__notice_encode(&n, data, sizeof(data));

	(void)state;
	for (size_t i = 0; i < (size_t)len; i++) {
		unsigned char *small = malloc(i ? i : 1);

		assert_int_equal(
			handoff__notice_encode(&n, small, i), -EMSGSIZE);
		free(small);
	}
	assert_int_equal(handoff__notice_encode(&n, data, (size_t)len), len);
}

static void
test_bad_fields(void **state)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice n[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		n[i] = sample();
	n[0].kind = (enum handoff_notice_kind)0;
	n[1].nendpoints = HANDOFF_NOTICE_ENDPOINTS + 1;
	strcpy(n[2].service, "two words");
	memset(n[3].serving, 'a', HANDOFF_NAME_MAX);
	memset(n[4].endpoints[1], 'a', HANDOFF_ADDRESS_MAX);
	strcpy(n[5].endpoints[0], "a\033[2J:1");
	n[6].endpoints[2][0] = '\0';
	n[7].kind = (enum handoff_notice_kind)70000;
	for (int i = 0; i < 8; i++)
		assert_int_equal(
			handoff__notice_encode(&n[i], data, sizeof(data)),
			-EINVAL);
}

/* A bad field in the bytes is refused as well, and a later version is read as
 * far as it is known. */
static void
test_bad_bytes(void **state)
{
	static const struct {
		size_t at;
		unsigned char value;
		int want;
	} cases[] = {
		{0, 'X', -EBADMSG},   /* magic */
		{4, 0, -EBADMSG},     /* version 0 */
		{4, 2, 0},            /* version 2 */
		{6, 0, -EBADMSG},     /* kind 0 */
		{6, 77, 0},           /* a kind not known here */
		{40, '\n', -EBADMSG}, /* service */
		{72, '/', -EBADMSG},  /* serving */
		{104, 5, -EBADMSG},   /* endpoints */
		{107, 1, -EBADMSG}, {108, 7, -EBADMSG}, /* the first endpoint */
		{108 + 511, 'x', -EBADMSG},             /* the last one's end */
	};
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice n = sample(), out;
	int len = handoff__notice_encode(&n, data, sizeof(data));

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char before = data[cases[i].at];

		data[cases[i].at] = cases[i].value;
		assert_int_equal(
			handoff__notice_decode(&out, data, (size_t)len),
			cases[i].want);
		data[cases[i].at] = before;
	}
	memset(data + len, 0xee, sizeof(data) - (size_t)len);
	assert_int_equal(handoff__notice_decode(&out, data, sizeof(data)), 0);
}

/* What is decoded from arbitrary bytes can be encoded again. */
static void
test_random_bytes(void **state)
{
	unsigned char data[HANDOFF__NOTICE_SIZE], again[HANDOFF__NOTICE_SIZE];
	struct handoff_notice n = sample();
	uint32_t seed = 12345;
	int len, good = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		len = handoff__notice_encode(&n, data, sizeof(data));
		for (int k = 0; k < 1 + round % 3; k++) {
			seed = seed * 1664525 + 1013904223;
			data[seed / 7 % (uint32_t)len] =
				(unsigned char)(seed >> 24);
		}
		struct handoff_notice out;

		if (handoff__notice_decode(&out, data, (size_t)len) < 0)
			continue;
		good++;
		assert_true(
			handoff__notice_encode(&out, again, sizeof(again)) > 0);
	}
	assert_in_range(good, 1000, 19999);
}

static void
test_order(void **state)
{
	struct handoff_notice a = {.generation = 2, .seq = 1}, b = a;

	(void)state;
	assert_false(handoff__notice_newer(&a, &b));
	b.seq = 2;
	assert_true(handoff__notice_newer(&b, &a));
	assert_false(handoff__notice_newer(&a, &b));
	a.generation = 3;
	assert_true(handoff__notice_newer(&a, &b));
	assert_false(handoff__notice_newer(&b, &a));
	b.generation = UINT64_MAX;
	assert_true(handoff__notice_newer(&b, &a));
}

static void
test_expiry(void **state)
{
	struct handoff_notice n = {.expires_ms = 0};
	int64_t now = handoff__realtime_ms();

	(void)state;
	assert_true(now > 1600000000000);
	assert_false(handoff__notice_expired(&n, now));
	n.expires_ms = now;
	assert_true(handoff__notice_expired(&n, now));
	assert_false(handoff__notice_expired(&n, now - 1));
	n.expires_ms = -5;
	assert_true(handoff__notice_expired(&n, now));
}

static void
test_kind_names(void **state)
{
	(void)state;
	assert_string_equal(
		handoff_notice_kind_name(HANDOFF_NOTICE_MAINTENANCE),
		"MAINTENANCE");
	assert_string_equal(
		handoff_notice_kind_name(HANDOFF_NOTICE_READY), "READY");
	assert_string_equal(
		handoff_notice_kind_name(HANDOFF_NOTICE_FAILOVER), "FAILOVER");
	assert_string_equal(
		handoff_notice_kind_name(HANDOFF_NOTICE_GOODBYE), "GOODBYE");
	assert_string_equal(
		handoff_notice_kind_name((enum handoff_notice_kind)99), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_round_trip),
		handoff_test(test_bytes),
		handoff_test(test_truncated),
		handoff_test(test_too_small),
		handoff_test(test_bad_fields),
		handoff_test(test_bad_bytes),
		handoff_test(test_random_bytes),
		handoff_test(test_order),
		handoff_test(test_expiry),
		handoff_test(test_kind_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
