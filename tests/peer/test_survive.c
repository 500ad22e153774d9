/* SPDX-License-Identifier: MIT */
/*
 * How a survivor deals with what a dead peer has left: entries, orphans, roles,
 * and the arena. The streams are in test_positions.c, deaths in a handler in
 * test_blame.c.
 */
#include "peer/survivor.h"

#include "peer/death.h"
#include "peer/loan.h"
#include "record/desk.h"
#include "record/group.h"
#include "record/handling.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
survivor_owns_and_serves_everything(void **state)
{
	struct handoff__roster_entry *e = NULL;
	const struct handoff__survival *survival = &one.pair.survival;

	(void)state;
	survivor_open(10);
	survivor_give();
	assert_false(one.pair.serving);
	/* As if the child were at home: its survivor is the alternate. */
	atomic_store(&handoff__arena_board(&one.pair.arena)->away, 0);
	survivor_inherit();
	assert_int_equal(one.failovers, 1);
	assert_true(one.pair.serving);
	assert_true(survival->serving);
	assert_int_equal(survival->entries, 11);
	assert_int_equal(
		survival->in_turn + survival->closed + survival->orphans, 0);
	assert_int_equal(one.moved, 11);
	assert_int_equal(one.pair.roster.connections, 10);
	assert_int_equal(one.pair.roster.held, 0);
	assert_int_equal(one.pair.roster.uncovered, 11);
	assert_int_equal(handoff__pair_generation(&one.pair), 3);
	assert_true(handoff__pair_away(&one.pair));
	while ((e = handoff__roster_next(&one.pair.roster, e)))
		assert_int_equal(e->view.rec->owner, 1);
	/* And it goes on: new entries, another standby. */
	pair_enter_many(&one, 1);
	survivor_fork();
	pair_wait(&one, &one.partners, 2);
	pair_wait(&one, &one.pair.roster.uncovered, 0);
	survivor_kill();
	pair_wait(&one, &one.partings, 2);
	assert_int_equal(one.failovers, 1);
}

/* It died between the owner word and the bell. */
static void
what_was_ours_already_is_served(void **state)
{
	(void)state;
	survivor_open(4);
	survivor_give();
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&survivor_connection(i)->view.rec->owner, 1);
	survivor_inherit();
	assert_int_equal(one.pair.roster.connections, 4);
	assert_int_equal(one.moved, 5);
}

/* It died between closing an entry and telling us, or after its record was
 * in use again. */
static void
what_was_closed_is_closed(void **state)
{
	struct handoff__roster_entry *closed, *reused;
	uint32_t slot;

	(void)state;
	survivor_open(4);
	survivor_give();
	closed = survivor_connection(1);
	reused = survivor_connection(2);
	slot = closed->slot;
	atomic_store(&closed->view.rec->owner, 0);
	reused->view.rec->id = 4711;
	survivor_inherit();
	assert_int_equal(one.pair.roster.connections, 2);
	assert_int_equal(one.pair.roster.held, 0);
	assert_int_equal(one.closing, 2);
	assert_int_equal(one.discarded, 0);
	assert_int_equal(closed->id, 0);
	assert_int_equal(reused->id, 0);
	/* The record that was in use again is an orphan; both are free. */
	assert_int_equal(one.pair.survival.orphans, 1);
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->slot, slot);
}

static bool
vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__roster_entry *e =
		handoff__roster_at(arg, segment, slot);

	return e && e->id == 0;
}

/* Connections that it had accepted and we never got a copy of died with it;
 * their records must not be lost. */
static void
orphans_are_free_again(void **state)
{
	uint32_t segment, slot;
	struct handoff__record *rec;

	(void)state;
	survivor_open(4);
	survivor_give();
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(
			handoff__arena_alloc(&one.pair.arena, DEAD, vacant,
				&one.pair.roster, &segment, &slot),
			0);
		rec = handoff__arena_record(&one.pair.arena, segment, slot);
		rec->kind = i == 4 ? HANDOFF__EXTRA : HANDOFF__CONNECTION;
		/* the first had no number yet, or no longer */
		handoff__record_set_id(rec, 1000 * i);
	}
	survivor_inherit();
	assert_int_equal(one.pair.survival.orphans, 5);
	assert_int_equal(one.orphans, 3);
	assert_int_equal(one.pair.survival.entries, 5);
	for (slot = 0; slot < HANDOFF__SLOTS; slot++)
		assert_int_not_equal(
			handoff__arena_record(&one.pair.arena, 0, slot)->owner,
			DEAD);
}

/* Of the file, where looking makes no page. */
static void
assert_cleared(const struct handoff__segment *seg, const void *from, size_t len)
{
	unsigned char *bytes = malloc(len);

	assert_non_null(bytes);
	assert_int_equal(pread(seg->fd, bytes, len,
				 (const unsigned char *)from - seg->base),
		len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], 0);
	free(bytes);
}

