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
	assert_int_equal(handoff__outbox_add(&box, "1234567", 7), 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_order_and_rewind),
		handoff_test(test_bound),
		handoff_test(test_random),
		handoff_test(test_tiny),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
