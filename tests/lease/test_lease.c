/* SPDX-License-Identifier: MIT */
/*
 * The state machine of a lease, input by input: pure functions, so no engine
 * and no clock is needed.
 */
#include "lease/machine.h"

static void
test_wins(void **state)
{
	struct handoff__lease_saved saved = {0};

	(void)state;
	begin_owner();
	assert_int_equal(l.token, 7);
	assert_true(l.valid_until_ns == S(8)); /* of the sending */
	assert_true(handoff__lease_may_begin(&l, S(3.9)));
	assert_false(handoff__lease_may_begin(&l, S(4)));
	assert_true(handoff__lease_valid(&l, S(7.9)));
	assert_false(handoff__lease_valid(&l, S(8)));
	assert_true(handoff__lease_due(&l) == S(2));
	assert_true(handoff__lease_deadman(&l) == S(11));
	handoff__lease_save(&l, &saved);
	assert_int_equal(saved.token, 7);
	assert_true(saved.valid_until_ns == S(8));
	assert_int_equal(prove(2, 2.1), VALID);
	assert_true(l.valid_until_ns == S(10));
	assert_true(handoff__lease_due(&l) == S(4));
}

static void
test_asks_for_the_notice_first(void **state)
{
	(void)state;
	begin();
	assert_int_equal(connect_with(0, TTL_MS), STORE | READ);
	assert_int_equal(tell(0, HANDOFF_LEASE_VACANT, 0, 0), 0);
	handoff__lease_above(&l, 41);
	assert_int_equal(
		tell(0.5, HANDOFF_LEASE_RETAINED, l.read.serial, 0), ACQUIRE);
	assert_int_equal(handoff__lease_used(&l), 41);
}

static void
test_another_has_it(void **state)
{
	(void)state;
	begin_asking();
	assert_int_equal(
		tell(0.1, HANDOFF_LEASE_TAKEN, l.acquire.serial, 9), 0);
	assert_string_equal(l.by, "b");
	assert_int_equal(handoff__lease_used(&l), 9);
	assert_false(handoff__lease_valid(&l, S(0.1)));
	assert_int_equal(tell(3, HANDOFF_LEASE_VACANT, 0, 0), ACQUIRE);
	/* an answer from before: it asks again without being told */
	assert_int_equal(
		tell(3.1, HANDOFF_LEASE_TAKEN, l.acquire.serial, 9), 0);
	assert_true(handoff__lease_due(&l) == S(9.1));
	assert_int_equal(at(9.1), ACQUIRE);
}

static void
test_acquire_is_tried_again(void **state)
{
	uint64_t first;

	(void)state;
	begin_asking();
	first = l.acquire.serial;
	assert_int_equal(tell(1, HANDOFF_LEASE_ERROR, first, 0), 0);
	assert_true(handoff__lease_due(&l) == S(3));
	assert_int_equal(at(3), ACQUIRE);
	assert_true(l.acquire.serial > first);
	assert_int_equal(at(6.9), 0);
	assert_int_equal(at(7), ACQUIRE); /* no answer */
	assert_int_equal(handoff__lease_failed(&l, S(7), l.acquire.serial), 0);
	assert_true(handoff__lease_due(&l) == S(9));
}

