/* SPDX-License-Identifier: MIT */
/*
 * What the processes of a host share about its lease: a change is seen as a
 * whole or not at all, at whatever store its writer dies.
 */
#include "support/support.h"

#include "record/tenure.h"

#include <string.h>

#define TTL_NS UINT64_C(15000000000)
#define NOW_NS UINT64_C(100000000000)

static struct handoff__arena arena;

static struct handoff__tenure *
open_tenure(void)
{
	struct handoff__geometry geo;

	handoff__arena_init(&arena);
	assert_int_equal(handoff__geometry_make(&geo, 16, 4096, 4096), 0);
	assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	return handoff__tenure_of(&arena);
}

static struct handoff__tenure_kept
make_kept(uint64_t token, uint64_t valid_ns, const char *session)
{
	struct handoff__tenure_kept kept = {
		.token = token, .ttl_ns = TTL_NS, .valid_ns = valid_ns};

	kept.session_len = (uint32_t)strlen(session);
	memcpy(kept.session, session, kept.session_len);
	return kept;
}

static void
without_a_lease_nothing_is_over(void **state)
{
	struct handoff__tenure *tenure = open_tenure();

	(void)state;
	assert_non_null(tenure);
	assert_false(handoff__tenure_over(tenure, NOW_NS));
	assert_false(handoff__tenure_over(NULL, NOW_NS));
	atomic_store(&tenure->leased, 1);
	assert_true(handoff__tenure_over(tenure, NOW_NS));
	handoff__arena_fini(&arena);
}

static void
it_stands_still_before_the_lease_ends(void **state)
{
	struct handoff__tenure_kept kept = make_kept(7, NOW_NS, "abc"), read;
	struct handoff__tenure *tenure = open_tenure();
	uint64_t until;

	(void)state;
	atomic_store(&tenure->leased, 1);
	handoff__tenure_keep(tenure, &kept);
	until = atomic_load(&tenure->until_ns);
	assert_int_equal(until, NOW_NS - handoff__tenure_margin(TTL_NS));
	assert_true(until < NOW_NS);
	assert_false(handoff__tenure_over(tenure, until - 1));
	assert_true(handoff__tenure_over(tenure, until));
	assert_int_equal(atomic_load(&tenure->certain_ns), NOW_NS - TTL_NS / 3);
	handoff__tenure_valid(tenure, NOW_NS + 5);
	assert_false(handoff__tenure_over(tenure, until));
	handoff__tenure_read(tenure, &read);
	assert_int_equal(read.token, 7);
	assert_int_equal(read.valid_ns, NOW_NS + 5);
	assert_int_equal(read.session_len, 3);
	assert_memory_equal(read.session, "abc", 3);
	handoff__arena_fini(&arena);
}

static void
no_validity_is_none(void **state)
{
	struct handoff__tenure_kept kept = make_kept(7, 0, "");
	struct handoff__tenure *tenure = open_tenure();

	(void)state;
	atomic_store(&tenure->leased, 1);
	handoff__tenure_keep(tenure, &kept);
	assert_true(handoff__tenure_over(tenure, 0));
	assert_int_equal(atomic_load(&tenure->certain_ns), 0);
	handoff__arena_fini(&arena);
}

/* What is half written is in the copy that is not valid. */
static void
what_is_half_written_does_not_count(void **state)
{
	struct handoff__tenure_kept one = make_kept(1, NOW_NS, "one"), read;
	struct handoff__tenure *tenure = open_tenure();

	(void)state;
	handoff__tenure_keep(tenure, &one);
	memset(&tenure->kept[(atomic_load(&tenure->sequence) & 1) ^ 1], 0xff,
		sizeof(tenure->kept[0]) / 2);
	handoff__tenure_read(tenure, &read);
	assert_memory_equal(&read, &one, sizeof(one));
	handoff__arena_fini(&arena);
}

static void
an_impossible_session_is_none(void **state)
{
	struct handoff__tenure_kept kept = make_kept(1, NOW_NS, "one"), read;
	struct handoff__tenure *tenure = open_tenure();

	(void)state;
	handoff__tenure_keep(tenure, &kept);
	tenure->kept[atomic_load(&tenure->sequence) & 1].session_len = 9999;
	handoff__tenure_read(tenure, &read);
	assert_int_equal(read.session_len, 0);
	handoff__arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(without_a_lease_nothing_is_over),
		handoff_test(it_stands_still_before_the_lease_ends),
		handoff_test(no_validity_is_none),
		handoff_test(what_is_half_written_does_not_count),
		handoff_test(an_impossible_session_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
