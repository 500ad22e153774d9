/* SPDX-License-Identifier: MIT */
/*
 * The bounds of the backoff: pure functions, so no test waits.
 */
#include "support/support.h"

#include "client/backoff.h"

#define ROUNDS 2000

/* The largest delay number `n` (from 0) of many sequences. */
static uint32_t
largest(uint32_t first_ms, uint32_t max_ms, int n)
{
	uint32_t most = 0;
	uint64_t seed = 42;

	for (int round = 0; round < ROUNDS; round++) {
		struct handoff__backoff b = {first_ms, max_ms, 0};
		uint32_t delay = 0;

		for (int i = 0; i <= n; i++)
			delay = handoff__backoff_next(&b, &seed);
		if (delay > most)
			most = delay;
	}
	return most;
}

static void
test_bounds_double(void **state)
{
	(void)state;
	/* With 2000 draws one of the upper tenth is as good as certain. */
	assert_in_range(largest(100, 10000, 0), 90, 100);
	assert_in_range(largest(100, 10000, 1), 180, 200);
	assert_in_range(largest(100, 10000, 3), 720, 800);
	assert_in_range(largest(100, 10000, 6), 5760, 6400);
	assert_in_range(largest(100, 10000, 7), 9000, 10000);
	assert_in_range(largest(100, 10000, 100), 9000, 10000);
}

static void
test_extremes(void **state)
{
	struct handoff__backoff b = {UINT32_MAX, UINT32_MAX, 0};
	uint64_t seed = 1;
	uint32_t low = UINT32_MAX, high = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint32_t d = handoff__backoff_next(&b, &seed);

		low = d < low ? d : low;
		high = d > high ? d : high;
	}
	assert_in_range(low, 0, UINT32_MAX / 50);
	assert_in_range(high, UINT32_MAX / 50 * 49, UINT32_MAX);
	/* The longest is shorter than the first: the longest counts. */
	assert_in_range(largest(5000, 10, 0), 9, 10);
	assert_int_equal(largest(1, 0, 5), 0);
}

static void
test_reset(void **state)
{
	struct handoff__backoff b = {8, 1 << 20, 0};
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 10; i++)
		handoff__backoff_next(&b, &seed);
	handoff__backoff_reset(&b);
	for (int i = 0; i < 100; i++) {
		assert_in_range(handoff__backoff_next(&b, &seed), 0, 8);
		handoff__backoff_reset(&b);
	}
}

static void
test_exhaust(void **state)
{
	struct handoff__backoff b = {8, 1 << 20, 0};
	uint64_t seed = 7;
	uint32_t most = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		uint32_t delay;

		handoff__backoff_reset(&b);
		handoff__backoff_exhaust(&b);
		delay = handoff__backoff_next(&b, &seed);
		most = delay > most ? delay : most;
	}
	assert_in_range(most, 1 << 19, 1 << 20);
}

/* Every value comes, and about as often as the others. */
static void
test_jitter_is_full(void **state)
{
	uint64_t seed = 99;
	int seen[11] = {0};

	(void)state;
	for (int i = 0; i < 11000; i++) {
		uint32_t r = handoff__random_upto(&seed, 10);

		assert_in_range(r, 0, 10);
		seen[r]++;
	}
	for (int i = 0; i <= 10; i++)
		assert_in_range(seen[i], 800, 1200);
	assert_int_equal(handoff__random_upto(&seed, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_bounds_double),
		handoff_test(test_extremes),
		handoff_test(test_reset),
		handoff_test(test_exhaust),
		handoff_test(test_jitter_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
