/* SPDX-License-Identifier: MIT */
/*
 * A peer that is not ready to serve yet: gives to it wait, for as long as they
 * were told, and its survivor's part it plays all the same.
 */
#include "peer/survivor.h"

#include "peer/report.h"

#include <string.h>

static void
give_goes_on_when_the_standby_is_ready(void **state)
{
	(void)state;
	pair_fill(&one, &two, 3);
	handoff__pair_loading(&two.pair, "loads its data\n40 %");
	pair_run(&one, &two);
	assert_string_equal(one.pair.other_loading, "loads its data 40 %");
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_LOAD);
	assert_int_equal(one.given, 0);
	assert_true(one.pair.serving);
	assert_false(one.paused);
	/* New entries come and go meanwhile. */
	pair_enter_many(&one, 1);
	handoff__pair_loading(&two.pair, "");
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.moved, 4);
	assert_true(two.pair.serving);
	pair_assert_one_owner(&one, &two);
}

static void
give_to_one_that_is_never_ready_is_refused(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	pair_fill(&one, &two, 3);
	handoff__pair_loading(&two.pair, "loads its data");
	pair_run(&one, &two);
	assert_int_equal(handoff__pair_give_how(&one.pair, HANDOFF__MAINTENANCE,
				 &(struct handoff__give_how){.wait_ms = 20}),
		0);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__UNREADY);
	assert_int_equal(one.report.moved + one.report.left, 0);
	assert_true(one.pair.serving);
	assert_int_equal(one.moved, 0);
	handoff__report_refusal(&one.pair, &one.report, text, sizeof(text));
	assert_non_null(strstr(text, "not ready: two (pid "));
	assert_non_null(strstr(text, "loads its data: nothing was moved"));
	/* And taking is refused as well. */
	two.pair.config.give_timeout_ms = one.pair.config.give_timeout_ms = 20;
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__HOME_SILENT), 0);
	pair_run(&one, &two);
	pair_wait(&one, &one.given, 2);
	pair_run(&one, &two);
	assert_int_equal(two.report.reason, HANDOFF__UNREADY);
	handoff__report_refusal(&two.pair, &two.report, text, sizeof(text));
	assert_non_null(
		strstr(text, "which is to give, is not ready to serve yet"));
	pair_assert_one_owner(&one, &two);
}

/* What belongs to a service that is there already is not held back. */
static void
what_follows_does_not_wait(void **state)
{
	(void)state;
	pair_fill(&one, &two, 2);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	pair_enter_many(&one, 1);
	handoff__pair_loading(&two.pair, "loads");
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__REST);
	assert_int_equal(one.report.moved, 1);
	pair_assert_one_owner(&one, &two);
}

/* A change is sent at once, another sentence with the next beat. */
static void
sentences_are_sent_with_beats(void **state)
{
	(void)state;
	handoff__pair_loading(&two.pair, "1 %");
	handoff__pair_loading(&two.pair, "2 %");
	pair_run(&one, &two);
	assert_string_equal(one.pair.other_loading, "1 %");
	two.pair.pulse.due = true;
	pair_turn(&two);
	pair_run(&one, &two);
	assert_string_equal(one.pair.other_loading, "2 %");
	handoff__pair_loading(&two.pair, NULL);
	pair_run(&one, &two);
	assert_string_equal(one.pair.other_loading, "");
}

/* It says so before it can be given anything. */
static void
it_is_said_before_ready(void **state)
{
	(void)state;
	pair_own(&one);
	assert_int_equal(side_open(&two, &one), 0);
	handoff__pair_loading(&two.pair, "loads");
	handoff__pair_started(&two.pair);
	pair_run(&one, &two);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_READY);
	assert_string_equal(one.pair.other_loading, "loads");
	/* The next standby is another one. */
	side_close(&two);
	pair_run(&one, NULL);
	assert_string_equal(one.pair.other_loading, "");
}

/* An older peer would end the link. */
static void
older_peer_is_not_told(void **state)
{
	(void)state;
	two.pair.other.version_max = HANDOFF__PROTOCOL_LOADING - 1;
	handoff__pair_loading(&two.pair, "loads");
	pair_run(&one, &two);
	assert_string_equal(one.pair.other_loading, "");
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_READY);
	assert_int_equal(one.aparts, 0);
}

/* Its standby leaves, or it stops itself: nobody waits any longer. */
static void
waiting_ends_with_either_peer(void **state)
{
	(void)state;
	pair_fill(&one, &two, 2);
	handoff__pair_loading(&two.pair, "loads");
	pair_run(&one, &two);
	assert_int_equal(
		handoff__pair_give_how(&one.pair, HANDOFF__MAINTENANCE,
			&(struct handoff__give_how){.wait_ms = 3600000}),
		0);
	one.pair.config.give_timeout_ms = 20;
	handoff__pair_leave(&one.pair);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.report.reason, HANDOFF__UNREADY);
	one.pair.leaving = false;
	one.pair.config.give_timeout_ms = 5000;
	pair_begin(&one);
	handoff__pair_leave(&two.pair);
	pair_run(&one, &two);
	assert_int_equal(one.given, 2);
	assert_int_equal(one.report.reason, HANDOFF__LEAVING);
	pair_assert_one_owner(&one, &two);
}

/* Nobody else can serve. */
static void
survivor_serves_all_the_same(void **state)
{
	char text[HANDOFF_TEXT_MAX];

	(void)state;
	survivor_open(3);
	survivor_give();
	handoff__pair_loading(&one.pair, "loads its data");
	survivor_inherit();
	assert_true(one.pair.serving);
	assert_int_equal(one.failovers, 1);
	assert_string_equal(handoff__pair_loading_text(&one.pair, text),
		"; it is not ready to serve yet: loads its data");
	handoff__pair_loading(&one.pair, NULL);
	assert_string_equal(handoff__pair_loading_text(&one.pair, text), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(give_goes_on_when_the_standby_is_ready),
		pair_test(give_to_one_that_is_never_ready_is_refused),
		pair_test(what_follows_does_not_wait),
		pair_test(sentences_are_sent_with_beats),
		side_test(it_is_said_before_ready),
		pair_test(older_peer_is_not_told),
		pair_test(waiting_ends_with_either_peer),
		side_test(survivor_serves_all_the_same),
	};

	return cmocka_run_group_tests_name("loading", tests, NULL, NULL);
}
