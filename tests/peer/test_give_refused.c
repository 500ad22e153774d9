/* SPDX-License-Identifier: MIT */
/*
 * What keeps a give or a take from beginning, and which entries stay where they
 * are because the other peer has no copy of them or does not answer.
 */
#include "peer/fixture.h"

#include <errno.h>
#include <string.h>

#define SOON_MS 30

static void
what_cannot_begin_says_why(void **state)
{
	(void)state;
	pair_own(&one);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_non_null(strstr(
		one.pair.error.text, "no standby is attached: start one"));
	assert_int_equal(
		handoff__pair_take(&one.pair, HANDOFF__HOME), -ENOTCONN);
	assert_int_equal(side_open(&two, &one), 0);
	/* Greeted, but it has not said that it can serve. */
	pair_run(&one, &two);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	handoff__pair_started(&two.pair);
	pair_run(&one, &two);
	assert_int_equal(
		handoff__pair_give(&two.pair, HANDOFF__MAINTENANCE), -EPERM);
	assert_non_null(
		strstr(two.pair.error.text, "this peer does not serve"));
	pair_begin(&one);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -EBUSY);
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), -EBUSY);
	assert_non_null(strstr(one.pair.error.text, "is under way"));
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__OK);
}

static void
take_from_one_that_does_not_serve_is_refused(void **state)
{
	(void)state;
	pair_fill(&one, &two, 2);
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), 0);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__NOT_OWNER);
	assert_int_equal(two.given, 0);
	assert_true(one.pair.serving);
	pair_assert_one_owner(&one, &two);
}

static void
take_for_no_known_cause_is_refused(void **state)
{
	struct handoff__msg msg = {
		.type = HANDOFF__TAKE, .cause = HANDOFF__MAINTENANCE};

	(void)state;
	pair_fill(&one, &two, 2);
	assert_int_equal(handoff__link_try(&two.pair.link, &msg, NULL, 0), 1);
	msg.cause = 99;
	assert_int_equal(handoff__link_try(&two.pair.link, &msg, NULL, 0), 1);
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.connections, 2);
	assert_int_equal(one.given, 0);
}

/* What comes in spite of the pause is waited for, but not for ever. The last
 * stays: nothing moves that the other has no copy of. */
static void
entry_without_a_copy_stays(void **state)
{
	struct handoff__roster_entry *e = NULL;
	unsigned rounds = 0;

	(void)state;
	pair_enter_many(&one, 3);
	pair_begin(&one);
	pair_enter_many(&one, 1);
	pair_run(NULL, &two);
	pair_turn(&one);
	assert_true(one.paused);
	while (one.pair.give.step == HANDOFF__GIVE_CLOSE) {
		handoff__pair_proceed(&one.pair);
		e = pair_enter(&one, HANDOFF__CONNECTION);
		pair_run(NULL, &two);
		pair_turn(&one);
		assert_in_range(++rounds, 1, 10);
	}
	assert_int_equal(one.pauses, 1);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_DRAIN);
	pair_run(&one, &two);
	assert_in_range(rounds, 2, 10);
	assert_int_equal(one.report.moved, 4 + rounds - 1);
	assert_int_equal(one.report.left, 1);
	assert_int_equal(one.report.refs[0].id, e->id);
	assert_int_equal(one.report.refs[0].arg, HANDOFF__UNANSWERED);
	assert_true(e->mine);
	pair_assert_one_owner(&one, &two);
}

static const struct handoff__ref *
left(const struct side *side, uint64_t id)
{
	for (uint32_t i = 0; i < side->report.nrefs; i++) {
		if (side->report.refs[i].id == id)
			return &side->report.refs[i];
	}
	return NULL;
}

static void
what_the_standby_refuses_is_left_by_name(void **state)
{
	(void)state;
	support_not_in_valgrind();
	pair_enter_many(&one, 200);
	support_limit_descriptors(80);
	pair_run(&one, &two);
	/* It is asked once more, and still has no room. */
	pair_begin(&one);
	pair_run(&one, &two);
	support_unlimit_descriptors();
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_in_range(one.report.left, 120, 199);
	assert_int_equal(one.report.moved + one.report.left, 200);
	assert_int_equal(one.report.nrefs, one.report.left);
	assert_true(two.pair.serving);
	assert_int_equal(one.pair.roster.connections, one.report.left);
	for (struct handoff__roster_entry *e = NULL;
		(e = handoff__roster_next(&one.pair.roster, e));) {
		const struct handoff__ref *ref = left(&one, e->id);

		assert_int_equal(ref != NULL, e->mine);
		if (ref)
			assert_int_equal(ref->arg, HANDOFF__TABLE_FULL);
	}
	/* It still owns them, and they can follow later. */
	assert_int_equal(handoff__pair_give(&one.pair, HANDOFF__REST), 0);
	pair_run(&one, &two);
	assert_int_equal(one.report.left, 0);
	assert_int_equal(two.pair.roster.connections, 200);
	pair_assert_one_owner(&one, &two);
}

