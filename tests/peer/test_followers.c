/* SPDX-License-Identifier: MIT */
/*
 * What follows a give one by one, and a taker that is stopped meanwhile: the
 * outcome counts as moved what it has accepted, the rest is served here again
 * and is offered when it answers.
 */
#include "peer/fixture.h"

#include "peer/offer.h"

#include <string.h>

static struct handoff__roster_entry *busy;

/* A give whose taker serves all but this one. */
static void
give_all_but_one(unsigned connections)
{
	pair_fill(&one, &two, connections);
	busy = pair_connection(&one, 0);
	one.busy_one = busy;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_true(two.pair.serving);
	assert_int_equal(one.given, 0);
	assert_int_equal(one.pair.give.waiting, 1);
}

static void
becomes_quiet(void)
{
	one.busy_one = NULL;
	handoff__pair_quiet(&one.pair, busy);
}

/* A beat, as if what has followed had done so that much earlier. */
static void
beat_after(int64_t ms)
{
	one.pair.give.followed_us -= ms * 1000;
	one.pair.pulse.due = true;
	handoff__pair_proceed(&one.pair);
}

/* The give is over, and says that it has left this one behind. */
static void
assert_left(unsigned moved, enum handoff__reason reason)
{
	const struct handoff__report *last = &one.pair.last.report;

	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.moved, moved);
	assert_int_equal(one.report.left, 1);
	assert_int_equal(one.report.left_by[reason], 1);
	assert_int_equal(one.report.refs[0].id, busy->id);
	assert_int_equal(one.report.refs[0].arg, reason);
	assert_int_equal(last->moved, moved);
	assert_int_equal(last->left, 1);
	assert_int_equal(one.pair.tally.moved[HANDOFF__WAY_OUT], moved);
	assert_true(busy->mine);
	assert_int_equal(one.pair.roster.connections, 1);
}

static void
assert_all_are_there(unsigned connections)
{
	assert_int_equal(one.pair.roster.owned, 0);
	assert_int_equal(two.pair.roster.connections, connections);
	assert_int_equal(one.pair.tally.moved[HANDOFF__WAY_OUT], connections);
	assert_int_equal(two.pair.tally.moved[HANDOFF__WAY_IN], connections);
	pair_assert_one_owner(&one, &two);
}

/* The outcome waits until it is accepted. */
static void
outcome_comes_after_the_last_has_been_accepted(void **state)
{
	(void)state;
	give_all_but_one(3);
	becomes_quiet();
	pair_run(&one, NULL);
	assert_false(busy->mine);
	assert_int_equal(one.given, 0);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved, 3);
	assert_int_equal(one.report.left, 0);
	assert_int_equal(two.report.moved, 3);
	assert_all_are_there(3);
}

/* It is not: it is left behind, and follows when the taker goes on. */
static void
untaken_follower_is_left_behind_and_follows(void **state)
{
	(void)state;
	give_all_but_one(3);
	becomes_quiet();
	pair_run(&one, NULL);
	pair_expire(&one);
	assert_left(2, HANDOFF__UNTAKEN);
	/* in counters that do not decrease it was given, and came back */
	assert_int_equal(one.pair.tally.returned.connections, 1);
	beat_after(0);
	assert_true(busy->mine);
	pair_run(&one, &two);
	assert_int_equal(two.report.moved, 2);
	assert_int_equal(two.report.left, 1);
	assert_int_equal(two.pair.roster.connections, 2);
	pair_assert_one_owner(&one, &two);
	beat_after(0);
	assert_false(busy->mine);
	pair_run(&one, &two);
	assert_all_are_there(3);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.pair.last.report.left, 1);
}

/* A handler still runs: those that have returned are served here, and are not
 * offered to a taker that does not answer. */
