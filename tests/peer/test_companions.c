/* SPDX-License-Identifier: MIT */
/*
 * Entries that move together: a leader and its companions are never torn apart,
 * whichever of them cannot move, whoever dies or revokes, and in whatever order
 * their copies and records come.
 */
#include "peer/survivor.h"

#include "peer/offer.h"
#include "peer/take.h"

#include <errno.h>
#include <sys/mman.h>

static struct handoff__roster_entry *leader, *first, *second;

/* A leader with two companions, among others, all covered. */
static void
enter_three(struct side *a, struct side *b)
{
	pair_enter(a, HANDOFF__LISTENER);
	leader = pair_enter(a, HANDOFF__CONNECTION);
	pair_enter_many(a, 2);
	first = pair_enter_with(a, HANDOFF__CONNECTION, leader);
	second = pair_enter_with(a, HANDOFF__EXTRA, leader);
	pair_run(a, b);
}

/* Both peers have them with one owner, and know what belongs together. */
static void
assert_together(struct side *a, struct side *b)
{
	struct handoff__roster_entry *l = pair_find(b, leader);

	pair_assert_one_owner(a, b);
	assert_int_equal(leader->mine, first->mine);
	assert_int_equal(leader->mine, second->mine);
	assert_ptr_equal(handoff__pair_leader(&a->pair, first), leader);
	assert_ptr_equal(handoff__pair_leader(&a->pair, second), leader);
	assert_null(handoff__pair_leader(&a->pair, leader));
	assert_non_null(l);
	assert_ptr_equal(
		handoff__pair_leader(&b->pair, pair_find(b, first)), l);
}

static void
companions_come_right_after_their_leader(void **state)
{
	struct handoff__roster_entry *early;

	(void)state;
	/* the second companion's record is in front of the leader's */
	early = pair_enter(&one, HANDOFF__CONNECTION);
	pair_enter_many(&one, 1);
	enter_three(&one, &two);
	handoff__pair_end(&one.pair, early);
	handoff__pair_end(&one.pair, second);
	pair_run(&one, &two);
	second = pair_enter_with(&one, HANDOFF__EXTRA, leader);
	pair_run(&one, &two);
	assert_true(second->slot < leader->slot);
	one.moved = two.moved = 0;
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_together(&one, &two);
	assert_false(leader->mine);
	assert_int_equal(one.report.left, 0);
	assert_int_equal(two.moved, 7);
	pair_give(&two, &one, HANDOFF__MAINTENANCE);
	assert_together(&one, &two);
	assert_true(leader->mine);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_together(&one, &two);
}

static void
wrong_leaders_are_refused(void **state)
{
	struct handoff__roster_entry *its;
	int err = 0, fd = memfd_create("x", MFD_CLOEXEC);

	(void)state;
	enter_three(&one, &two);
	its = pair_find(&two, leader);
	assert_null(handoff__pair_enter_with(
		&one.pair, fd, HANDOFF__EXTRA, "x", first, &err));
	assert_int_equal(err, -EINVAL);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_null(handoff__pair_enter_with(
		&two.pair, fd, HANDOFF__EXTRA, "x", its, &err));
	assert_int_equal(err, -EINVAL);
	for (unsigned i = 3; i < HANDOFF__TOGETHER_MAX; i++)
		pair_enter_with(&one, HANDOFF__CONNECTION, leader);
	fd = memfd_create("x", MFD_CLOEXEC);
	assert_null(handoff__pair_enter_with(
		&one.pair, fd, HANDOFF__EXTRA, "x", leader, &err));
	assert_int_equal(err, -ENOSPC);
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.left, 0);
	assert_together(&one, &two);
}

static const struct handoff__ref *
left(const struct side *side, const struct handoff__roster_entry *e)
{
	for (uint32_t i = 0; i < side->report.nrefs; i++) {
		if (side->report.refs[i].id == e->id)
			return &side->report.refs[i];
	}
	return NULL;
}