static void
test_doubt_and_certainty(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	assert_int_equal(at(4), DOUBTED | PROVE);
	assert_int_equal(l.state, HANDOFF_LEASE_DOUBT);
	assert_true(handoff__lease_valid(&l, S(4)));
	assert_int_equal(tell(4.5, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | CERTAIN);
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
	assert_true(l.valid_until_ns == S(12));
}

static void
test_freeze_and_thaw(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(at(5), DOUBTED | PROVE);
	assert_int_equal(at(7.99), PROVE);
	assert_true(handoff__lease_due(&l) == S(8));
	assert_int_equal(at(8), FREEZE);
	assert_true(l.frozen);
	assert_int_equal(handoff__lease_deadman(&l), 0);
	assert_int_equal(at(9.99), PROVE);
	assert_int_equal(tell(10, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | THAW | CERTAIN);
	assert_int_equal(l.token, 7);
}

/* Everything at once, by a process that was stopped. */
static void
test_late_look_at_the_time(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(at(300), DOUBTED | FREEZE | PROVE);
	/* nothing else is due: it does not spin */
	assert_true(handoff__lease_due(&l) == S(302));
}

static void
test_late_proof_counts_from_its_sending(void **state)
{
	uint64_t serial;

	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	serial = l.prove_serial;
	assert_int_equal(at(4), DOUBTED | PROVE);
	assert_int_equal(at(8), FREEZE | PROVE);
	/* that of 2 at 9: thawed until 10, and still in doubt */
	assert_int_equal(
		tell(9, HANDOFF_LEASE_PROVEN, serial, 0), VALID | THAW);
	assert_int_equal(l.state, HANDOFF_LEASE_DOUBT);
	/* again: it is not counted again */
	assert_int_equal(tell(9.5, HANDOFF_LEASE_PROVEN, serial, 0), 0);
	assert_int_equal(at(10), FREEZE | PROVE);
}

static void
test_proof_that_is_too_late_thaws_nothing(void **state)
{
	uint64_t serial;

	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	serial = l.prove_serial;
	assert_int_equal(at(11), DOUBTED | FREEZE | PROVE);
	assert_int_equal(tell(11.5, HANDOFF_LEASE_PROVEN, serial, 0), VALID);
	assert_true(l.frozen);
	assert_false(handoff__lease_valid(&l, S(11.5)));
}

static void
test_answers_in_the_wrong_order(void **state)
{
	uint64_t first;

	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	first = l.prove_serial;
	assert_int_equal(tell(3, HANDOFF_LEASE_VACANT, 0, 0), PROVE);
	assert_int_equal(
		tell(3.1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0), VALID);
	assert_true(l.valid_until_ns == S(11));
	assert_int_equal(tell(3.2, HANDOFF_LEASE_PROVEN, first, 0), 0);
	assert_true(l.valid_until_ns == S(11));
}

static void
test_unknown_serials_count_nothing(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(tell(1, HANDOFF_LEASE_PROVEN, 0, 7), 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_PROVEN, 12345, 7), 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_PUBLISHED, 12345, 0), 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_PUBLISHED, 0, 0), 0);
	assert_int_equal(tell(1, HANDOFF_LEASE_RELEASED, 0, 0), 0);
	assert_int_equal(tell(1, (enum handoff_lease_event_kind)99, 1, 1), 0);
	assert_true(l.valid_until_ns == S(8));
}

