/* SPDX-License-Identifier: MIT */
/*
 * Record marking, with all of the input in one place and byte by byte: whole
 * records, parts, fragments, lengths that lie, and records without an end.
 */
#include "support/support.h"

#include "rpc/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX 1000u

struct bytes {
	uint8_t data[65536];
	size_t len;
};

static void
fragment(struct bytes *b, const char *text, bool last)
{
	size_t len = strlen(text);

	handoff__rpc_put(b->data + b->len,
		(last ? HANDOFF__RPC_LAST : 0) | (uint32_t)len);
	memcpy(b->data + b->len + 4, text, len);
	b->len += 4 + len;
}

static int
scan(const struct bytes *b, struct handoff__rpc_record *record)
{
	memset(record, 0xee, sizeof(*record));
	return handoff__rpc_scan(b->data, b->len, MAX, record);
}

static void
whole_record_is_found(void **state)
{
	struct bytes b = {.len = 0};
	struct handoff__rpc_record r;

	(void)state;
	fragment(&b, "hello", true);
	fragment(&b, "again", true);
	assert_int_equal(scan(&b, &r), 1);
	assert_int_equal(r.wire, 9);
	assert_int_equal(r.len, 5);
	assert_int_equal(r.fragments, 1);
}

static void
empty_record_is_one(void **state)
{
	struct bytes b = {.len = 0};
	struct handoff__rpc_record r;

	(void)state;
	fragment(&b, "", true);
	assert_int_equal(scan(&b, &r), 1);
	assert_int_equal(r.wire, 4);
	assert_int_equal(r.len, 0);
}

static void
every_part_wants_more(void **state)
{
	struct bytes b = {.len = 0};
	struct handoff__rpc_record r;

	(void)state;
	fragment(&b, "one", false);
	fragment(&b, "two", true);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(handoff__rpc_scan(b.data, len, MAX, &r), 0);
	assert_int_equal(scan(&b, &r), 1);
}

static void
fragments_are_joined(void **state)
{
	struct bytes b = {.len = 0};
	struct handoff__rpc_record r;
	char text[16] = "";

	(void)state;
	fragment(&b, "re", false);
	fragment(&b, "mo", false);
	fragment(&b, "", true);
	assert_int_equal(scan(&b, &r), 1);
	assert_int_equal(r.len, 4);
	assert_int_equal(r.fragments, 3);
	handoff__rpc_join(text, b.data, &r);
	assert_string_equal(text, "remo");
}

static void
too_long_is_refused_at_once(void **state)
{
	uint8_t mark[4];
	struct handoff__rpc_record r;

	(void)state;
	handoff__rpc_put(mark, HANDOFF__RPC_LAST | (MAX - 4));
	assert_int_equal(handoff__rpc_scan(mark, 4, MAX, &r), 0);
	handoff__rpc_put(mark, HANDOFF__RPC_LAST | (MAX - 3));
	assert_int_equal(handoff__rpc_scan(mark, 4, MAX, &r), -EMSGSIZE);
	handoff__rpc_put(mark, 0x7fffffff);
	assert_int_equal(handoff__rpc_scan(mark, 4, MAX, &r), -EMSGSIZE);
	handoff__rpc_put(mark, 0xffffffff);
	assert_int_equal(handoff__rpc_scan(mark, 4, MAX, &r), -EMSGSIZE);
}

static void
sum_of_fragments_is_limited(void **state)
{
	struct bytes b = {.len = 0};
	struct handoff__rpc_record r;
	char text[501];

	(void)state;
	memset(text, 'x', 500);
	text[500] = '\0';
	fragment(&b, text, false);
	assert_int_equal(scan(&b, &r), 0);
	fragment(&b, text, true);
	assert_int_equal(scan(&b, &r), -EMSGSIZE);
}

static void
empty_fragment_is_refused(void **state)
{
	struct bytes b = {.len = 0};
	struct handoff__rpc_record r;

	(void)state;
	fragment(&b, "a", false);
	fragment(&b, "", false);
	assert_int_equal(scan(&b, &r), -EBADMSG);
}