/* One has no copy: none of the three moves, and each is named with that. */
static void
one_without_a_copy_keeps_all_here(void **state)
{
	(void)state;
	pair_enter(&one, HANDOFF__LISTENER);
	leader = pair_enter(&one, HANDOFF__CONNECTION);
	pair_enter_many(&one, 2);
	first = pair_enter_with(&one, HANDOFF__CONNECTION, leader);
	pair_run(&one, &two);
	two.refuse_entered = -ENOMEM;
	second = pair_enter_with(&one, HANDOFF__EXTRA, leader);
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.moved, 2);
	assert_int_equal(one.report.left, 3);
	assert_int_equal(left(&one, leader)->arg, HANDOFF__NO_MEMORY);
	assert_int_equal(left(&one, first)->arg, HANDOFF__NO_MEMORY);
	assert_int_equal(left(&one, second)->arg, HANDOFF__NO_MEMORY);
	assert_true(leader->mine && first->mine && second->mine);
	pair_assert_one_owner(&one, &two);
	/* There is room again: they follow. */
	two.refuse_entered = 0;
	assert_int_equal(handoff__pair_give(&one.pair, HANDOFF__REST), 0);
	pair_run(&one, &two);
	assert_false(leader->mine);
	assert_together(&one, &two);
}

static void
one_that_is_busy_keeps_all_here(void **state)
{
	(void)state;
	enter_three(&one, &two);
	one.busy_one = first;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.given, 0);
	assert_true(two.pair.serving);
	assert_true(leader->mine && first->mine && second->mine);
	assert_true(leader->leaving && second->leaving);
	assert_int_equal(one.pair.give.waiting, 3);
	assert_int_equal(one.asked, 1);
	/* The other comes in the way, and must wait. */
	one.busy_one = leader;
	handoff__pair_quiet(&one.pair, first);
	pair_run(&one, &two);
	assert_true(leader->mine && first->mine && second->mine);
	assert_true(first->marks & HANDOFF__PARKED);
	assert_int_equal(one.asked, 2);
	assert_int_equal(one.resumed, 0);
	handoff__pair_quiet(&one.pair, leader);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.left, 0);
	assert_int_equal(one.report.moved, 4);
	assert_false(leader->mine);
	assert_int_equal(one.resumed, 0);
	assert_together(&one, &two);
	assert_int_equal(two.order[(two.moved - 3) % 8], leader->id);
}

static void
quiet_all_but(const struct handoff__roster_entry *busy,
	const struct handoff__roster_entry *other)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&one.pair.roster, e))) {
		if (e != busy && e != other && e->leaving)
			handoff__pair_quiet(&one.pair, e);
	}
}

/* The time is over: who waited is served again, and all follow later. */
static void
busy_past_the_deadline_follows_with_the_others(void **state)
{
	(void)state;
	enter_three(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.asked, 4);
	quiet_all_but(first, leader);
	pair_run(&one, &two);
	one.busy = false;
	one.busy_one = first;
	pair_expire(&one);
	assert_int_equal(left(&one, leader)->arg, HANDOFF__HANDLER_BUSY);
	assert_int_equal(left(&one, first)->arg, HANDOFF__HANDLER_BUSY);
	assert_int_equal(left(&one, second)->arg, HANDOFF__HANDLER_BUSY);
	assert_int_equal(one.resumed, 1);
	handoff__pair_quiet(&one.pair, leader);
	pair_run(&one, &two);
	assert_true(leader->mine && leader->marks & HANDOFF__PARKED);
	handoff__pair_quiet(&one.pair, first);
	pair_run(&one, &two);
	assert_false(leader->mine);
	assert_together(&one, &two);
}

/* A companion that waits alone for a busy one that ends need not wait. */
static void
end_of_the_busy_one_lets_the_others_go(void **state)
{
	(void)state;
	for (int leads = 0; leads < 2; leads++) {
		unsigned given = one.given;
		struct handoff__roster_entry *busy;

		enter_three(&one, &two);
		busy = leads ? leader : first;
		one.busy = true;
		pair_begin(&one);
		pair_run(&one, &two);
		quiet_all_but(busy, NULL);
		pair_run(&one, &two);
		assert_true(second->mine);
		assert_int_equal(one.given, given);
		one.busy = false;
		handoff__pair_end(&one.pair, busy);
		pair_run(&one, &two);
		assert_int_equal(one.given, given + 1);
		assert_false(second->mine);
		assert_int_equal(one.report.left, 0);
		pair_assert_one_owner(&one, &two);
		assert_int_equal(
			handoff__pair_leader(&one.pair, second) == NULL, leads);
		pair_give(&two, &one, HANDOFF__MAINTENANCE);
	}
}

