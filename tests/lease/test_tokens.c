/* SPDX-License-Identifier: MIT */
/*
 * What one process of a host leaves to the next: session, token, validity; and
 * which tokens are taken at all.
 */
#include "lease/machine.h"

static struct handoff__lease_saved
saved_at(uint64_t token, double until)
{
	struct handoff__lease_saved saved = {.token = token,
		.valid_until_ns = S(until),
		.session_len = 3,
		.session = "xyz"};

	return saved;
}

static void
test_continues(void **state)
{
	struct handoff__lease_saved saved = saved_at(7, 8);

	(void)state;
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(handoff__lease_start(&l, S(1), &saved), 0);
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
	assert_true(handoff__lease_may_begin(&l, S(1)));
	assert_true(l.valid_until_ns == S(8));
	assert_int_equal(connect_with(1, TTL_MS), STORE | PROVE);
	/* the end has found it: perhaps that was too early */
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, 0, 7), PROVE);
	assert_int_equal(
		tell(1.1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0), VALID);
}

static void
test_continues_frozen(void **state)
{
	struct handoff__lease_saved saved = saved_at(7, 8);

	(void)state;
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(
		handoff__lease_start(&l, S(9), &saved), DOUBTED | FREEZE);
	assert_int_equal(connect_with(9, TTL_MS), STORE | PROVE);
	assert_int_equal(tell(9.1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | THAW | CERTAIN);
	/* and in doubt */
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(handoff__lease_start(&l, S(5), &saved), DOUBTED);
	/* the session has ended */
	assert_int_equal(tell(5.5, HANDOFF_LEASE_EXPIRED, 0, 0), VALID | RESET);
}

/* A validity from a longer TTL, or from nowhere. */
static void
test_continues_no_longer_than_it_may(void **state)
{
	struct handoff__lease_saved saved = saved_at(7, 1000);

	(void)state;
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(handoff__lease_start(&l, S(1), &saved), 0);
	assert_true(l.valid_until_ns == S(9));
	assert_int_equal(connect_with(2, 6000), STORE | PROVE);
	assert_true(l.valid_until_ns == S(5));
}

static void
test_cannot_continue(void **state)
{
	struct handoff__lease_saved saved = saved_at(7, 8);

	(void)state;
	saved.session_len = 0;
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(handoff__lease_start(&l, S(1), &saved), VALID | RESET);
	assert_int_equal(l.state, HANDOFF_LEASE_LOST);
	/* a session without a token: a candidate, who may have won */
	saved = saved_at(0, 0);
	handoff__lease_init(&l, TTL_MS);
	assert_int_equal(handoff__lease_start(&l, S(1), &saved), 0);
	assert_int_equal(l.state, HANDOFF_LEASE_CANDIDATE);
	assert_int_equal(connect_with(1, TTL_MS), STORE | READ);
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, 0, 7), 0);
	assert_int_equal(
		tell(1, HANDOFF_LEASE_RETAINED, l.read.serial, 0), PROVE);
	assert_int_equal(
		tell(1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0), STORE | WON);
}

static void
test_tokens_of_32_bits(void **state)
{
	(void)state;
	begin_asking();
	assert_int_equal(
		tell(0, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, UINT32_MAX),
		STORE | WON);
	assert_int_equal(tell(1, HANDOFF_LEASE_EXPIRED, 0, 0), VALID | RESET);
	connect_with(1, TTL_MS);
	assert_int_equal(handoff__lease_emptied(&l, S(1)), STORE | ACQUIRE);
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, l.acquire.serial,
				 UINT64_C(0x100000000)),
		STORE | RELEASE | COMPLAIN);
	assert_int_equal(l.state, HANDOFF_LEASE_FREE);
	assert_true(l.barred);
	assert_non_null(strstr(l.complaint, "used up"));
	assert_int_equal(tell(2, HANDOFF_LEASE_RELEASED, 1, 0), RELEASED);
	assert_int_equal(tell(2, HANDOFF_LEASE_VACANT, 0, 0), 0);
}

/* The engine takes another's answer for this one's, or makes serials up. */
static void
test_answer_to_what_was_not_asked(void **state)
{
	(void)state;
	begin_asking();
	/* of the notice, which was read */
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, 1, 7), 0);
	assert_int_equal(l.token, 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, l.serial + 1, 7),
		STORE | RELEASE | COMPLAIN);
	assert_int_equal(l.state, HANDOFF_LEASE_FREE);
	assert_int_equal(l.token, 0);
	assert_non_null(strstr(l.complaint, "never made"));
}

static void
test_tokens_that_go_back(void **state)
{
	(void)state;
	begin_owner();
	tell(1, HANDOFF_LEASE_EXPIRED, 0, 0);
	connect_with(1, TTL_MS);
	handoff__lease_emptied(&l, S(1));
	/* of the session before */
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, 2, 7), 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, 0, 7), 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 7),
		STORE | RELEASE | COMPLAIN);
	/* below what the notice says */
	begin();
	connect_with(0, TTL_MS);
	assert_int_equal(tell(0, HANDOFF_LEASE_ACQUIRED, 0, 7), 0);
	handoff__lease_above(&l, 7);
	tell(0, HANDOFF_LEASE_RETAINED, l.read.serial, 0);
	assert_int_equal(tell(0, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		STORE | RELEASE | COMPLAIN);
	/* none at all */
	begin_asking();
	assert_int_equal(tell(1, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 0),
		STORE | RELEASE | COMPLAIN);
}

/* More proofs under way than are remembered. */
static void
test_forgets_the_oldest_proof(void **state)
{
	uint64_t first;

	(void)state;
	begin_owner();
	at(2);
	first = l.prove_serial;
	for (int i = 0; i < HANDOFF__LEASE_PROOFS; i++)
		at(4 + 2 * i);
	assert_int_equal(tell(34.5, HANDOFF_LEASE_PROVEN, first, 0), 0);
	assert_int_equal(tell(34.5, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | THAW | CERTAIN);
}

static void
test_deadman(void **state)
{
	(void)state;
	assert_true(handoff__lease_deadman_of(S(8), UINT64_C(12000000000)) ==
		    S(11));
	assert_int_equal(handoff__lease_deadman_of(0, 12), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_continues),
		handoff_test(test_continues_frozen),
		handoff_test(test_continues_no_longer_than_it_may),
		handoff_test(test_cannot_continue),
		handoff_test(test_tokens_of_32_bits),
		handoff_test(test_answer_to_what_was_not_asked),
		handoff_test(test_tokens_that_go_back),
		handoff_test(test_forgets_the_oldest_proof),
		handoff_test(test_deadman),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
