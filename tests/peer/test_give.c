/* SPDX-License-Identifier: MIT */
/*
 * Moving ownership: all of it, some of it, there and back; and everything
 * that may keep an entry, or all of them, where they are.
 */
#include "peer/fixture.h"

#include "peer/reconcile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SOON_MS 30

/* A listener, an extra descriptor and some connections, all covered. */
static struct handoff__roster_entry *
fill(struct side *a, struct side *b, unsigned connections)
{
	struct handoff__roster_entry *listener =
		pair_enter(a, HANDOFF__LISTENER);

	pair_enter(a, HANDOFF__EXTRA);
	pair_enter_many(a, connections);
	pair_run(a, b);
	assert_int_equal(a->pair.roster.uncovered, 0);
	return listener;
}

static struct handoff__board *
board_of(struct side *side)
{
	return handoff__arena_board(&side->pair.arena);
}

/* Each entry has one owner: the owner word, both rosters and the counts say
 * the same. */
static void
assert_one_owner(struct side *a, struct side *b)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t owned = 0, held = 0;

	while ((e = handoff__roster_next(&a->pair.roster, e))) {
		struct handoff__roster_entry *other = pair_find(b, e);
		uint32_t owner = atomic_load(&e->view.rec->owner);

		assert_int_equal(
			owner, e->mine ? a->pair.place : b->pair.place);
		assert_true(!other || other->mine == !e->mine);
		assert_true(other || e->mine);
		assert_false(e->leaving || e->barrier);
		owned += e->mine;
		held += !e->mine;
	}
	assert_int_equal(a->pair.roster.owned, owned);
	assert_int_equal(a->pair.roster.held, held);
	assert_int_equal(b->pair.roster.owned, held);
}

static void
give_all(struct side *a, struct side *b)
{
	unsigned given = a->given;

	assert_int_equal(handoff__pair_give(&a->pair, HANDOFF__MAINTENANCE), 0);
	pair_run(a, b);
	assert_int_equal(a->given, given + 1);
	assert_int_equal(a->report.reason, HANDOFF__OK);
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
	struct side a, b;

	(void)state;
	support_need_descriptors(1200);
	pair_open(&a, &b);
	fill(&a, &b, 500);
	for (unsigned i = 1; i <= 3; i++) {
		give_all(&a, &b);
		assert_int_equal(a.report.cause, HANDOFF__MAINTENANCE);
		assert_int_equal(a.report.moved, 500);
		assert_int_equal(a.report.listeners, 1);
		assert_int_equal(a.report.left, 0);
		assert_int_equal(a.pair.roster.owned, 0);
		assert_int_equal(b.pair.roster.connections, 500);
		assert_int_equal(b.pair.roster.uncovered, 0);
		assert_false(a.pair.serving);
		assert_true(b.pair.serving);
		assert_int_equal(board_of(&a)->owner, 2);
		assert_true(handoff__pair_away(&a.pair));
		assert_int_equal(handoff__pair_generation(&a.pair), 2 * i);
		assert_int_equal(a.role, HANDOFF__MAINTENANCE);
		assert_int_equal(b.role, HANDOFF__MAINTENANCE);
		assert_one_owner(&a, &b);
		assert_repeats(&a, "");
		assert_repeats(&a, "one");
		assert_repeats(&b, "");
		assert_repeats(&b, "one");

		assert_int_equal(
			handoff__pair_take(&a.pair, HANDOFF__HOME_SILENT), 0);
		pair_run(&a, &b);
		assert_int_equal(a.given, 2 * i);
		assert_int_equal(b.given, 2 * i);
		assert_int_equal(a.report.reason, HANDOFF__OK);
		assert_int_equal(a.report.moved, 500);
		assert_true(a.pair.serving);
		assert_false(b.pair.serving);
		assert_false(handoff__pair_away(&a.pair));
		assert_int_equal(handoff__pair_generation(&a.pair), 2 * i + 1);
		assert_int_equal(a.role, HANDOFF__HOME_SILENT);
		assert_int_equal(a.roles, 2 * i);
		assert_int_equal(b.roles, 2 * i);
		assert_one_owner(&a, &b);
	}
	assert_int_equal(a.pauses + b.pauses, 0);
	pair_close(&a, &b);
}

