/* SPDX-License-Identifier: MIT */
/*
 * The outbox: order, boundaries, bounds, and which messages are sent again.
 */
#include "support/support.h"

#include "client/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Takes up to `limit` bytes as a kernel would; returns how many. */
static size_t
take(struct handoff__outbox *box, size_t limit, char *out)
{
	struct iovec iov[2];
	int n = handoff__outbox_peek(box, limit, iov);
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		assert_true(iov[i].iov_len > 0);
		memcpy(out + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	assert_in_range(len, 0, limit);
	handoff__outbox_sent(box, len);
	return len;
}

static void
test_order_and_rewind(void **state)
{
	struct handoff__outbox box;
	char out[64];

	(void)state;
	handoff__outbox_init(&box, 100);
	assert_int_equal(handoff__outbox_unsent(&box), 0);
	assert_int_equal(take(&box, 10, out), 0);
	assert_int_equal(handoff__outbox_add(&box, "one", 3), 0);
	assert_int_equal(handoff__outbox_add(&box, "two", 3), 0);
	assert_int_equal(handoff__outbox_add(&box, "three", 5), 0);
	assert_int_equal(handoff__outbox_unsent(&box), 11);
	/* The first and a byte of the second. */
	assert_int_equal(take(&box, 4, out), 4);
	assert_memory_equal(out, "onet", 4);
	assert_int_equal(handoff__outbox_unsent(&box), 7);
	handoff__outbox_rewind(&box);
	assert_int_equal(handoff__outbox_unsent(&box), 8);
	assert_int_equal(take(&box, sizeof(out), out), 8);
	assert_memory_equal(out, "twothree", 8);
	/* All of it was sent: nothing is repeated. */
	handoff__outbox_rewind(&box);
	assert_int_equal(handoff__outbox_unsent(&box), 0);
	handoff__outbox_fini(&box);
}

static void
test_bound(void **state)
{
	struct handoff__outbox box;
	char out[16];

	(void)state;
	handoff__outbox_init(&box, 10);
	assert_int_equal(
		handoff__outbox_add(&box, "12345678901", 11), -EMSGSIZE);
	assert_int_equal(handoff__outbox_room(&box), 10);
	assert_int_equal(handoff__outbox_add(&box, "1234567", 7), 0);
	assert_int_equal(handoff__outbox_room(&box), 3);
	assert_int_equal(handoff__outbox_add(&box, "abcd", 4), -ENOBUFS);
	assert_int_equal(handoff__outbox_add(&box, "abc", 3), 0);
	assert_int_equal(handoff__outbox_add(&box, "x", 1), -ENOBUFS);
	/* A message that is half sent is kept whole. */
	assert_int_equal(take(&box, 6, out), 6);
	assert_int_equal(handoff__outbox_add(&box, "x", 1), -ENOBUFS);
	assert_int_equal(take(&box, 1, out), 1);
	assert_int_equal(handoff__outbox_add(&box, "1234567", 7), 0);
	assert_int_equal(take(&box, 16, out), 10);
	assert_memory_equal(out, "abc1234567", 10);
	handoff__outbox_fini(&box);
	assert_int_equal(handoff__outbox_unsent(&box), 0);
}

/* Random messages in, random pieces out, against a plain array; losses now and
 * then. The rings wrap and grow on the way. */
static void
test_random(void **state)
{
	enum { MAX = 20000, TOTAL = 400000 };
	char *all = malloc(TOTAL + 1000), *got = malloc(TOTAL + 1000);
	size_t *ends = calloc(TOTAL, sizeof(*ends)), nends = 0, done = 0;
	size_t added = 0, taken = 0;
	struct handoff__outbox box;
	uint32_t seed = 5;

	(void)state;
	handoff__outbox_init(&box, MAX);
	while (taken < TOTAL) {
		size_t len = (seed = seed * 1664525 + 1013904223) >> 22;

		for (size_t i = 0; i < len && added < TOTAL; i++)
			all[added + i] = (char)(seed >> i % 24);
		if (len > 0 && added < TOTAL &&
			handoff__outbox_add(&box, all + added, len) == 0)
			ends[nends++] = added += len;
		seed = seed * 1664525 + 1013904223;
		if (seed >> 28 < 9)
			taken += take(&box, (seed >> 10) % 3000, got + taken);
		while (done < nends && ends[done] <= taken)
			done++;
		if (seed >> 26 == 1) {
			handoff__outbox_rewind(&box);
			taken = done ? ends[done - 1] : 0;
		}
		assert_int_equal(handoff__outbox_unsent(&box), added - taken);
		if (added >= TOTAL && handoff__outbox_unsent(&box) == 0)
			break;
	}
	assert_true(added >= TOTAL);
	assert_memory_equal(all, got, taken);
	assert_in_range(box.cap, 1, 2 * MAX);
	handoff__outbox_fini(&box);
	free(all);
	free(got);
	free(ends);
}

/* Many tiny messages: their number is bounded by their bytes. */
static void
test_tiny(void **state)
{
	struct handoff__outbox box;
	char out[5000];

	(void)state;
	handoff__outbox_init(&box, 5000);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(handoff__outbox_add(&box, "z", 1), 0);
	assert_int_equal(handoff__outbox_add(&box, "z", 1), -ENOBUFS);
	assert_int_equal(box.count, 5000);
	assert_int_equal(take(&box, sizeof(out), out), 5000);
	assert_int_equal(box.count, 0);
	handoff__outbox_fini(&box);
}

/* As take(), in a session: what is passed stays. */
static size_t
pass(struct handoff__outbox *box, size_t limit, char *out)
{
	struct iovec iov[2];
	int n = handoff__outbox_peek(box, limit, iov);
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		memcpy(out + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	handoff__outbox_passed(box, len);
	return len;
}

static void
add_three(struct handoff__outbox *box)
{
	handoff__outbox_init(box, 100);
	assert_int_equal(handoff__outbox_add(box, "one", 3), 0);
	assert_int_equal(handoff__outbox_add(box, "two", 3), 0);
	assert_int_equal(handoff__outbox_add(box, "three", 5), 0);
}

/* What is passed is kept, and counts, until it is acknowledged. */
static void
test_kept(void **state)
{
	struct handoff__outbox box;
	char out[64];

	(void)state;
	add_three(&box);
	box.max = 11;
	assert_int_equal(pass(&box, 8, out), 8);
	assert_memory_equal(out, "onetwoth", 8);
	assert_int_equal(handoff__outbox_unsent(&box), 3);
	assert_int_equal(handoff__outbox_add(&box, "x", 1), -ENOBUFS);
	/* of a message that is passed whole, what is acknowledged leaves */
	handoff__outbox_acked(&box, 1);
	assert_int_equal(handoff__outbox_add(&box, "x", 1), 0);
	/* of one that is not, nothing does */
	handoff__outbox_acked(&box, 7);
	assert_int_equal(box.len, 6);
	assert_int_equal(handoff__outbox_add(&box, "123456", 6), -ENOBUFS);
	assert_int_equal(pass(&box, 64, out), 4);
	assert_memory_equal(out, "reex", 4);
	assert_int_equal(box.len, 4);
	handoff__outbox_acked(&box, 4);
	assert_int_equal(box.len, 0);
	handoff__outbox_fini(&box);
}

/* From wherever the server has it, to each position that was reached. */
static void
test_seek(void **state)
{
	static const char all[] = "onetwothree";
	char out[64];

	(void)state;
	for (size_t passed = 0; passed <= 11; passed++)
		for (size_t acked = 0; acked <= passed; acked++)
			for (size_t at = acked; at <= passed; at++) {
				struct handoff__outbox box;

				add_three(&box);
				pass(&box, passed, out);
				handoff__outbox_acked(&box, acked);
				handoff__outbox_seek(&box, at - acked);
				assert_int_equal(
					handoff__outbox_unsent(&box), 11 - at);
				assert_int_equal(pass(&box, 64, out), 11 - at);
				assert_memory_equal(out, all + at, 11 - at);
				handoff__outbox_acked(&box, 11 - acked);
				assert_int_equal(box.len, 0);
				assert_int_equal(box.count, 0);
				handoff__outbox_fini(&box);
			}
}

/* The end of the last message that ends within the first `len` bytes. */
static size_t
whole_within(size_t len)
{
	return len < 3 ? 0 : len < 6 ? 3 : len < 11 ? 6 : 11;
}

/* The end of the last message that begins within the first `len` bytes. */
static size_t
begun_within(size_t len)
{
	return len == 0 ? 0 : len <= 3 ? 3 : len <= 6 ? 6 : 11;
}

/* The session is lost: what was passed whole, or begun, is not repeated, the
 * rest goes whole, and what is neither acknowledged nor repeated is counted. */
static void
check_forget(size_t passed, size_t acked, bool begun)
{
	static const char all[] = "onetwothree";
	size_t left = begun ? begun_within(passed) : whole_within(passed);
	struct handoff__outbox box;
	char out[64];

	add_three(&box);
	pass(&box, passed, out);
	handoff__outbox_acked(&box, acked);
	assert_int_equal(handoff__outbox_forget(&box, begun),
		left > acked ? left - acked : 0);
	assert_int_equal(pass(&box, 64, out), 11 - left);
	assert_memory_equal(out, all + left, 11 - left);
	handoff__outbox_fini(&box);
}

static void
test_forget(void **state)
{
	(void)state;
	for (size_t passed = 0; passed <= 11; passed++)
		for (size_t acked = 0; acked <= passed; acked++) {
			check_forget(passed, acked, false);
			check_forget(passed, acked, true);
		}
}

/* A message that has lost its beginning cannot go to another session. */
static void
test_forget_torn(void **state)
{
	struct handoff__outbox box;
	char out[64];

	(void)state;
	add_three(&box);
	pass(&box, 11, out);
	handoff__outbox_acked(&box, 4);
	handoff__outbox_seek(&box, 1);
	assert_true(box.torn);
	assert_int_equal(handoff__outbox_forget(&box, false), 2);
	assert_int_equal(pass(&box, 64, out), 5);
	assert_memory_equal(out, "three", 5);
	handoff__outbox_acked(&box, 5);
	assert_false(box.torn);
	handoff__outbox_fini(&box);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_order_and_rewind),
		handoff_test(test_bound),
		handoff_test(test_random),
		handoff_test(test_tiny),
		handoff_test(test_kept),
		handoff_test(test_seek),
		handoff_test(test_forget),
		handoff_test(test_forget_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