static void
more_are_left_than_are_named(void **state)
{
	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	pair_run(&one, &two);
	two.refuse_entered = -ENOMEM;
	pair_enter_many(&one, HANDOFF_FDPASS_MAX + 50);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.left, HANDOFF_FDPASS_MAX + 50);
	assert_int_equal(one.report.nrefs, HANDOFF_FDPASS_MAX);
	/* Asked by the other, the report crosses the link. */
	assert_int_equal(two.given, 1);
	assert_int_equal(two.report.left, HANDOFF_FDPASS_MAX + 50);
	assert_int_equal(two.report.nrefs, HANDOFF_FDPASS_MAX);
	assert_int_equal(two.report.refs[5].arg, HANDOFF__NO_MEMORY);
}

/* A standby that has stopped is no place to move to. */
static void
nothing_moves_to_one_that_does_not_answer(void **state)
{
	(void)state;
	pair_fill(&one, &two, 5);
	one.pair.config.give_timeout_ms = SOON_MS;
	/* All is covered, and all the same it must answer. */
	pair_begin(&one);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__UNANSWERED);
	assert_int_equal(one.report.moved, 0);
	assert_true(one.pair.serving);
	assert_int_equal(one.pair.roster.connections, 5);
	assert_int_equal(handoff__pair_generation(&one.pair), 1);
	assert_int_equal(one.roles, 0);
	/* It wakes up: the late answer starts nothing. */
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(two.moved, 0);
	pair_assert_one_owner(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.moved, 5);
}

static void
what_was_never_answered_is_counted(void **state)
{
	(void)state;
	pair_fill(&one, &two, 5);
	pair_enter_many(&one, 3);
	one.pair.config.give_timeout_ms = SOON_MS;
	pair_begin(&one);
	pair_enter_many(&one, 1);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__UNANSWERED);
	assert_int_equal(one.report.left, 4);
	assert_int_equal(one.report.moved, 0);
	pair_run(&one, &two);
	pair_assert_one_owner(&one, &two);
	assert_int_equal(one.pair.roster.uncovered, 0);
}

static void
deadline_during_the_last_round_trip_unpauses(void **state)
{
	(void)state;
	pair_enter_many(&one, 3);
	pair_begin(&one);
	pair_enter_many(&one, 2);
	pair_run(NULL, &two);
	pair_turn(&one);
	assert_true(one.paused);
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__UNANSWERED);
	assert_false(one.paused);
	pair_run(&one, &two);
	pair_assert_one_owner(&one, &two);
}

/* A give after which both sides would accept, or none. */
static void
give_that_can_move_no_listener_is_refused(void **state)
{
	struct handoff__roster_entry *listener;

	(void)state;
	two.refuse_entered = -ENOMEM;
	listener = pair_enter(&one, HANDOFF__LISTENER);
	pair_run(&one, &two);
	two.refuse_entered = 0;
	pair_enter_many(&one, 3);
	pair_run(&one, &two);
	assert_int_equal(listener->copy, HANDOFF__COPY_REFUSED);
	two.refuse_entered = -ENOMEM;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__NO_MEMORY);
	assert_int_equal(one.report.moved, 0);
	assert_true(one.pair.serving);
	assert_false(two.pair.serving);
	assert_int_equal(one.pair.roster.connections, 3);
}

/* The other is about to stop: nothing moves there, also if it was asked. */
static void
nothing_is_given_to_a_peer_that_stops(void **state)
{
	(void)state;
	pair_fill(&one, &two, 2);
	pair_begin(&one);
	handoff__pair_leave(&two.pair);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__LEAVING);
	assert_true(one.pair.serving);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_non_null(strstr(one.pair.error.text, "is stopping"));
}

/* References that mean nothing here. */
static void
strange_move_moves_nothing(void **state)
{
	struct handoff__msg msg = {
		.type = HANDOFF__MOVE, .cause = HANDOFF__REST, .nrefs = 3};
	struct handoff__roster_entry *e;

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	/* Not in the name of the one that it is sent to. */
	msg.refs[0] = (struct handoff__ref){
		.id = e->id, .segment = e->segment, .slot = e->slot};
	msg.refs[1] = (struct handoff__ref){.id = 1234, .slot = e->slot};
	msg.refs[2] = (struct handoff__ref){.id = 1, .segment = UINT32_MAX};
	assert_int_equal(handoff__link_try(&one.pair.link, &msg, NULL, 0), 1);
	pair_run(&one, &two);
	assert_int_equal(two.moved, 0);
	pair_assert_one_owner(&one, &two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(what_cannot_begin_says_why),
		pair_test(take_from_one_that_does_not_serve_is_refused),
		pair_test(take_for_no_known_cause_is_refused),
		pair_test(entry_without_a_copy_stays),
		pair_test(what_the_standby_refuses_is_left_by_name),
		pair_test(more_are_left_than_are_named),
		pair_test(nothing_moves_to_one_that_does_not_answer),
		pair_test(what_was_never_answered_is_counted),
		pair_test(deadline_during_the_last_round_trip_unpauses),
		pair_test(give_that_can_move_no_listener_is_refused),
		pair_test(nothing_is_given_to_a_peer_that_stops),
		pair_test(strange_move_moves_nothing),
	};

	return cmocka_run_group_tests_name("give_refused", tests, NULL, NULL);
}