/* What came meanwhile goes along; what ended meanwhile does not. */
static void
life_goes_on_between_two_gives(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 10);
	give_all(&a, &b);
	pair_enter_many(&b, 5);
	handoff__pair_end(&b.pair, handoff__roster_next(&b.pair.roster, NULL));
	pair_run(&a, &b);
	give_all(&b, &a);
	assert_int_equal(b.report.moved, 15);
	assert_int_equal(b.report.listeners, 0); /* it was the one that ended */
	assert_int_equal(a.pair.roster.connections, 15);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

static void
empty_service_changes_hands(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	give_all(&a, &b);
	assert_true(b.pair.serving);
	assert_int_equal(b.report.moved + b.report.left, 0);
	pair_close(&a, &b);
}

static void
home_takes_all_but_connections(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *listener;

	(void)state;
	pair_open(&a, &b);
	listener = fill(&a, &b, 20);
	give_all(&a, &b);
	assert_int_equal(handoff__pair_take(&a.pair, HANDOFF__HOME), 0);
	pair_run(&a, &b);
	assert_int_equal(a.report.reason, HANDOFF__OK);
	assert_int_equal(a.report.moved, 0);
	assert_int_equal(a.report.listeners, 1);
	assert_true(a.pair.serving);
	assert_true(listener->mine);
	assert_int_equal(a.pair.roster.owned, 2);
	assert_int_equal(b.pair.roster.connections, 20);
	assert_one_owner(&a, &b);
	assert_false(handoff__pair_away(&a.pair));
	/* The rest follows when it is asked to. */
	assert_int_equal(handoff__pair_give(&b.pair, HANDOFF__REST), 0);
	pair_run(&a, &b);
	assert_int_equal(b.report.moved, 20);
	assert_int_equal(a.pair.roster.connections, 20);
	assert_true(a.pair.serving);
	assert_int_equal(handoff__pair_generation(&a.pair), 3);
	assert_int_equal(a.roles, 2);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* Two owners at once, each of its own connections: a give of one takes what
 * is its own and no more. */
static void
only_what_is_owned_is_given(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 7);
	pair_enter_many(&b, 3);
	pair_run(&a, &b);
	give_all(&a, &b);
	assert_int_equal(a.report.moved, 7);
	assert_int_equal(b.pair.roster.connections, 10);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

static void
what_cannot_begin_says_why(void **state)
{
	struct side a, b;
	const char *dir = support_dir();

	(void)state;
	side_init(&a, dir, "one");
	side_init(&b, dir, "two");
	pair_own(&a);
	assert_int_equal(
		handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_non_null(
		strstr(a.pair.error.text, "no standby is attached: start one"));
	assert_int_equal(handoff__pair_take(&a.pair, HANDOFF__HOME), -ENOTCONN);
	assert_int_equal(side_open(&b, &a), 0);
	/* Greeted, but it has not said that it can serve. */
	pair_run(&a, &b);
	assert_int_equal(
		handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(
		handoff__pair_give(&b.pair, HANDOFF__MAINTENANCE), -EPERM);
	assert_non_null(strstr(b.pair.error.text, "this peer does not serve"));
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	assert_int_equal(
		handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), -EBUSY);
	assert_int_equal(handoff__pair_take(&a.pair, HANDOFF__HOME), -EBUSY);
	assert_non_null(strstr(a.pair.error.text, "is under way"));
	pair_run(&a, &b);
	assert_int_equal(a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__OK);
	pair_close(&a, &b);
}

static void
take_from_one_that_does_not_serve_is_refused(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 2);
	assert_int_equal(handoff__pair_take(&a.pair, HANDOFF__HOME), 0);
	pair_run(&a, &b);
	assert_int_equal(a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__NOT_OWNER);
	assert_int_equal(b.given, 0);
	assert_true(a.pair.serving);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

static void
take_for_no_known_cause_is_refused(void **state)
{
	struct side a, b;
	struct handoff__msg msg = {
		.type = HANDOFF__TAKE, .cause = HANDOFF__MAINTENANCE};

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 2);
	assert_int_equal(handoff__link_try(&b.pair.link, &msg, NULL, 0), 1);
	msg.cause = 99;
	assert_int_equal(handoff__link_try(&b.pair.link, &msg, NULL, 0), 1);
	pair_run(&a, &b);
	assert_int_equal(a.pair.roster.connections, 2);
	assert_int_equal(a.given, 0);
	pair_close(&a, &b);
}

/* Both want to move at the same moment. */
static void
give_and_take_at_once_do_not_mix(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 20);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	assert_int_equal(handoff__pair_take(&b.pair, HANDOFF__HOME_SILENT), 0);
	pair_run(&a, &b);
	assert_int_equal(a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__OK);
	assert_int_equal(a.report.cause, HANDOFF__MAINTENANCE);
	assert_true(b.given >= 1);
	assert_true(b.pair.serving);
	assert_true(handoff__pair_away(&b.pair));
	assert_one_owner(&a, &b);
	assert_false(handoff__pair_moving(&a.pair));
	assert_false(handoff__pair_moving(&b.pair));
	/* And both can move again. */
	give_all(&b, &a);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* While the standby is behind, entries come: the last round trip is made with
 * no new ones, so that none is left behind. */
static void
new_entries_are_paused_for_the_last_round_trip(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 3);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_COVER);
	pair_enter_many(&a, 2);
	pair_run(NULL, &b);
	assert_int_equal(a.pauses, 0);
	pair_turn(&a);
	assert_true(a.paused);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_CLOSE);
	pair_run(&a, &b);
	assert_false(a.paused);
	assert_int_equal(a.report.moved, 5);
	assert_int_equal(a.report.left, 0);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* What comes in spite of the pause is waited for, but not for ever. The last
 * stays: nothing moves that the other has no copy of. */