static void
test_time_does_not_go_back(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(at(8), DOUBTED | FREEZE | PROVE);
	assert_int_equal(at(1), 0);
	assert_true(l.frozen);
	/* the proof was sent at 8 */
	assert_int_equal(tell(1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | THAW | CERTAIN);
	assert_true(l.valid_until_ns == S(16));
}

static void
test_expired(void **state)
{
	uint64_t serial;

	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	serial = l.prove_serial;
	assert_int_equal(tell(3, HANDOFF_LEASE_EXPIRED, 0, 0), VALID | RESET);
	assert_int_equal(l.state, HANDOFF_LEASE_LOST);
	assert_int_equal(l.token, 0);
	/* the proof of the old session comes after all */
	assert_int_equal(tell(3, HANDOFF_LEASE_PROVEN, serial, 0), 0);
	assert_int_equal(connect_with(3.1, TTL_MS), 0); /* not yet */
	assert_int_equal(tell(3.1, HANDOFF_LEASE_VACANT, 0, 0), 0);
	assert_int_equal(tell(3.2, HANDOFF_LEASE_PROVEN, serial, 0), 0);
	assert_int_equal(l.state, HANDOFF_LEASE_LOST);
	assert_true(handoff__lease_due(&l) == HANDOFF__LEASE_NEVER);
	assert_int_equal(handoff__lease_emptied(&l, S(3.3)), STORE | ACQUIRE);
	assert_int_equal(l.state, HANDOFF_LEASE_CANDIDATE);
	assert_int_equal(handoff__lease_used(&l), 7);
	assert_int_equal(tell(3.4, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 8),
		STORE | WON);
	/* and a refusal of the old token */
	assert_int_equal(tell(3.5, HANDOFF_LEASE_REFUSED, serial, 0), 0);
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
}

static void
test_refused(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	assert_int_equal(tell(2.1, HANDOFF_LEASE_REFUSED, l.prove_serial, 0),
		VALID | RESET);
	assert_int_equal(handoff__lease_emptied(&l, S(2.2)), STORE | ACQUIRE);
	/* twice is once */
	assert_int_equal(handoff__lease_emptied(&l, S(2.2)), 0);
}

static void
test_taken_by_a_higher_token(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(tell(1, HANDOFF_LEASE_TAKEN, 0, 6), 0); /* old */
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
	assert_int_equal(tell(1, HANDOFF_LEASE_TAKEN, 0, 0), PROVE);
	assert_int_equal(tell(1, HANDOFF_LEASE_TAKEN, 0, 8), VALID | RESET);
}

/* The lock is gone, says a watch: only a proof tells. */
static void
test_vacant_while_owner(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(tell(1, HANDOFF_LEASE_VACANT, 0, 0), PROVE);
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
}

static void
test_acquired_twice(void **state)
{
	uint64_t serial, second;

	(void)state;
	begin_asking();
	serial = l.acquire.serial;
	assert_int_equal(at(4), ACQUIRE); /* the first is late */
	second = l.acquire.serial;
	assert_int_equal(
		tell(5, HANDOFF_LEASE_ACQUIRED, serial, 7) & (STORE | WON),
		STORE | WON);
	assert_true(l.valid_until_ns == S(8));
	/* the second: the same token; its sending is forgotten */
	assert_int_equal(tell(5, HANDOFF_LEASE_ACQUIRED, second, 7), 0);
	assert_int_equal(tell(5, HANDOFF_LEASE_ACQUIRED, serial, 7), 0);
	assert_true(l.valid_until_ns == S(8));
	assert_int_equal(tell(5, HANDOFF_LEASE_ACQUIRED, 0, 5), 0); /* old */
	/* another token: the one before it is gone */
	assert_int_equal(tell(5, HANDOFF_LEASE_ACQUIRED, 0, 8), VALID | RESET);
	assert_int_equal(tell(5, HANDOFF_LEASE_ACQUIRED, 0, 8), 0);
	assert_int_equal(handoff__lease_emptied(&l, S(6)), STORE | ACQUIRE);
	assert_int_equal(tell(6, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 8),
		STORE | WON);
}

/* The answer to acquire was lost with the connection. */
static void
test_found_as_owner(void **state)
{
	(void)state;
	begin_asking();
	assert_int_equal(tell(1, HANDOFF_LEASE_SUSPENDED, 0, 0), 0);
	assert_true(handoff__lease_due(&l) == HANDOFF__LEASE_NEVER);
	assert_int_equal(connect_with(5, TTL_MS), STORE);
	/* found: not valid before it is proven */
	assert_int_equal(tell(5, HANDOFF_LEASE_ACQUIRED, 0, 7), PROVE);
	assert_int_equal(l.state, HANDOFF_LEASE_CANDIDATE);
	assert_false(handoff__lease_valid(&l, S(5)));
	assert_int_equal(tell(5.1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		STORE | WON);
	assert_true(l.valid_until_ns == S(13));
}

static void
test_acquired_too_late(void **state)
{
	uint64_t serial;

	(void)state;
	begin_asking();
	serial = l.acquire.serial;
	assert_int_equal(tell(30, HANDOFF_LEASE_ACQUIRED, serial, 7), PROVE);
	assert_int_equal(l.state, HANDOFF_LEASE_CANDIDATE);
	assert_int_equal(
		tell(31, HANDOFF_LEASE_REFUSED, l.prove_serial, 0), ACQUIRE);
	assert_int_equal(l.token, 0);
}

static void
test_suspended_proves_when_it_is_back(void **state)
{
	uint64_t serial;

	(void)state;
	begin_owner();
	assert_int_equal(at(2), PROVE);
	serial = l.prove_serial;
	assert_int_equal(tell(2.5, HANDOFF_LEASE_SUSPENDED, 0, 0), 0);
	assert_int_equal(l.state, HANDOFF_LEASE_OWNER);
	assert_int_equal(at(4), DOUBTED);
	assert_true(handoff__lease_due(&l) == S(8));
	assert_int_equal(at(8), FREEZE);
	assert_true(handoff__lease_due(&l) == HANDOFF__LEASE_NEVER);
	assert_int_equal(connect_with(9, TTL_MS), STORE | PROVE);
	/* one of the connection before does not count */
	assert_int_equal(tell(9, HANDOFF_LEASE_PROVEN, serial, 0), 0);
	assert_int_equal(tell(9.1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | THAW | CERTAIN);
}

static void
test_the_engine_grants_less(void **state)
{
	(void)state;
	begin();
	assert_int_equal(connect_with(0, 6000), STORE | READ);
	tell(0, HANDOFF_LEASE_RETAINED, l.read.serial, 0);
	assert_int_equal(tell(0, HANDOFF_LEASE_VACANT, 0, 0), ACQUIRE);
	tell(0, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 7);
	assert_true(l.valid_until_ns == S(4));
	assert_true(handoff__lease_due(&l) == S(1));
	/* more again: only for what is proven from then on */
	assert_int_equal(
		connect_with(1, 60000) & (STORE | PROVE), STORE | PROVE);
	assert_true(l.valid_until_ns == S(4));
	assert_int_equal(
		tell(1, HANDOFF_LEASE_PROVEN, l.prove_serial, 0) & VALID,
		VALID);
	assert_true(l.valid_until_ns == S(9));
	/* and less than that of the latest proof */
	assert_int_equal(connect_with(2, 3000), STORE | DOUBTED | PROVE);
	assert_true(l.valid_until_ns == S(3));
}

static void
test_publishes(void **state)
{
	uint64_t first;

	(void)state;
	begin_asking();
	assert_int_equal(handoff__lease_publish(&l, S(0)), 0); /* not owner */
	tell(0.1, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 7);
	assert_int_equal(at(0.2), 0);
	assert_int_equal(handoff__lease_publish(&l, S(0.5)), PUBLISH);
	first = l.publish.serial;
	assert_int_equal(handoff__lease_publish(&l, S(0.6)), PUBLISH);
	assert_int_equal(tell(0.7, HANDOFF_LEASE_PUBLISHED, first, 0), 0);
	assert_int_equal(
		tell(0.8, HANDOFF_LEASE_PUBLISHED, l.publish.serial, 0),
		PUBLISHED);
	/* what is asked for in doubt is done when the doubt is over */
	assert_int_equal(at(4), DOUBTED | PROVE);
	assert_int_equal(handoff__lease_publish(&l, S(4.5)), 0);
	assert_int_equal(tell(5, HANDOFF_LEASE_PROVEN, l.prove_serial, 0),
		VALID | CERTAIN | PUBLISH);
	assert_int_equal(tell(5, HANDOFF_LEASE_ERROR, l.publish.serial, 0), 0);
	assert_int_equal(at(7), PROVE | PUBLISH);
	assert_int_equal(tell(7, HANDOFF_LEASE_REFUSED, l.publish.serial, 0),
		VALID | RESET);
	/* forgotten with its token */
	assert_int_equal(handoff__lease_emptied(&l, S(7)), STORE | ACQUIRE);
	assert_int_equal(tell(7, HANDOFF_LEASE_ACQUIRED, l.acquire.serial, 8),
		STORE | WON);
}

static void
test_releases(void **state)
{
	(void)state;
	begin_owner();
	assert_int_equal(handoff__lease_release(&l, S(1)), STORE | RELEASE);
	assert_int_equal(l.state, HANDOFF_LEASE_FREE);
	assert_false(handoff__lease_valid(&l, S(1)));
	assert_int_equal(handoff__lease_deadman(&l), 0);
	assert_int_equal(at(5), RELEASE); /* no answer */
	assert_int_equal(tell(6, HANDOFF_LEASE_RELEASED, 1, 0), RELEASED);
	assert_int_equal(tell(6, HANDOFF_LEASE_RELEASED, 1, 0), 0);
	assert_int_equal(tell(6, HANDOFF_LEASE_VACANT, 0, 0), 0);
	assert_true(handoff__lease_due(&l) == HANDOFF__LEASE_NEVER);
}

static void
test_releases_what_it_gets_after_that(void **state)
{
	uint64_t serial;

	(void)state;
	begin_asking();
	serial = l.acquire.serial;
	assert_int_equal(handoff__lease_release(&l, S(1)), STORE | RELEASE);
	assert_int_equal(tell(1, HANDOFF_LEASE_RELEASED, 1, 0), RELEASED);
	assert_int_equal(tell(6, HANDOFF_LEASE_ACQUIRED, serial, 7), RELEASE);
	assert_int_equal(l.token, 0);
}

static void
test_releases_without_an_engine(void **state)
{
	(void)state;
	begin();
	assert_int_equal(handoff__lease_release(&l, S(1)), STORE | RELEASED);
	/* with a session that is suspended, and then ends */
	begin_owner();
	tell(1, HANDOFF_LEASE_SUSPENDED, 0, 0);
	assert_int_equal(handoff__lease_release(&l, S(1)), STORE);
	assert_int_equal(
		tell(20, HANDOFF_LEASE_EXPIRED, 0, 0), STORE | RELEASED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_wins),
		handoff_test(test_asks_for_the_notice_first),
		handoff_test(test_another_has_it),
		handoff_test(test_acquire_is_tried_again),
		handoff_test(test_doubt_and_certainty),
		handoff_test(test_freeze_and_thaw),
		handoff_test(test_late_look_at_the_time),
		handoff_test(test_late_proof_counts_from_its_sending),
		handoff_test(test_proof_that_is_too_late_thaws_nothing),
		handoff_test(test_answers_in_the_wrong_order),
		handoff_test(test_unknown_serials_count_nothing),
		handoff_test(test_time_does_not_go_back),
		handoff_test(test_expired),
		handoff_test(test_refused),
		handoff_test(test_taken_by_a_higher_token),
		handoff_test(test_vacant_while_owner),
		handoff_test(test_acquired_twice),
		handoff_test(test_found_as_owner),
		handoff_test(test_acquired_too_late),
		handoff_test(test_suspended_proves_when_it_is_back),
		handoff_test(test_the_engine_grants_less),
		handoff_test(test_publishes),
		handoff_test(test_releases),
		handoff_test(test_releases_what_it_gets_after_that),
		handoff_test(test_releases_without_an_engine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
