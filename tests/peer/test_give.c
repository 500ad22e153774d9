/* SPDX-License-Identifier: MIT */
/*
 * Moving ownership: all of it, some of it, there and back, while entries come
 * and go and handlers run. What keeps a give from beginning or entries from
 * moving is in test_give_refused.c, the offer itself in test_offers.c.
 */
#include "peer/fixture.h"

#include <errno.h>
#include <string.h>

static struct handoff__board *
board_of(struct side *side)
{
	return handoff__arena_board(&side->pair.arena);
}

/* An order that whichever of the two it reaches changes nothing. */
static void
assert_repeats(struct side *side, const char *name)
{
	char text[HANDOFF_TEXT_MAX];

	assert_int_equal(
		handoff__pair_repeats(&side->pair, name, text, sizeof(text)),
		1);
	assert_non_null(strstr(text, "nothing was changed"));
}

static void
everything_goes_and_comes_back(void **state)
{
	(void)state;
	support_need_descriptors(1200);
	pair_fill(&one, &two, 500);
	for (unsigned i = 1; i <= 3; i++) {
		pair_give(&one, &two, HANDOFF__MAINTENANCE);
		assert_int_equal(one.report.cause, HANDOFF__MAINTENANCE);
		assert_int_equal(one.report.moved, 500);
		assert_int_equal(one.report.listeners, 1);
		assert_int_equal(one.report.left, 0);
		assert_int_equal(one.pair.roster.owned, 0);
		assert_int_equal(two.pair.roster.connections, 500);
		assert_int_equal(two.pair.roster.uncovered, 0);
		assert_false(one.pair.serving);
		assert_true(two.pair.serving);
		assert_int_equal(board_of(&one)->owner, 2);
		assert_true(handoff__pair_away(&one.pair));
		assert_int_equal(handoff__pair_generation(&one.pair), 2 * i);
		assert_int_equal(one.role, HANDOFF__MAINTENANCE);
		assert_int_equal(two.role, HANDOFF__MAINTENANCE);
		pair_assert_one_owner(&one, &two);
		assert_repeats(&one, "");
		assert_repeats(&one, "one");
		assert_repeats(&two, "");
		assert_repeats(&two, "one");

		assert_int_equal(
			handoff__pair_take(&one.pair, HANDOFF__HOME_SILENT), 0);
		pair_run(&one, &two);
		assert_int_equal(one.given, 2 * i);
		assert_int_equal(two.given, 2 * i);
		assert_int_equal(one.report.reason, HANDOFF__OK);
		assert_int_equal(one.report.moved, 500);
		assert_true(one.pair.serving);
		assert_false(two.pair.serving);
		assert_false(handoff__pair_away(&one.pair));
		assert_int_equal(
			handoff__pair_generation(&one.pair), 2 * i + 1);
		assert_int_equal(one.role, HANDOFF__HOME_SILENT);
		assert_int_equal(one.roles, 2 * i);
		assert_int_equal(two.roles, 2 * i);
		pair_assert_one_owner(&one, &two);
	}
	assert_int_equal(one.pauses + two.pauses, 0);
}

/* What came meanwhile goes along; what ended meanwhile does not. */
static void
life_goes_on_between_two_gives(void **state)
{
	(void)state;
	pair_fill(&one, &two, 10);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	pair_enter_many(&two, 5);
	handoff__pair_end(
		&two.pair, handoff__roster_next(&two.pair.roster, NULL));
	pair_run(&one, &two);
	pair_give(&two, &one, HANDOFF__MAINTENANCE);
	assert_int_equal(two.report.moved, 15);
	assert_int_equal(
		two.report.listeners, 0); /* it was the one that ended */
	assert_int_equal(one.pair.roster.connections, 15);
	pair_assert_one_owner(&one, &two);
}

static void
empty_service_changes_hands(void **state)
{
	(void)state;
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_true(two.pair.serving);
	assert_int_equal(two.report.moved + two.report.left, 0);
}