static void
entry_without_a_copy_stays(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e = NULL;
	unsigned rounds = 0;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 3);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_enter_many(&a, 1);
	pair_run(NULL, &b);
	pair_turn(&a);
	assert_true(a.paused);
	while (a.pair.give.step == HANDOFF__GIVE_CLOSE) {
		handoff__pair_proceed(&a.pair);
		e = pair_enter(&a, HANDOFF__CONNECTION);
		pair_run(NULL, &b);
		pair_turn(&a);
		assert_in_range(++rounds, 1, 10);
	}
	assert_int_equal(a.pauses, 1);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_DRAIN);
	pair_run(&a, &b);
	assert_in_range(rounds, 2, 10);
	assert_int_equal(a.report.moved, 4 + rounds - 1);
	assert_int_equal(a.report.left, 1);
	assert_int_equal(a.report.refs[0].id, e->id);
	assert_int_equal(a.report.refs[0].arg, HANDOFF__UNANSWERED);
	assert_true(e->mine);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
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
	struct side a, b;

	(void)state;
	support_not_in_valgrind();
	pair_open(&a, &b);
	pair_enter_many(&a, 200);
	pair_limit_descriptors(80);
	pair_run(&a, &b);
	/* It is asked once more, and still has no room. */
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	pair_unlimit_descriptors();
	assert_int_equal(a.report.reason, HANDOFF__OK);
	assert_in_range(a.report.left, 120, 199);
	assert_int_equal(a.report.moved + a.report.left, 200);
	assert_int_equal(a.report.nrefs, a.report.left);
	assert_true(b.pair.serving);
	assert_int_equal(a.pair.roster.connections, a.report.left);
	for (struct handoff__roster_entry *e = NULL;
		(e = handoff__roster_next(&a.pair.roster, e));) {
		const struct handoff__ref *ref = left(&a, e->id);

		assert_int_equal(ref != NULL, e->mine);
		if (ref)
			assert_int_equal(ref->arg, HANDOFF__TABLE_FULL);
	}
	/* It still owns them, and they can follow later. */
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__REST), 0);
	pair_run(&a, &b);
	assert_int_equal(a.report.left, 0);
	assert_int_equal(b.pair.roster.connections, 200);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