static void
silent_taker_is_offered_nothing_more(void **state)
{
	struct handoff__roster_entry *other;

	(void)state;
	pair_fill(&one, &two, 3);
	busy = pair_connection(&one, 0);
	other = pair_connection(&one, 1);
	pair_enter_many(&one, 1);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_true(two.pair.serving);
	assert_int_equal(one.pair.give.waiting, 4);
	handoff__pair_quiet(&one.pair, busy);
	pair_run(&one, NULL);
	assert_false(busy->mine);
	beat_after(HANDOFF__TAKEN_MS);
	assert_true(busy->mine);
	assert_int_equal(one.given, 0);
	handoff__pair_quiet(&one.pair, other);
	assert_true(other->mine);
	assert_int_equal(one.pair.give.waiting, 2);
	pair_expire(&one);
	assert_int_equal(one.report.moved, 0);
	assert_int_equal(one.report.left, 4);
	assert_int_equal(one.report.left_by[HANDOFF__UNTAKEN], 2);
	assert_int_equal(one.report.left_by[HANDOFF__HANDLER_BUSY], 2);
	one.busy = false;
	pair_run(&one, &two);
	beat_after(0);
	assert_false(busy->mine || other->mine);
	handoff__pair_quiet(&one.pair, pair_connection(&one, 2));
	handoff__pair_quiet(&one.pair, pair_connection(&one, 3));
	pair_run(&one, &two);
	assert_all_are_there(4);
}

/* The deadline for handlers passes while the outcome waits: one that returns
 * then is in the outcome as left behind, and follows it. */
static void
one_that_returns_before_the_outcome_follows_it(void **state)
{
	struct handoff__roster_entry *late;

	(void)state;
	pair_fill(&one, &two, 3);
	busy = pair_connection(&one, 0);
	late = pair_connection(&one, 1);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	handoff__pair_quiet(&one.pair, busy);
	handoff__pair_quiet(&one.pair, pair_connection(&one, 2));
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	assert_int_equal(one.given, 0);
	one.busy = false;
	handoff__pair_quiet(&one.pair, late);
	assert_true(late->mine);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved, 2);
	assert_int_equal(one.report.left, 1);
	assert_int_equal(one.report.left_by[HANDOFF__HANDLER_BUSY], 1);
	assert_all_are_there(3);
}

/* One that follows the outcome itself, and is offered again later and later. */
static void
untaken_follower_of_an_outcome_is_offered_again(void **state)
{
	(void)state;
	give_all_but_one(2);
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	pair_run(&one, &two);
	assert_left(1, HANDOFF__HANDLER_BUSY);
	becomes_quiet();
	for (int i = 0; i < 3; i++) {
		pair_run(&one, NULL);
		assert_false(busy->mine);
		beat_after(HANDOFF__TAKEN_MS);
		assert_true(busy->mine);
		assert_int_equal(busy->left, HANDOFF__UNTAKEN);
		pair_run(&one, &two);
		assert_true(busy->mine);
		if (i > 0) {
			beat_after(0);
			assert_true(busy->mine);
			one.pair.give.again_us -= INT64_C(1000000) << i;
		}
		beat_after(0);
	}
	pair_run(&one, &two);
	assert_all_are_there(2);
	assert_int_equal(one.given, 1);
}

/* What an earlier give is still waiting for is part of the next one. */
static void
next_give_counts_a_follower_of_the_last(void **state)
{
	(void)state;
	give_all_but_one(2);
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	pair_run(&one, &two);
	assert_int_equal(one.report.moved, 1);
	becomes_quiet();
	pair_turn(&one);
	assert_false(busy->mine);
	assert_int_equal(handoff__pair_give(&one.pair, HANDOFF__REST), 0);
	assert_true(busy->mine);
	pair_run(&one, &two);
	assert_int_equal(one.given, 2);
	assert_int_equal(one.report.moved, 1);
	assert_int_equal(one.report.left, 0);
	beat_after(0);
	assert_all_are_there(2);
}