static void
home_takes_all_but_connections(void **state)
{
	struct handoff__roster_entry *listener;

	(void)state;
	listener = pair_fill(&one, &two, 20);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), 0);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.moved, 0);
	assert_int_equal(one.report.listeners, 1);
	assert_true(one.pair.serving);
	assert_true(listener->mine);
	assert_int_equal(one.pair.roster.owned, 2);
	assert_int_equal(two.pair.roster.connections, 20);
	pair_assert_one_owner(&one, &two);
	assert_false(handoff__pair_away(&one.pair));
	/* The rest follows when it is asked to. */
	assert_int_equal(handoff__pair_give(&two.pair, HANDOFF__REST), 0);
	pair_run(&one, &two);
	assert_int_equal(two.report.moved, 20);
	assert_int_equal(one.pair.roster.connections, 20);
	assert_true(one.pair.serving);
	assert_int_equal(handoff__pair_generation(&one.pair), 3);
	assert_int_equal(one.roles, 2);
	pair_assert_one_owner(&one, &two);
}

/* Two owners at once, each of its own connections: a give of one takes what
 * is its own and no more. */
static void
only_what_is_owned_is_given(void **state)
{
	(void)state;
	pair_fill(&one, &two, 7);
	pair_enter_many(&two, 3);
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.moved, 7);
	assert_int_equal(two.pair.roster.connections, 10);
	pair_assert_one_owner(&one, &two);
}

/* Both want to move at the same moment. */
static void
give_and_take_at_once_do_not_mix(void **state)
{
	(void)state;
	pair_fill(&one, &two, 20);
	pair_begin(&one);
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__HOME_SILENT), 0);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.cause, HANDOFF__MAINTENANCE);
	assert_true(two.given >= 1);
	assert_true(two.pair.serving);
	assert_true(handoff__pair_away(&two.pair));
	pair_assert_one_owner(&one, &two);
	assert_false(handoff__pair_moving(&one.pair));
	assert_false(handoff__pair_moving(&two.pair));
	/* And both can move again. */
	pair_give(&two, &one, HANDOFF__MAINTENANCE);
	pair_assert_one_owner(&one, &two);
}

/* While the standby is behind, entries come: the last round trip is made with
 * no new ones, so that none is left behind. */
static void
new_entries_are_paused_for_the_last_round_trip(void **state)
{
	(void)state;
	pair_enter_many(&one, 3);
	pair_begin(&one);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_COVER);
	pair_enter_many(&one, 2);
	pair_run(NULL, &two);
	assert_int_equal(one.pauses, 0);
	pair_turn(&one);
	assert_true(one.paused);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_CLOSE);
	pair_run(&one, &two);
	assert_false(one.paused);
	assert_int_equal(one.report.moved, 5);
	assert_int_equal(one.report.left, 0);
	pair_assert_one_owner(&one, &two);
}

/* Entries whose handlers run follow one by one when those return. */
static void
busy_entries_follow_when_they_are_quiet(void **state)
{
	struct handoff__roster_entry *e = NULL, *busy[3];
	unsigned n = 0;

	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, 3);
	pair_run(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.given, 0);
	assert_true(two.pair.serving);
	assert_int_equal(one.pair.roster.connections, 3);
	while ((e = handoff__roster_next(&one.pair.roster, e)))
		if (e->mine)
			busy[n++] = e;
	assert_int_equal(n, 3);
	for (n = 0; n < 3; n++) {
		assert_true(busy[n]->leaving);
		assert_int_equal(one.given, 0);
		handoff__pair_quiet(&one.pair, busy[n]);
		pair_run(&one, &two);
		assert_int_equal(two.pair.roster.connections, n + 1);
	}
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved, 3);
	assert_int_equal(one.report.left, 0);
	assert_int_equal(one.roles, 1);
	pair_assert_one_owner(&one, &two);
	/* Quiet once more is nothing. */
	handoff__pair_quiet(&one.pair, busy[0]);
	pair_assert_one_owner(&one, &two);
}

static void
busy_past_the_deadline_is_left_and_follows(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.left, 1);
	assert_int_equal(one.report.refs[0].id, e->id);
	assert_int_equal(one.report.refs[0].arg, HANDOFF__HANDLER_BUSY);
	assert_true(e->mine);
	pair_run(&one, &two);
	handoff__pair_quiet(&one.pair, e);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 1);
	assert_int_equal(one.given, 1);
	pair_assert_one_owner(&one, &two);
}

