/* SPDX-License-Identifier: MIT */
/*
 * Deaths in a handler: counted, suspected, the connection ended the second
 * time, and the count moved by a give.
 */
#include "peer/survivor.h"

#include "record/handling.h"

/* A connection that was in its handler is suspected, and stays. */
static void
death_in_the_handler_is_counted(void **state)
{
	struct handoff__roster_entry *inside, *before;

	(void)state;
	survivor_open(4);
	survivor_give();
	inside = survivor_connection(1);
	before = survivor_connection(2);
	handoff__handler_enter(inside->view.rec);
	/* It was suspected already, and had not had its turn. */
	handoff__handler_enter(before->view.rec);
	assert_true(handoff__handler_died(before->view.rec));
	assert_int_equal(handoff__pair_suspects(&one.pair), 0);
	survivor_inherit();
	assert_int_equal(one.pair.survival.in_handler, 1);
	assert_int_equal(one.pair.survival.closed, 0);
	assert_int_equal(one.discarded, 0);
	assert_int_equal(one.pair.tally.handler_deaths, 1);
	assert_int_equal(handoff__handler_deaths(inside->view.rec), 1);
	assert_int_equal(handoff__handler_deaths(before->view.rec), 1);
	assert_true(handoff__entry_suspected(inside));
	assert_true(handoff__entry_suspected(before));
	assert_false(handoff__entry_poisoned(inside));
	assert_int_equal(handoff__pair_suspects(&one.pair), 2);
	handoff__handler_enter(inside->view.rec);
	handoff__handler_leave(inside->view.rec);
	assert_int_equal(handoff__pair_suspects(&one.pair), 1);
}

/* The second time ends it, also if the one that has counted it had no time
 * left to do so. */
static void
second_death_in_the_handler_ends_one_connection(void **state)
{
	struct handoff__roster_entry *twice, *counted;

	(void)state;
	survivor_open(4);
	survivor_give();
	twice = survivor_connection(1);
	counted = survivor_connection(2);
	handoff__handler_enter(twice->view.rec);
	assert_true(handoff__handler_died(twice->view.rec));
	handoff__handler_enter(twice->view.rec);
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(counted->view.rec);
		assert_true(handoff__handler_died(counted->view.rec));
	}
	survivor_inherit();
	assert_int_equal(one.pair.survival.in_handler, 1);
	assert_int_equal(one.pair.survival.closed, 2);
	assert_int_equal(one.discarded, 2);
	assert_int_equal(twice->id, 0);
	assert_int_equal(counted->id, 0);
	assert_int_equal(one.pair.roster.connections, 2);
	assert_true(one.pair.serving);
}

/* What has no client is worth more than a handler that fails. */
static void
listener_is_never_ended_for_a_death(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	survivor_open(0);
	survivor_give();
	e = handoff__roster_next(&one.pair.roster, NULL);
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(e->view.rec);
		assert_true(handoff__handler_died(e->view.rec));
	}
	handoff__handler_enter(e->view.rec);
	survivor_inherit();
	assert_int_equal(one.discarded, 0);
	assert_true(e->mine);
	assert_int_equal(handoff__handler_deaths(e->view.rec), 3);
	assert_int_equal(handoff__pair_suspects(&one.pair), 0);
}

/* A give takes the suspicion along. */
static void
suspicion_moves_with_a_give(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	handoff__handler_enter(e->view.rec);
	assert_true(handoff__handler_died(e->view.rec));
	assert_true(handoff__entry_suspected(e));
	pair_begin(&one);
	pair_run(&one, &two);
	assert_false(handoff__entry_suspected(e));
	assert_true(handoff__entry_suspected(pair_find(&two, e)));
	assert_int_equal(handoff__pair_suspects(&two.pair), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(death_in_the_handler_is_counted),
		side_test(second_death_in_the_handler_ends_one_connection),
		side_test(listener_is_never_ended_for_a_death),
		pair_test(suspicion_moves_with_a_give),
	};

	return cmocka_run_group_tests_name("blame", tests, NULL, NULL);
}