/* The service that has come back in the meantime keeps it. */
static void
untaken_follower_stays_with_the_service(void **state)
{
	(void)state;
	give_all_but_one(2);
	becomes_quiet();
	pair_run(&one, NULL);
	pair_expire(&one);
	assert_left(1, HANDOFF__UNTAKEN);
	pair_run(&one, &two);
	pair_give(&two, &one, HANDOFF__MAINTENANCE);
	beat_after(0);
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.connections, 2);
	pair_assert_one_owner(&one, &two);
}

/* The taker has accepted the service and stands still before it accepts what
 * belongs to it. */
static void
what_the_taker_of_the_service_has_not_accepted_comes_back(void **state)
{
	(void)state;
	pair_fill(&one, &two, 5);
	pair_offer(&one, &two);
	assert_true(handoff__owner_accept(
		&handoff__arena_board(&one.pair.arena)->owner,
		(uint32_t)two.pair.place));
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	assert_int_equal(one.roles, 1);
	assert_int_equal(one.given, 0);
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.moved, 0);
	assert_int_equal(one.report.left_by[HANDOFF__UNTAKEN], 7);
	assert_int_equal(one.pair.roster.connections, 5);
	pair_run(&one, &two);
	beat_after(0);
	pair_run(&one, &two);
	assert_all_are_there(5);
}

/* The link breaks: what was not accepted is here, and the outcome says so. */
static void
broken_link_brings_the_follower_back(void **state)
{
	(void)state;
	give_all_but_one(3);
	becomes_quiet();
	handoff__core_break(&one.pair, "of the test");
	handoff__pair_proceed(&one.pair);
	assert_left(2, HANDOFF__LEAVING);
	assert_int_equal(one.aparts, 0);
}

/* After the outcome the taker may accept it without the bell. */
static void
follower_of_an_outcome_may_be_accepted_without_a_link(void **state)
{
	(void)state;
	give_all_but_one(2);
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	pair_run(&one, &two);
	becomes_quiet();
	handoff__core_break(&one.pair, "of the test");
	handoff__pair_proceed(&one.pair);
	assert_false(busy->mine);
	assert_true(one.pair.give.follows);
	beat_after(HANDOFF__TAKEN_MS);
	assert_true(busy->mine);
	assert_false(one.pair.give.follows);
}

/* A leader and its companions come back together, and go together. */
static void
companions_come_back_and_follow_together(void **state)
{
	struct handoff__roster_entry *companion;

	(void)state;
	pair_fill(&one, &two, 3);
	busy = pair_connection(&one, 0);
	companion = pair_enter_with(&one, HANDOFF__CONNECTION, busy);
	pair_run(&one, &two);
	one.busy_one = busy;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_true(companion->mine);
	becomes_quiet();
	pair_run(&one, NULL);
	assert_false(busy->mine || companion->mine);
	pair_expire(&one);
	assert_int_equal(one.report.left_by[HANDOFF__UNTAKEN], 2);
	assert_true(busy->mine && companion->mine);
	pair_run(&one, &two);
	beat_after(0);
	assert_false(busy->mine || companion->mine);
	pair_run(&one, &two);
	assert_all_are_there(4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(outcome_comes_after_the_last_has_been_accepted),
		pair_test(untaken_follower_is_left_behind_and_follows),
		pair_test(silent_taker_is_offered_nothing_more),
		pair_test(one_that_returns_before_the_outcome_follows_it),
		pair_test(untaken_follower_of_an_outcome_is_offered_again),
		pair_test(next_give_counts_a_follower_of_the_last),
		pair_test(untaken_follower_stays_with_the_service),
		pair_test(
			what_the_taker_of_the_service_has_not_accepted_comes_back),
		pair_test(broken_link_brings_the_follower_back),
		pair_test(
			follower_of_an_outcome_may_be_accepted_without_a_link),
		pair_test(companions_come_back_and_follow_together),
	};

	return cmocka_run_group_tests_name("followers", tests, NULL, NULL);
}