static void
more_are_left_than_are_named(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	b.refuse_entered = -ENOMEM;
	pair_enter_many(&a, HANDOFF_FDPASS_MAX + 50);
	give_all(&a, &b);
	assert_int_equal(a.report.left, HANDOFF_FDPASS_MAX + 50);
	assert_int_equal(a.report.nrefs, HANDOFF_FDPASS_MAX);
	/* Asked by the other, the report crosses the link. */
	assert_int_equal(b.given, 1);
	assert_int_equal(b.report.left, HANDOFF_FDPASS_MAX + 50);
	assert_int_equal(b.report.nrefs, HANDOFF_FDPASS_MAX);
	assert_int_equal(b.report.refs[5].arg, HANDOFF__NO_MEMORY);
	pair_close(&a, &b);
}

/* A standby that has stopped is no place to move to. */
static void
nothing_moves_to_one_that_does_not_answer(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 5);
	a.pair.config.give_timeout_ms = SOON_MS;
	/* All is covered, and all the same it must answer. */
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__UNANSWERED);
	assert_int_equal(a.report.moved, 0);
	assert_true(a.pair.serving);
	assert_int_equal(a.pair.roster.connections, 5);
	assert_int_equal(handoff__pair_generation(&a.pair), 1);
	assert_int_equal(a.roles, 0);
	/* It wakes up: the late answer starts nothing. */
	pair_run(&a, &b);
	assert_int_equal(a.given, 1);
	assert_int_equal(b.moved, 0);
	assert_one_owner(&a, &b);
	give_all(&a, &b);
	assert_int_equal(a.report.moved, 5);
	pair_close(&a, &b);
}

static void
what_was_never_answered_is_counted(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 5);
	pair_enter_many(&a, 3);
	a.pair.config.give_timeout_ms = SOON_MS;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_enter_many(&a, 1);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__UNANSWERED);
	assert_int_equal(a.report.left, 4);
	assert_int_equal(a.report.moved, 0);
	pair_run(&a, &b);
	assert_one_owner(&a, &b);
	assert_int_equal(a.pair.roster.uncovered, 0);
	pair_close(&a, &b);
}

static void
deadline_during_the_last_round_trip_unpauses(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 3);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_enter_many(&a, 2);
	pair_run(NULL, &b);
	pair_turn(&a);
	assert_true(a.paused);
	handoff__timer_arm(&a.loop, &a.pair.move.deadline, 1);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__UNANSWERED);
	assert_false(a.paused);
	pair_run(&a, &b);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* It had answered, and stops before it takes what it is offered: that comes
 * back, and when it runs again it takes nothing. */
static void
offer_that_is_not_taken_comes_back(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 5);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(NULL, &b);
	pair_turn(&a);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_DRAIN);
	assert_false(a.pair.serving);
	assert_int_equal(a.roles, 0);
	handoff__timer_arm(&a.loop, &a.pair.move.deadline, 1);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__UNTAKEN);
	assert_int_equal(a.report.left_by[HANDOFF__UNTAKEN], a.report.left);
	assert_true(a.report.left > 0);
	assert_int_equal(a.report.moved, 0);
	assert_int_equal(a.roles, 0);
	assert_true(a.pair.serving);
	assert_int_equal(a.pair.roster.connections, 5);
	assert_false(handoff__pair_away(&a.pair));
	pair_run(&a, &b);
	assert_int_equal(b.moved, 0);
	assert_false(b.pair.serving);
	assert_one_owner(&a, &b);
	assert_false(handoff__pair_moving(&b.pair));
	/* The next one is as good as any. */
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_int_equal(a.report.reason, HANDOFF__OK);
	assert_true(b.pair.serving);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* The other has taken it all, and its answer comes too late. */