/* It was to follow, and then all came back before its handler returned. */
static void
busy_entry_stays_if_service_has_come_back(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, 2);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	pair_expire(&one);
	one.busy = false;
	pair_run(&one, &two);
	assert_int_equal(
		handoff__pair_take(&one.pair, HANDOFF__HOME_SILENT), 0);
	pair_run(&one, &two);
	handoff__pair_quiet(&one.pair, e);
	pair_run(&one, &two);
	assert_true(e->mine);
	pair_assert_one_owner(&one, &two);
}

static void
busy_entry_that_ends_is_not_waited_for(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.given, 0);
	handoff__pair_end(&one.pair, e);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved + one.report.left, 0);
	assert_int_equal(one.report.listeners, 1);
	assert_int_equal(two.pair.roster.held, 0);
}

static void
uncovered_entry_that_ends_is_not_waited_for(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	pair_enter_many(&one, 2);
	pair_run(&one, &two);
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_begin(&one);
	assert_true(e->barrier);
	handoff__pair_end(&one.pair, e);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved, 2);
	assert_int_equal(two.pair.roster.connections, 2);
	pair_assert_one_owner(&one, &two);
}

/* Nobody serves: that a peer is out of service already is no repetition. */
static void
nothing_is_repeated_where_nobody_serves(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	assert_int_equal(side_open(&one, NULL), 0);
	handoff__pair_started(&one.pair);
	assert_int_equal(
		handoff__pair_repeats(&one.pair, "", text, sizeof(text)), 0);
	assert_int_equal(
		handoff__pair_repeats(&one.pair, "one", text, sizeof(text)), 0);
}

static void
assert_stays(struct side *side, const char *words)
{
	char text[HANDOFF_TEXT_MAX] = "";

	assert_int_equal(
		handoff__pair_stay(&side->pair, text, sizeof(text)), 0);
	assert_non_null(strstr(text, words));
}

/* A maintenance is over where it has come to, and the next one moves all. */
static void
service_stays_where_it_is(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	pair_fill(&one, &two, 3);
	assert_stays(&one, "at home with one already");
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_true(handoff__pair_away(&one.pair));
	assert_int_equal(
		handoff__pair_stay(&one.pair, text, sizeof(text)), -EPERM);
	assert_true(handoff__pair_away(&two.pair));
	assert_stays(&two, "at home with two: the maintenance is over");
	assert_false(handoff__pair_away(&one.pair));
	assert_false(handoff__pair_away(&two.pair));
	assert_stays(&two, "already: nothing was changed");
	assert_int_equal(two.pair.roster.connections, 3);
	assert_true(handoff__pair_is_home(&one.pair, true, text, sizeof(text)));
	pair_give(&two, &one, HANDOFF__MAINTENANCE);
	assert_true(handoff__pair_away(&one.pair));
	assert_int_equal(one.pair.roster.connections, 3);
}

static void
nothing_stays_where_nobody_serves(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	assert_int_equal(side_open(&one, NULL), 0);
	handoff__pair_started(&one.pair);
	assert_int_equal(
		handoff__pair_stay(&one.pair, text, sizeof(text)), -EPERM);
	assert_non_null(strstr(one.pair.error.text, "does not serve"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(everything_goes_and_comes_back),
		side_test(nothing_is_repeated_where_nobody_serves),
		pair_test(service_stays_where_it_is),
		side_test(nothing_stays_where_nobody_serves),
		pair_test(life_goes_on_between_two_gives),
		pair_test(empty_service_changes_hands),
		pair_test(home_takes_all_but_connections),
		pair_test(only_what_is_owned_is_given),
		pair_test(give_and_take_at_once_do_not_mix),
		pair_test(new_entries_are_paused_for_the_last_round_trip),
		pair_test(busy_entries_follow_when_they_are_quiet),
		pair_test(busy_past_the_deadline_is_left_and_follows),
		pair_test(busy_entry_stays_if_service_has_come_back),
		pair_test(busy_entry_that_ends_is_not_waited_for),
		pair_test(uncovered_entry_that_ends_is_not_waited_for),
	};

	return cmocka_run_group_tests_name("give", tests, NULL, NULL);
}