static void
count_of_fragments_is_limited(void **state)
{
	struct bytes *b = calloc(1, sizeof(*b));
	struct handoff__rpc_record r;

	(void)state;
	assert_non_null(b);
	for (unsigned i = 0; i < HANDOFF__RPC_FRAGMENTS; i++)
		fragment(b, "a", false);
	assert_int_equal(
		handoff__rpc_scan(b->data, b->len, sizeof(b->data), &r), 0);
	fragment(b, "a", true);
	assert_int_equal(
		handoff__rpc_scan(b->data, b->len, sizeof(b->data), &r),
		-EBADMSG);
	free(b);
}

/* Feeds pieces of `piece` bytes, and appends each record and a '.'. */
static int
feed(const struct bytes *b, size_t piece, size_t max, char *out)
{
	struct handoff__rpc_stream s = {.max = max};
	size_t at = 0, used;
	int rc = 0;

	while (at < b->len && rc >= 0) {
		size_t n = b->len - at < piece ? b->len - at : piece;

		rc = handoff__rpc_stream_feed(&s, b->data + at, n, &used);
		assert_true(used <= n);
		assert_true(rc != 0 || used == n);
		at += used;
		if (rc <= 0)
			continue;
		strncat(out, (char *)s.message, s.len);
		strcat(out, s.longer ? "!" : ".");
	}
	handoff__rpc_stream_fini(&s);
	return rc;
}

static void
stream_gives_records_however_it_is_cut(void **state)
{
	struct bytes b = {.len = 0};

	(void)state;
	fragment(&b, "one", true);
	fragment(&b, "tw", false);
	fragment(&b, "o", true);
	fragment(&b, "three", true);
	for (size_t piece = 1; piece <= b.len; piece++) {
		char out[64] = "";

		assert_true(feed(&b, piece, MAX, out) >= 0);
		assert_string_equal(out, "one.two.three.");
	}
}

static void
stream_skips_what_is_too_long(void **state)
{
	struct bytes b = {.len = 0};

	(void)state;
	fragment(&b, "abcdef", false);
	fragment(&b, "ghi", true);
	fragment(&b, "xy", true);
	for (size_t piece = 1; piece <= b.len; piece++) {
		char out[64] = "";

		assert_true(feed(&b, piece, 4, out) >= 0);
		assert_string_equal(out, "abcd!xy.");
	}
}

static void
stream_refuses_an_empty_fragment(void **state)
{
	struct bytes b = {.len = 0};
	char out[64] = "";

	(void)state;
	fragment(&b, "one", true);
	fragment(&b, "", false);
	assert_int_equal(feed(&b, 3, MAX, out), -EBADMSG);
	assert_string_equal(out, "one.");
}

static void
stream_takes_no_memory_for_a_promise(void **state)
{
	struct handoff__rpc_stream s = {.max = 1u << 20};
	uint8_t mark[5] = {0xff, 0xff, 0xff, 0xff, 'x'};
	size_t used;

	(void)state;
	assert_int_equal(handoff__rpc_stream_feed(&s, mark, 5, &used), 0);
	assert_int_equal(s.len, 1);
	assert_true(s.cap <= 4096);
	handoff__rpc_stream_reset(&s);
	assert_int_equal(s.len, 0);
	handoff__rpc_stream_fini(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(whole_record_is_found),
		handoff_test(empty_record_is_one),
		handoff_test(every_part_wants_more),
		handoff_test(fragments_are_joined),
		handoff_test(too_long_is_refused_at_once),
		handoff_test(sum_of_fragments_is_limited),
		handoff_test(empty_fragment_is_refused),
		handoff_test(count_of_fragments_is_limited),
		handoff_test(stream_gives_records_however_it_is_cut),
		handoff_test(stream_skips_what_is_too_long),
		handoff_test(stream_refuses_an_empty_fragment),
		handoff_test(stream_takes_no_memory_for_a_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