static void
assert_free_and_clear(const struct handoff__segment *seg, uint32_t slot)
{
	assert_cleared(
		seg, handoff__segment_record(seg, slot), seg->geo.stride);
	assert_cleared(seg, handoff__segment_buffers(seg, slot),
		seg->geo.buffer_stride);
}

static void
write_secrets(const struct handoff__view *view)
{
	memcpy(view->rx, "secret", 6);
	memcpy(view->tx, "secret", 6);
	view->rec->touched = 1;
}

/* It was about to free a record, and died before anything but the id was
 * cleared: that entry has ended, nobody goes on with the rest of it. */
static void
half_cleared_record_is_no_connection(void **state)
{
	struct handoff__roster_entry *e;
	uint32_t slot;

	(void)state;
	survivor_open(4);
	survivor_give();
	e = survivor_connection(1);
	slot = e->slot;
	write_secrets(&e->view);
	handoff__record_mark(e->view.rec, HANDOFF__PENDING);
	handoff__record_set_id(e->view.rec, 0);
	survivor_inherit();
	assert_int_equal(one.pair.roster.connections, 3);
	assert_int_equal(one.closing, 1);
	assert_int_equal(one.pair.survival.entries, 4);
	assert_int_equal(one.pair.survival.orphans, 1);
	assert_int_equal(e->id, 0);
	assert_free_and_clear(one.pair.arena.segments[0], slot);
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->slot, slot);
}

/* Orphans are cleared, and so are the desks of the dead. */
static void
nothing_of_the_dead_is_left_in_the_arena(void **state)
{
	const struct handoff__segment *seg;
	struct handoff__view noted, dying, desk;
	uint32_t segment, slots[2];

	(void)state;
	survivor_open(4);
	survivor_give();
	seg = one.pair.arena.segments[0];
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			handoff__arena_alloc(&one.pair.arena, DEAD, vacant,
				&one.pair.roster, &segment, &slots[i]),
			0);
	handoff__view_make(&noted, seg, slots[0]);
	write_secrets(&noted);
	handoff__view_make(&dying, seg, slots[1]);
	write_secrets(&dying);
	dying.rec->touched = 0; /* it had no time to note it */
	handoff__record_mark(dying.rec, HANDOFF__IN_TURN);
	desk = dying;
	handoff__desk_buffers(&desk, handoff__desk_number((int)DEAD, 3));
	write_secrets(&desk);
	dying.rec->touched = 0;
	survivor_inherit();
	assert_int_equal(one.pair.survival.orphans, 2);
	assert_free_and_clear(seg, slots[0]);
	assert_free_and_clear(seg, slots[1]);
	assert_cleared(seg, desk.rx, seg->geo.buffer_stride);
}

/* Arms a list over the first connections, as the dead peer would have. */
static struct handoff__group_list *
arm_group(unsigned count)
{
	struct handoff__group group;

	assert_true(handoff__group_begin(
		&group, handoff__arena_commons(&one.pair.arena), DEAD));
	for (unsigned i = 0; i < count; i++) {
		struct handoff__roster_entry *e = survivor_connection(i);
		struct handoff_conn txn;

		handoff__txn_begin(&txn, &e->view);
		txn.next->flags |= HANDOFF__OPENED;
		handoff__group_add(&group, &e->view, e->segment, e->slot,
			txn.next->state_len);
	}
	group.list->count = group.count;
	atomic_store(&group.list->step, HANDOFF__GROUP_ARMED);
	return group.list;
}

/* It died between the commit of several entries and their flips. */
static void
what_was_committed_together_is_finished(void **state)
{
	(void)state;
	survivor_open(4);
	survivor_give();
	arm_group(3);
	survivor_connection(0)->view.rec->sequence++;
	survivor_inherit();
	assert_int_equal(one.pair.survival.finished, 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			handoff__record_commit(survivor_connection(i)->view.rec)
				->flags,
			i < 3 ? HANDOFF__OPENED : 0);
	assert_int_equal(one.pair.roster.connections, 4);
}

static void
damaged_commit_of_several_is_ignored(void **state)
{
	(void)state;
	survivor_open(4);
	survivor_give();
	arm_group(3)->items[2].slot = 999;
	survivor_inherit();
	assert_int_equal(one.pair.survival.finished, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			handoff__record_commit(survivor_connection(i)->view.rec)
				->flags,
			0);
	assert_int_equal(one.pair.roster.connections, 4);
}