/* A leader that ends leaves its companions to themselves, in both peers. */
static void
companion_of_one_that_ended_stands_alone(void **state)
{
	(void)state;
	enter_three(&one, &two);
	handoff__pair_end(&one.pair, leader);
	pair_run(&one, &two);
	assert_null(handoff__pair_leader(&one.pair, first));
	two.refuse_entered = -ENOMEM;
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(one.report.left, 0);
	pair_assert_one_owner(&one, &two);
	assert_null(handoff__pair_leader(&two.pair, pair_find(&two, first)));
}

/* It is entered while its leader is about to move, and has no copy yet. */
static void
companion_that_comes_in_a_give_moves_along(void **state)
{
	struct handoff__roster_entry *late;

	(void)state;
	enter_three(&one, &two);
	one.busy_one = leader;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_true(leader->mine);
	late = pair_enter_with(&one, HANDOFF__EXTRA, leader);
	assert_true(late->leaving);
	assert_int_equal(one.pair.give.waiting, 4);
	one.busy_one = NULL;
	handoff__pair_quiet(&one.pair, leader);
	assert_true(leader->mine);
	assert_int_equal(one.given, 0);
	pair_run(&one, &two);
	assert_false(leader->mine || late->mine);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.left, 0);
	assert_together(&one, &two);
}

/* The same while the give waits for anything to be quiet. */
static void
companion_that_comes_before_the_offer_moves_along(void **state)
{
	struct handoff__roster_entry *late;

	(void)state;
	leader = pair_enter(&one, HANDOFF__CONNECTION);
	first = pair_enter_with(&one, HANDOFF__CONNECTION, leader);
	second = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	one.busy = true;
	pair_begin(&one);
	pair_run(&one, &two);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_QUIET);
	late = pair_enter_with(&one, HANDOFF__EXTRA, leader);
	handoff__pair_quiet(&one.pair, second);
	pair_turn(&one);
	assert_int_equal(one.pair.give.step, HANDOFF__GIVE_DRAIN);
	assert_int_not_equal(late->copy, HANDOFF__COPY_HELD);
	handoff__pair_quiet(&one.pair, leader);
	handoff__pair_quiet(&one.pair, first);
	assert_true(leader->mine);
	pair_run(&one, &two);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.report.left, 0);
	assert_false(leader->mine || first->mine || late->mine);
	pair_assert_one_owner(&one, &two);
}

/* The same, and the other peer has no room for it. */
static void
companion_that_is_refused_in_a_give_keeps_all(void **state)
{
	(void)state;
	enter_three(&one, &two);
	one.busy_one = leader;
	pair_begin(&one);
	pair_run(&one, &two);
	two.refuse_entered = -ENOMEM;
	pair_enter_with(&one, HANDOFF__EXTRA, leader);
	one.busy_one = NULL;
	handoff__pair_quiet(&one.pair, leader);
	pair_run(&one, &two);
	assert_true(leader->mine && first->mine && second->mine);
	assert_int_equal(one.given, 1);
	assert_int_equal(one.resumed, 1);
	assert_int_equal(one.report.left, 4);
	assert_int_equal(left(&one, second)->arg, HANDOFF__NO_MEMORY);
	pair_assert_one_owner(&one, &two);
}

/* HOME takes no connections: and not what belongs to one. */
static void
what_belongs_to_a_connection_stays_with_it(void **state)
{
	(void)state;
	enter_three(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), 0);
	pair_run(&one, &two);
	assert_true(one.pair.serving);
	assert_false(leader->mine || first->mine || second->mine);
	assert_together(&one, &two);
}