static void
offer_that_was_taken_is_not_taken_back(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 5);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(NULL, &b);
	pair_turn(&a);
	pair_turn(&b);
	assert_true(b.pair.serving);
	a.pair.move.late = true;
	handoff__pair_proceed(&a.pair);
	assert_false(a.pair.serving);
	assert_int_equal(a.roles, 1);
	pair_run(&a, &b);
	assert_int_equal(a.report.reason, HANDOFF__OK);
	assert_int_equal(a.report.moved, 5);
	assert_int_equal(a.roles, 1);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* The bell is lost with the link, on the taker's side. */
static void
offer_whose_bell_was_lost_is_served_by_one(void **state)
{
	struct handoff__board *board;
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 5);
	board = handoff__arena_board(&a.pair.arena);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(NULL, &b);
	pair_turn(&a);
	assert_int_equal(
		handoff__owner_word(&board->owner), 2 | HANDOFF__OFFERED);
	/* What b reads of it is nothing. */
	handoff__link_close(&b.pair.link);
	b.pair.partner = HANDOFF__PARTNER_APART;
	handoff__reconcile(&b.pair);
	assert_true(b.pair.serving);
	assert_int_equal(b.pair.roster.connections, 5);
	pair_turn(&a);
	assert_int_equal(a.pair.link.fd, -1);
	assert_false(a.pair.serving);
	assert_int_equal(a.report.moved, 5);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* A give after which both sides would accept, or none. */
static void
give_that_can_move_no_listener_is_refused(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *listener;

	(void)state;
	pair_open(&a, &b);
	b.refuse_entered = -ENOMEM;
	listener = pair_enter(&a, HANDOFF__LISTENER);
	pair_run(&a, &b);
	b.refuse_entered = 0;
	pair_enter_many(&a, 3);
	pair_run(&a, &b);
	assert_int_equal(listener->copy, HANDOFF__COPY_REFUSED);
	b.refuse_entered = -ENOMEM;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_int_equal(a.report.reason, HANDOFF__NO_MEMORY);
	assert_int_equal(a.report.moved, 0);
	assert_true(a.pair.serving);
	assert_false(b.pair.serving);
	assert_int_equal(a.pair.roster.connections, 3);
	pair_close(&a, &b);
}

/* An answer to an offer that was taken back is none to the next. */
static void
late_ready_is_no_answer_to_another_offer(void **state)
{
	struct side a, b;
	struct handoff__msg ready = {.type = HANDOFF__READY, .offer_us = 1};

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 2);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(NULL, &b);
	assert_int_equal(handoff__link_try(&b.pair.link, &ready, NULL, 0), 1);
	pair_turn(&a);
	assert_int_equal(a.pair.give.step, HANDOFF__GIVE_DRAIN);
	assert_false(a.pair.give.ready);
	pair_run(&a, &b);
	assert_int_equal(a.report.moved, 2);
	pair_close(&a, &b);
}

/* The other is about to stop: nothing moves there, also if it was asked. */
static void
nothing_is_given_to_a_peer_that_stops(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 2);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	handoff__pair_leave(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(a.report.reason, HANDOFF__LEAVING);
	assert_true(a.pair.serving);
	assert_int_equal(
		handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), -ENOTCONN);
	assert_non_null(strstr(a.pair.error.text, "is stopping"));
	pair_close(&a, &b);
}