static void
damaged_record_ends_one_connection(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	survivor_open(4);
	survivor_give();
	e = survivor_connection(2);
	atomic_store(&e->view.rec->tx_tail, 1000);
	survivor_inherit();
	assert_int_equal(one.pair.survival.closed, 1);
	assert_int_equal(one.discarded, 1);
	assert_int_equal(e->id, 0);
	assert_int_equal(one.pair.roster.connections, 3);
	assert_int_equal(one.moved, 5);
	assert_true(one.pair.serving);
}

/* A listener has no stream: nothing of its record is checked. */
static void
listener_is_kept_whatever_its_record_says(void **state)
{
	struct handoff__roster_entry *e = NULL;

	(void)state;
	survivor_open(0);
	survivor_give();
	e = handoff__roster_next(&one.pair.roster, NULL);
	handoff__record_mark(e->view.rec, HANDOFF__IN_TURN);
	e->view.rec->tx_tail = 99;
	survivor_inherit();
	assert_int_equal(one.pair.survival.entries, 1);
	assert_int_equal(one.discarded, 0);
	assert_true(e->mine);
}

/* It died in the middle of our give to it. */
static void
death_during_a_give_ends_it(void **state)
{
	(void)state;
	survivor_open(5);
	survivor_fork();
	pair_wait(&one, &one.partners, 1);
	pair_run(&one, NULL);
	pair_begin(&one);
	survivor_inherit();
	assert_int_equal(one.given, 1);
	assert_true(one.pair.serving);
	assert_int_equal(one.pair.roster.connections, 5);
	assert_int_equal(one.pair.roster.held, 0);
	assert_false(handoff__pair_moving(&one.pair));
}

/* It owned some connections of its own while we served. */
static void
death_of_one_that_does_not_serve_changes_no_role(void **state)
{
	(void)state;
	survivor_open(5);
	survivor_give();
	assert_int_equal(handoff__pair_take(&one.pair, HANDOFF__HOME), 0);
	pair_wait(&one, &one.given, 2);
	assert_true(one.pair.serving);
	assert_int_equal(one.pair.roster.connections, 0);
	survivor_inherit();
	assert_int_equal(one.failovers, 1);
	assert_false(one.pair.survival.serving);
	assert_int_equal(one.pair.survival.entries, 5);
	assert_int_equal(one.pair.roster.connections, 5);
	assert_int_equal(handoff__pair_generation(&one.pair), 3);
	assert_false(handoff__pair_away(&one.pair));
}

static void
nothing_is_taken_while_a_child_of_the_dead_lives(void **state)
{
	int life[2];

	(void)state;
	survivor_open(3);
	survivor_give();
	assert_int_equal(pipe2(life, O_CLOEXEC | O_NONBLOCK), 0);
	handoff__death_watch_children(&one.pair, life[0]);
	survivor_kill();
	while (one.pair.pidfd >= 0 || one.pair.link.fd >= 0) {
		assert_true(handoff__loop_dispatch(&one.loop, 1000) >= 0);
		handoff__pair_proceed(&one.pair);
	}
	pair_run(&one, NULL);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_APART);
	assert_int_equal(one.pair.roster.owned, 0);
	assert_int_equal(one.partings, 0);
	close(life[1]);
	pair_wait(&one, &one.partings, 1);
	assert_int_equal(one.pair.survival.entries, 4);
	assert_int_equal(one.pair.life, -1);
}

static void
what_was_lent_is_closed_after_the_death(void **state)
{
	int fds[HANDOFF__LEND_MAX + 1];

	(void)state;
	for (int i = 0; i < HANDOFF__LEND_MAX + 1; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		handoff__loan_keep(&two.pair, fds[i]);
	}
	/* Nobody may lend without end. */
	assert_int_equal(two.pair.nborrowed, HANDOFF__LEND_MAX);
	assert_int_equal(fcntl(fds[HANDOFF__LEND_MAX], F_GETFD), -1);
	handoff__loan_return(&two.pair);
	assert_int_equal(two.pair.nborrowed, 0);
	handoff__loan_fini(&two.pair);
	for (int i = 0; i < HANDOFF__LEND_MAX; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(what_was_lent_is_closed_after_the_death),
		side_test(nothing_is_taken_while_a_child_of_the_dead_lives),
		side_test(survivor_owns_and_serves_everything),
		side_test(what_was_ours_already_is_served),
		side_test(what_was_closed_is_closed),
		side_test(orphans_are_free_again),
		side_test(half_cleared_record_is_no_connection),
		side_test(nothing_of_the_dead_is_left_in_the_arena),
		side_test(what_was_committed_together_is_finished),
		side_test(damaged_commit_of_several_is_ignored),
		side_test(damaged_record_ends_one_connection),
		side_test(listener_is_kept_whatever_its_record_says),
		side_test(death_during_a_give_ends_it),
		side_test(death_of_one_that_does_not_serve_changes_no_role),
	};

	return cmocka_run_group_tests_name("survive", tests, NULL, NULL);
}
