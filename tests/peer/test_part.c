/* SPDX-License-Identifier: MIT */
/*
 * How peers part and meet again: a peer that says BYE, one that dies, a link
 * that ends while both live, and how it is renewed.
 */
#include "peer/fixture.h"

#include <errno.h>

/* It touches nothing any more: what it owned is taken at once, though its
 * process lives. */
static void
what_a_peer_leaves_is_taken_when_it_says_bye(void **state)
{
	struct handoff__roster_entry *mine, *its, *ended;

	(void)state;
	mine = pair_enter(&one, HANDOFF__CONNECTION);
	ended = pair_enter(&one, HANDOFF__CONNECTION);
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	its = pair_find(&one, its);
	handoff__pair_end(&one.pair, ended);
	assert_int_not_equal(ended->id, 0);
	side_close(&two);
	pair_turn(&one);
	assert_int_equal(ended->id, 0); /* no DROP is to be sent */
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_NONE);
	assert_int_equal(one.pair.link.fd, -1);
	assert_int_equal(mine->copy, HANDOFF__COPY_NONE);
	assert_true(its->mine);
	assert_int_equal(its->view.rec->owner, 1);
	assert_int_equal(one.pair.roster.uncovered, 2);
	assert_int_equal(one.failovers, 1);
}

/* The link ends and its process lives on: what it owns is not touched, and
 * what it was sent counts as lost. */
static void
end_of_the_link_is_no_end_of_a_peer(void **state)
{
	struct handoff__roster_entry *mine, *its;

	(void)state;
	mine = pair_enter(&one, HANDOFF__CONNECTION);
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	its = pair_find(&one, its);
	handoff__link_close(&two.pair.link);
	pair_turn(&one);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(one.pair.link.fd, -1);
	assert_int_equal(mine->copy, HANDOFF__COPY_NONE);
	assert_int_equal(one.pair.roster.uncovered, 1);
	assert_false(its->mine);
	assert_int_equal(its->view.rec->owner, 2);
	assert_int_equal(one.failovers, 0);
	/* Entries come and go without anyone to be told. */
	handoff__pair_end(&one.pair, mine);
	pair_enter(&one, HANDOFF__CONNECTION);
	pair_turn(&one);
	assert_int_equal(one.pair.roster.owned, 1);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
}

/* Both dispatched until they are linked again. */
static void
run_until_linked(struct side *a, struct side *b)
{
	int64_t end = handoff__now_us() + 5000000;

	while (a->pair.partner != HANDOFF__PARTNER_READY ||
		b->pair.partner != HANDOFF__PARTNER_READY) {
		assert_true(handoff__now_us() < end);
		handoff__loop_dispatch(&a->loop, 5);
		handoff__pair_proceed(&a->pair);
		handoff__loop_dispatch(&b->loop, 5);
		handoff__pair_proceed(&b->pair);
	}
	pair_run(a, b);
}

/* It is made anew, whatever came and went meanwhile on either side. */
static void
broken_link_is_made_anew(void **state)
{
	struct handoff__roster_entry *kept, *gone, *other, *its;

	(void)state;
	kept = pair_enter(&one, HANDOFF__CONNECTION);
	gone = pair_enter(&one, HANDOFF__CONNECTION);
	its = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	handoff__core_break(&one.pair, "of the test");
	handoff__pair_proceed(&one.pair);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_APART);
	handoff__pair_end(&one.pair, gone);
	other = pair_enter(&one, HANDOFF__CONNECTION);
	run_until_linked(&one, &two);
	assert_int_equal(one.aparts, 1);
	assert_int_equal(one.partners, 2);
	assert_int_equal(two.partners, 2);
	assert_int_equal(one.failovers + two.failovers, 0);
	assert_int_equal(kept->copy, HANDOFF__COPY_HELD);
	assert_int_equal(other->copy, HANDOFF__COPY_HELD);
	assert_non_null(pair_find(&two, kept));
	assert_non_null(pair_find(&two, other));
	assert_true(pair_same_file(pair_find(&two, other)->fd, other->fd));
	assert_non_null(pair_find(&one, its));
	assert_int_equal(one.pair.roster.uncovered, 0);
	assert_int_equal(two.pair.roster.held, 2);
	/* And is as good as the first. */
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.report.moved, 2);
	assert_true(two.pair.serving);
}

/* A copy whose entry ended while the two were apart, in a record that nobody
 * uses again, is closed by the beats. */
static void
stale_copies_are_closed(void **state)
{
	struct handoff__roster_entry *gone;
	int64_t end = handoff__now_us() + 5000000;

	(void)state;
	one.config.hang_timeout_ms = two.config.hang_timeout_ms = 400;
	pair_own(&one);
	pair_join(&one, &two);
	pair_enter(&one, HANDOFF__CONNECTION);
	gone = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	handoff__core_break(&one.pair, "of the test");
	handoff__pair_proceed(&one.pair);
	handoff__pair_end(&one.pair, gone);
	run_until_linked(&one, &two);
	while (two.pair.roster.held != 1) {
		assert_true(handoff__now_us() < end);
		handoff__loop_dispatch(&one.loop, 5);
		handoff__pair_proceed(&one.pair);
		handoff__loop_dispatch(&two.loop, 5);
		handoff__pair_proceed(&two.pair);
	}
}

static void
death_of_a_standby_is_seen_and_another_may_come(void **state)
{
	int told;
	pid_t pid;

	(void)state;
	pair_own(&one);
	pair_enter_many(&one, 3);
	for (unsigned i = 1; i <= 2; i++) {
		pid = pair_child(one.config.dir, &told);
		pair_wait(&one, &one.partners, i);
		assert_int_equal(one.pair.other.pid, pid);
		pair_kill(pid, told);
		pair_wait(&one, &one.partings, i);
		assert_int_equal(one.pair.partner, HANDOFF__PARTNER_NONE);
		assert_int_equal(one.failovers, 0);
		assert_int_equal(one.pair.roster.uncovered, 3);
	}
	pair_join(&one, &two);
	assert_int_equal(two.pair.roster.held, 3);
	assert_int_equal(one.pair.roster.uncovered, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(what_a_peer_leaves_is_taken_when_it_says_bye),
		pair_test(end_of_the_link_is_no_end_of_a_peer),
		pair_test(broken_link_is_made_anew),
		side_test(stale_copies_are_closed),
		side_test(death_of_a_standby_is_seen_and_another_may_come),
	};

	return cmocka_run_group_tests_name("part", tests, NULL, NULL);
}