/* Entries whose handlers run follow one by one when those return. */
static void
busy_entries_follow_when_they_are_quiet(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e = NULL, *busy[3];
	unsigned n = 0;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 3);
	pair_run(&a, &b);
	a.busy = true;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_int_equal(a.given, 0);
	assert_true(b.pair.serving);
	assert_int_equal(a.pair.roster.connections, 3);
	while ((e = handoff__roster_next(&a.pair.roster, e)))
		busy[n++] = e;
	assert_int_equal(n, 3);
	for (n = 0; n < 3; n++) {
		assert_true(busy[n]->leaving);
		assert_int_equal(a.given, 0);
		handoff__pair_quiet(&a.pair, busy[n]);
		pair_run(&a, &b);
		assert_int_equal(b.pair.roster.connections, n + 1);
	}
	assert_int_equal(a.given, 1);
	assert_int_equal(a.report.moved, 3);
	assert_int_equal(a.report.left, 0);
	assert_int_equal(a.roles, 1);
	assert_one_owner(&a, &b);
	/* Quiet once more is nothing. */
	handoff__pair_quiet(&a.pair, busy[0]);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

static void
busy_past_the_deadline_is_left_and_follows(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	a.busy = true;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	handoff__timer_arm(&a.loop, &a.pair.move.deadline, 1);
	pair_wait(&a, &a.given, 1);
	assert_int_equal(a.report.reason, HANDOFF__OK);
	assert_int_equal(a.report.left, 1);
	assert_int_equal(a.report.refs[0].id, e->id);
	assert_int_equal(a.report.refs[0].arg, HANDOFF__HANDLER_BUSY);
	assert_true(e->mine);
	pair_run(&a, &b);
	handoff__pair_quiet(&a.pair, e);
	pair_run(&a, &b);
	assert_int_equal(b.pair.roster.connections, 1);
	assert_int_equal(a.given, 1);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* It was to follow, and then all came back before its handler returned. */
static void
busy_entry_stays_if_service_has_come_back(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 2);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	a.busy = true;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	handoff__timer_arm(&a.loop, &a.pair.move.deadline, 1);
	pair_wait(&a, &a.given, 1);
	a.busy = false;
	pair_run(&a, &b);
	assert_int_equal(handoff__pair_take(&a.pair, HANDOFF__HOME_SILENT), 0);
	pair_run(&a, &b);
	handoff__pair_quiet(&a.pair, e);
	pair_run(&a, &b);
	assert_true(e->mine);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

static void
busy_entry_that_ends_is_not_waited_for(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	a.busy = true;
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&a, &b);
	assert_int_equal(a.given, 0);
	handoff__pair_end(&a.pair, e);
	pair_run(&a, &b);
	assert_int_equal(a.given, 1);
	assert_int_equal(a.report.moved + a.report.left, 0);
	assert_int_equal(b.pair.roster.held, 0);
	pair_close(&a, &b);
}

static void
uncovered_entry_that_ends_is_not_waited_for(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	pair_enter_many(&a, 2);
	pair_run(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	assert_int_equal(handoff__pair_give(&a.pair, HANDOFF__MAINTENANCE), 0);
	assert_true(e->barrier);
	handoff__pair_end(&a.pair, e);
	pair_run(&a, &b);
	assert_int_equal(a.given, 1);
	assert_int_equal(a.report.moved, 2);
	assert_int_equal(b.pair.roster.connections, 2);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
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
		fill(&a, &b, 4);
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
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 4);
	assert_int_equal(handoff__pair_take(&b.pair, HANDOFF__HOME_SILENT), 0);
	side_close(&a);
	pair_run(NULL, &b);
	assert_int_equal(b.given, 1);
	assert_int_equal(b.report.reason, HANDOFF__LEAVING);
	assert_false(handoff__pair_moving(&b.pair));
	side_close(&b);
}

