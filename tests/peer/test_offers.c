/* SPDX-License-Identifier: MIT */
/*
 * The offer of a give: taken, not taken, taken with the answer or the doorbell
 * lost; and gives and takes whose link ends or which get no answer.
 */
#include "peer/fixture.h"

#include "peer/reconcile.h"

#define SOON_MS 30

/* It had answered, and stops before it takes what it is offered: that comes
 * back, and when it runs again it takes nothing. */
static void
offer_that_is_not_taken_comes_back(void **state)
{
	(void)state;
	pair_fill(&one, &two, 5);
	pair_offer(&one, &two);
	assert_false(one.pair.serving);
	assert_int_equal(one.roles, 0);
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__UNTAKEN);
	assert_int_equal(one.report.left_by[HANDOFF__UNTAKEN], one.report.left);
	assert_true(one.report.left > 0);
	assert_int_equal(one.report.moved, 0);
	assert_int_equal(one.roles, 0);
	assert_true(one.pair.serving);
	assert_int_equal(one.pair.roster.connections, 5);
	assert_false(handoff__pair_away(&one.pair));
	pair_run(&one, &two);
	assert_int_equal(two.moved, 0);
	assert_false(two.pair.serving);
	pair_assert_one_owner(&one, &two);
	assert_false(handoff__pair_moving(&two.pair));
	/* The next one is as good as any. */
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_true(two.pair.serving);
	pair_assert_one_owner(&one, &two);
}

/* The other has taken it all, and its answer comes too late. */
static void
offer_that_was_taken_is_not_taken_back(void **state)
{
	(void)state;
	pair_fill(&one, &two, 5);
	pair_begin(&one);
	pair_run(NULL, &two);
	pair_turn(&one);
	pair_turn(&two);
	assert_true(two.pair.serving);
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	assert_false(one.pair.serving);
	assert_int_equal(one.roles, 1);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__OK);
	assert_int_equal(one.report.moved, 5);
	assert_int_equal(one.roles, 1);
	pair_assert_one_owner(&one, &two);
}

/* The bell is lost with the link, on the taker's side. */
static void
offer_whose_bell_was_lost_is_served_by_one(void **state)
{
	struct handoff__board *board;

	(void)state;
	pair_fill(&one, &two, 5);
	board = handoff__arena_board(&one.pair.arena);
	pair_begin(&one);
	pair_run(NULL, &two);
	pair_turn(&one);
	assert_int_equal(
		handoff__owner_word(&board->owner), 2 | HANDOFF__OFFERED);
	/* What b reads of it is nothing. */
	handoff__link_close(&two.pair.link);
	two.pair.partner = HANDOFF__PARTNER_APART;
	handoff__reconcile(&two.pair);
	assert_true(two.pair.serving);
	assert_int_equal(two.pair.roster.connections, 5);
	pair_turn(&one);
	assert_int_equal(one.pair.link.fd, -1);
	assert_false(one.pair.serving);
	assert_int_equal(one.report.moved, 5);
	pair_assert_one_owner(&one, &two);
}

/* An answer to an offer that was taken back is none to the next. */
static void
late_ready_is_no_answer_to_another_offer(void **state)
{
	struct handoff__msg ready = {.type = HANDOFF__READY, .offer_us = 1};

	(void)state;
	pair_fill(&one, &two, 2);
	pair_begin(&one);
	pair_run(NULL, &two);
	assert_int_equal(handoff__link_try(&two.pair.link, &ready, NULL, 0), 1);
	pair_turn(&one);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_DRAIN);
	assert_false(one.pair.give.ready);
	pair_run(&one, &two);
	assert_int_equal(one.report.moved, 2);
}

/* The other leaves at each step: the give ends, and nobody waits for ever. */
static void
broken_link_ends_a_give(void **state)
{
	const char *dir = support_dir();

	(void)state;
	for (int step = 0; step < 3; step++) {
		struct side a, b;
		enum handoff__give_step expected =
			step == 0   ? HANDOFF__GIVE_COVER
			: step == 1 ? HANDOFF__GIVE_CLOSE
				    : HANDOFF__GIVE_DRAIN;

		pair_open_in(dir, &a, &b);
		pair_fill(&a, &b, 4);
		pair_enter_many(&a, 1);
		a.busy = true;
		assert_int_equal(
			handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
		if (step == 1)
			pair_enter_many(&a, 1);
		if (step > 0) {
			pair_run(NULL, &b);
			pair_turn(&a);
		}
		assert_int_equal(a.pair.give.step, expected);
		side_close(&b);
		pair_run(&a, NULL);
		assert_int_equal(a.given, 1);
		assert_int_equal(a.report.reason, HANDOFF__LEAVING);
		assert_false(a.paused);
		assert_false(handoff__pair_moving(&a.pair));
		for (struct handoff__roster_entry *e = NULL;
			(e = handoff__roster_next(&a.pair.roster, e));)
			assert_false(e->leaving || e->barrier);
		side_close(&a);
	}
}

static void
broken_link_ends_a_take(void **state)
{
	(void)state;
	pair_fill(&one, &two, 4);
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__HOME_SILENT), 0);
	side_close(&one);
	pair_run(NULL, &two);
	assert_int_equal(two.given, 1);
	assert_int_equal(two.report.reason, HANDOFF__LEAVING);
	assert_false(handoff__pair_moving(&two.pair));
}

static void
take_that_is_not_answered_ends(void **state)
{
	(void)state;
	pair_fill(&one, &two, 4);
	two.pair.config.give_timeout_ms = SOON_MS;
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__HOME_SILENT), 0);
	pair_wait(&two, &two.given, 1);
	assert_int_equal(two.report.reason, HANDOFF__UNANSWERED);
	assert_false(handoff__pair_moving(&two.pair));
	/* It answers after all: what it moves is served here. */
	pair_run(&one, &two);
	assert_true(two.pair.serving);
	assert_int_equal(two.pair.roster.connections, 4);
	pair_assert_one_owner(&one, &two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(offer_that_is_not_taken_comes_back),
		pair_test(offer_that_was_taken_is_not_taken_back),
		pair_test(offer_whose_bell_was_lost_is_served_by_one),
		pair_test(late_ready_is_no_answer_to_another_offer),
		handoff_test(broken_link_ends_a_give),
		pair_test(broken_link_ends_a_take),
		pair_test(take_that_is_not_answered_ends),
	};

	return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}
