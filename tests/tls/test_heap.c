/* SPDX-License-Identifier: MIT */
/*
 * When memory of handshakes is given back: once the entries of a process have
 * become few, and not for every one that goes.
 */
#include "support/support.h"

#include "tls/heap.h"

static unsigned trims;

int __wrap_malloc_trim(size_t pad);

int
__wrap_malloc_trim(size_t pad)
{
	assert_int_equal(pad, 0);
	trims++;
	return 1;
}

/* As long after the last time as is needed. */
static void
shrink(struct handoff__tls_heap *heap, size_t from, size_t to)
{
	while (from-- > to) {
		handoff__tls_heap_shrink(heap, from);
		atomic_store(&heap->trimmed_ms, 0);
	}
}

static void
program_asks_for_it(void **state)
{
	struct handoff__tls_heap heap = {.trims = false};

	(void)state;
	trims = 0;
	shrink(&heap, 10000, 0);
	assert_int_equal(trims, 0);
}

static void
each_time_half_of_them_are_gone(void **state)
{
	struct handoff__tls_heap heap = {.trims = true};

	(void)state;
	trims = 0;
	/* 511, 255, 127, 63; what is left is not worth it */
	shrink(&heap, 1024, 512);
	assert_int_equal(trims, 0);
	shrink(&heap, 512, 511);
	assert_int_equal(trims, 1);
	shrink(&heap, 511, 0);
	assert_int_equal(trims, 4);
	/* others have come */
	shrink(&heap, 200, 100);
	assert_int_equal(trims, 4);
	shrink(&heap, 100, 99);
	assert_int_equal(trims, 5);
}

static void
not_while_as_many_come_as_go(void **state)
{
	struct handoff__tls_heap heap = {.trims = true};

	(void)state;
	trims = 0;
	for (int i = 0; i < 10000; i++)
		handoff__tls_heap_shrink(&heap, 900 + (size_t)i % 100);
	assert_int_equal(trims, 0);
}

static void
not_twice_in_a_moment(void **state)
{
	struct handoff__tls_heap heap = {.trims = true};

	(void)state;
	trims = 0;
	for (int i = 0; i < 3; i++) {
		handoff__tls_heap_shrink(&heap, 1000);
		handoff__tls_heap_shrink(&heap, 10);
		handoff__tls_heap_shrink(&heap, 0);
	}
	assert_int_equal(trims, 1);
	/* and then it is done */
	atomic_store(&heap.trimmed_ms, 0);
	handoff__tls_heap_shrink(&heap, 0);
	assert_int_equal(trims, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(program_asks_for_it),
		handoff_test(each_time_half_of_them_are_gone),
		handoff_test(not_while_as_many_come_as_go),
		handoff_test(not_twice_in_a_moment),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