static void
take_that_is_not_answered_ends(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	fill(&a, &b, 4);
	b.pair.config.give_timeout_ms = SOON_MS;
	assert_int_equal(handoff__pair_take(&b.pair, HANDOFF__HOME_SILENT), 0);
	pair_wait(&b, &b.given, 1);
	assert_int_equal(b.report.reason, HANDOFF__UNANSWERED);
	assert_false(handoff__pair_moving(&b.pair));
	/* It answers after all: what it moves is served here. */
	pair_run(&a, &b);
	assert_true(b.pair.serving);
	assert_int_equal(b.pair.roster.connections, 4);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* References that mean nothing here. */
static void
strange_move_moves_nothing(void **state)
{
	struct side a, b;
	struct handoff__msg msg = {
		.type = HANDOFF__MOVE, .cause = HANDOFF__REST, .nrefs = 3};
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	/* Not in the name of the one that it is sent to. */
	msg.refs[0] = (struct handoff__ref){
		.id = e->id, .segment = e->segment, .slot = e->slot};
	msg.refs[1] = (struct handoff__ref){.id = 1234, .slot = e->slot};
	msg.refs[2] = (struct handoff__ref){.id = 1, .segment = UINT32_MAX};
	assert_int_equal(handoff__link_try(&a.pair.link, &msg, NULL, 0), 1);
	pair_run(&a, &b);
	assert_int_equal(b.moved, 0);
	assert_one_owner(&a, &b);
	pair_close(&a, &b);
}

/* Nobody serves: that a peer is out of service already is no repetition. */
static void
nothing_is_repeated_where_nobody_serves(void **state)
{
	char text[HANDOFF_TEXT_MAX];
	struct side a;

	(void)state;
	side_init(&a, support_dir(), "one");
	assert_int_equal(side_open(&a, NULL), 0);
	handoff__pair_started(&a.pair);
	assert_int_equal(
		handoff__pair_repeats(&a.pair, "", text, sizeof(text)), 0);
	assert_int_equal(
		handoff__pair_repeats(&a.pair, "one", text, sizeof(text)), 0);
	side_close(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(everything_goes_and_comes_back),
		handoff_test(nothing_is_repeated_where_nobody_serves),
		handoff_test(life_goes_on_between_two_gives),
		handoff_test(empty_service_changes_hands),
		handoff_test(home_takes_all_but_connections),
		handoff_test(only_what_is_owned_is_given),
		handoff_test(what_cannot_begin_says_why),
		handoff_test(take_from_one_that_does_not_serve_is_refused),
		handoff_test(take_for_no_known_cause_is_refused),
		handoff_test(give_and_take_at_once_do_not_mix),
		handoff_test(new_entries_are_paused_for_the_last_round_trip),
		handoff_test(entry_without_a_copy_stays),
		handoff_test(what_the_standby_refuses_is_left_by_name),
		handoff_test(more_are_left_than_are_named),
		handoff_test(nothing_moves_to_one_that_does_not_answer),
		handoff_test(what_was_never_answered_is_counted),
		handoff_test(deadline_during_the_last_round_trip_unpauses),
		handoff_test(offer_that_is_not_taken_comes_back),
		handoff_test(offer_that_was_taken_is_not_taken_back),
		handoff_test(offer_whose_bell_was_lost_is_served_by_one),
		handoff_test(give_that_can_move_no_listener_is_refused),
		handoff_test(late_ready_is_no_answer_to_another_offer),
		handoff_test(nothing_is_given_to_a_peer_that_stops),
		handoff_test(busy_entries_follow_when_they_are_quiet),
		handoff_test(busy_past_the_deadline_is_left_and_follows),
		handoff_test(busy_entry_stays_if_service_has_come_back),
		handoff_test(busy_entry_that_ends_is_not_waited_for),
		handoff_test(uncovered_entry_that_ends_is_not_waited_for),
		handoff_test(broken_link_ends_a_give),
		handoff_test(broken_link_ends_a_take),
		handoff_test(take_that_is_not_answered_ends),
		handoff_test(strange_move_moves_nothing),
	};

	return cmocka_run_group_tests_name("give", tests, NULL, NULL);
}