static void
offer_comes_back_together(void **state)
{
	(void)state;
	enter_three(&one, &two);
	pair_offer(&one, &two);
	assert_false(leader->mine);
	pair_expire(&one);
	assert_int_equal(one.report.reason, HANDOFF__UNTAKEN);
	assert_true(leader->mine);
	assert_together(&one, &two);
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_false(leader->mine);
	assert_together(&one, &two);
}

/* The taker has accepted the leader and not yet the companions: the giver
 * revokes nothing of them; and the other way round. */
static void
word_of_the_leader_decides(void **state)
{
	struct handoff__moved moved = {.connections = 0};
	handoff__owner *word;

	(void)state;
	enter_three(&one, &two);
	word = &leader->view.rec->owner;
	pair_offer(&one, &two);
	assert_true(handoff__owner_accept(word, (uint32_t)two.pair.place));
	one.pair.move.late = true;
	handoff__pair_proceed(&one.pair);
	assert_int_equal(handoff__owner_word(&first->view.rec->owner),
		(uint32_t)two.pair.place | HANDOFF__OFFERED);
	assert_int_equal(handoff__owner_word(&second->view.rec->owner),
		(uint32_t)two.pair.place | HANDOFF__OFFERED);
	handoff__roster_swap(&two.pair.roster, pair_find(&two, leader));
	pair_find(&two, leader)->mine = true;
	handoff__take_all(&two.pair, HANDOFF__REST, 1, &moved);
	assert_int_equal(moved.connections, 1);
	assert_false(leader->mine || first->mine || second->mine);
	assert_true(pair_find(&two, first)->mine);
	assert_true(pair_find(&two, second)->mine);
}

static void
revoked_leader_is_not_followed(void **state)
{
	struct handoff__moved moved = {.connections = 0};
	handoff__owner *word;

	(void)state;
	enter_three(&one, &two);
	word = &leader->view.rec->owner;
	pair_offer(&one, &two);
	assert_true(handoff__owner_revoke(
		word, (uint32_t)one.pair.place, (uint32_t)two.pair.place));
	handoff__take_all(&two.pair, HANDOFF__REST, 1, &moved);
	assert_int_equal(handoff__owner_word(&first->view.rec->owner),
		(uint32_t)two.pair.place | HANDOFF__OFFERED);
	handoff__roster_swap(&one.pair.roster, leader);
	handoff__offer_revoke(&one.pair, HANDOFF__UNTAKEN, &moved);
	assert_true(leader->mine && first->mine && second->mine);
}

/* The survivor has them, in whatever order their records are. */
static void
survivor_has_them_together(void **state)
{
	struct handoff__roster_entry *early, *l;

	(void)state;
	survivor_open(1);
	early = pair_enter(&one, HANDOFF__CONNECTION);
	l = pair_enter(&one, HANDOFF__CONNECTION);
	handoff__pair_end(&one.pair, early);
	first = pair_enter_with(&one, HANDOFF__CONNECTION, l);
	assert_true(first->slot < l->slot);
	survivor_give();
	assert_false(l->mine || first->mine);
	one.moved = 0;
	survivor_inherit();
	assert_true(l->mine && first->mine);
	assert_ptr_equal(handoff__pair_leader(&one.pair, first), l);
	assert_true(l->marks & HANDOFF__LEADS);
	assert_int_equal(one.order[one.moved - 1], first->id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(companions_come_right_after_their_leader),
		pair_test(wrong_leaders_are_refused),
		pair_test(one_without_a_copy_keeps_all_here),
		pair_test(one_that_is_busy_keeps_all_here),
		pair_test(busy_past_the_deadline_follows_with_the_others),
		pair_test(end_of_the_busy_one_lets_the_others_go),
		pair_test(companion_of_one_that_ended_stands_alone),
		pair_test(companion_that_comes_in_a_give_moves_along),
		pair_test(companion_that_comes_before_the_offer_moves_along),
		pair_test(companion_that_is_refused_in_a_give_keeps_all),
		pair_test(what_belongs_to_a_connection_stays_with_it),
		pair_test(offer_comes_back_together),
		pair_test(word_of_the_leader_decides),
		pair_test(revoked_leader_is_not_followed),
		side_test(survivor_has_them_together),
	};

	return cmocka_run_group_tests_name("companions", tests, NULL, NULL);
}
