/* SPDX-License-Identifier: MIT */
/*
 * Gives that wait before they offer anything: until one entry is quiet, or, if
 * everything is to move or nothing, until all are.
 */
#include "peer/fixture.h"

#include "peer/report.h"

#include <errno.h>
#include <string.h>

static struct handoff__roster_entry *busy;

/* A whole give with one busy entry has begun, and has asked. */
static void
begin_whole(void)
{
	pair_fill(&one, &two, 5);
	busy = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy_one = busy;
	one.pair.config.whole = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_QUIET);
	assert_int_equal(one.given, 0);
	assert_int_equal(one.asked, 1);
	assert_int_equal(one.moved, 0);
	assert_true(one.paused);
	assert_true(one.pair.serving);
}

static void
everything_moves_when_the_last_is_quiet(void **state)
{
	struct handoff__roster_entry *other;

	(void)state;
	begin_whole();
	/* Another came in its way, and is asked then. */
	other = pair_enter(&one, HANDOFF__CONNECTION);
	one.busy_one = other;
	handoff__pair_quiet(&one.pair, busy);
	pair_run(&one, &two);
	assert_int_equal(one.asked, 2);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_QUIET);
	assert_int_equal(one.moved, 0);
	handoff__pair_quiet(&one.pair, other);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.moved, 7);
	assert_int_equal(one.report.listeners, 1);
	assert_int_equal(one.report.left, 0);
	assert_false(one.paused);
	assert_int_equal(one.resumed, 0);
	assert_true(two.pair.serving);
	pair_assert_one_owner(&one, &two);
}

static void
nothing_moves_if_one_is_busy_too_long(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	begin_whole();
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__HANDLER_BUSY);
	assert_int_equal(one.report.left, 1);
	assert_int_equal(one.report.refs[0].id, busy->id);
	assert_int_equal(one.moved, 0);
	assert_false(one.paused);
	assert_true(one.pair.serving);
	handoff__report_refusal(&one.pair, &one.report, text, sizeof(text));
	assert_non_null(strstr(text, "1 entry was not quiet within"));
	/* It returns later, and stays. */
	handoff__pair_quiet(&one.pair, busy);
	pair_run(&one, &two);
	assert_true(busy->mine);
	assert_false(busy->marks & HANDOFF__PARKED);
	pair_assert_one_owner(&one, &two);
}

/* One that was quiet in time is served again. */
static void
parked_entries_are_resumed(void **state)
{
	struct handoff__roster_entry *other;

	(void)state;
	pair_fill(&one, &two, 5);
	other = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	one.pair.config.whole = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.asked, 6);
	handoff__pair_quiet(&one.pair, other);
	pair_run(&one, &two);
	assert_true(other->marks & HANDOFF__PARKED);
	pair_expire(&one);
	assert_int_equal(one.report.left, 5);
	assert_int_equal(one.resumed, 1);
	assert_false(other->marks & HANDOFF__PARKED);
	pair_assert_one_owner(&one, &two);
}

static void
nothing_moves_if_one_has_no_copy(void **state)
{
	struct handoff__roster_entry *e;
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	pair_fill(&one, &two, 5);
	two.refuse_entered = -ENOMEM;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	assert_int_equal(handoff__pair_give_how(&one.pair, HANDOFF__MAINTENANCE,
				 &(struct handoff__give_how){.whole = true}),
		0);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__NO_MEMORY);
	assert_int_equal(one.report.left, 1);
	assert_int_equal(one.report.refs[0].id, e->id);
	assert_int_equal(one.moved, 0);
	handoff__report_refusal(&one.pair, &one.report, text, sizeof(text));
	assert_non_null(strstr(text, "cannot take 1 of the entries"));
	pair_assert_one_owner(&one, &two);
	/* Without the option the others move. */
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.moved, 5);
	assert_int_equal(one.report.left, 1);
}

static void
busy_one_that_ends_is_not_waited_for(void **state)
{
	(void)state;
	begin_whole();
	handoff__pair_end(&one.pair, busy);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved, 5);
	pair_assert_one_owner(&one, &two);
}

static void
link_that_breaks_ends_the_waiting(void **state)
{
	(void)state;
	begin_whole();
	side_close(&two);
	pair_run(&one, NULL);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__LEAVING);
	assert_false(one.paused);
	assert_true(one.pair.serving);
	assert_int_equal(one.pair.roster.connections, 6);
}

/* Without the option the first that is quiet is enough. */
static void
first_quiet_one_begins_the_move(void **state)
{
	struct handoff__roster_entry *e, *f;

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	f = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_QUIET);
	assert_int_equal(one.asked, 2);
	assert_false(one.paused);
	assert_true(one.pair.serving);
	handoff__pair_quiet(&one.pair, f);
	pair_run(&one, &two);
	assert_false(f->mine);
	assert_true(e->mine);
	assert_true(two.pair.serving);
	assert_int_equal(one.given, 0);
	assert_int_equal(one.asked, 2);
	handoff__pair_quiet(&one.pair, e);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.moved, 2);
	pair_assert_one_owner(&one, &two);
}

/* HOME takes no connections, and there is nothing else. */
static void
service_alone_comes_home(void **state)
{
	(void)state;
	pair_enter_many(&one, 2);
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), 0);
	pair_run(&one, &two);
	assert_true(one.pair.serving);
	assert_int_equal(two.pair.roster.connections, 2);
	pair_assert_one_owner(&one, &two);
}

static void
give_that_can_move_nothing_is_refused(void **state)
{
	(void)state;
	two.refuse_entered = -ENOMEM;
	pair_enter_many(&one, 3);
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__NO_MEMORY);
	assert_int_equal(one.report.left, 3);
	assert_true(one.pair.serving);
	assert_int_equal(one.roles, 0);
	two.refuse_entered = 0;
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.moved, 3);
	pair_assert_one_owner(&one, &two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(everything_moves_when_the_last_is_quiet),
		pair_test(nothing_moves_if_one_is_busy_too_long),
		pair_test(parked_entries_are_resumed),
		pair_test(nothing_moves_if_one_has_no_copy),
		pair_test(busy_one_that_ends_is_not_waited_for),
		pair_test(link_that_breaks_ends_the_waiting),
		pair_test(first_quiet_one_begins_the_move),
		pair_test(service_alone_comes_home),
		pair_test(give_that_can_move_nothing_is_refused),
	};

	return cmocka_run_group_tests_name("whole", tests, NULL, NULL);
}
