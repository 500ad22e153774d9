/* SPDX-License-Identifier: MIT */
/*
 * A carrier dies with entries in a batch: the batch's word says what becomes of
 * each, and what it does not say waits for the next carrier. The carrier is a
 * child process; the test writes the words that it might have left.
 */
#include "peer/survivor.h"

#include "peer/doubt.h"
#include "peer/quiet.h"
#include "peer/status.h"
#include "record/batch.h"
#include "record/handling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELD 4 /* connections of the carrier */

static struct handoff__roster_entry *held[HELD];

static struct handoff__batches *
batches(void)
{
	return handoff__batches_of(&one.pair.arena);
}

/* A server and a carrier, which owns some of its connections. */
static void
open_both(void)
{
	survivor_open(HELD + 1);
	survivor_fork_carrier();
	while (one.pair.roster.uncovered > 0)
		pair_run(&one, NULL);
	for (unsigned i = 0; i < HELD; i++)
		held[i] = survivor_connection(i);
	assert_int_equal(handoff__quiet_offer(&one.pair, held, HELD), HELD);
	for (unsigned i = 0; i < HELD; i++) {
		while (held[i]->view.rec->owner != DEAD)
			pair_run(&one, NULL);
	}
}

static void
assert_status_says(unsigned count)
{
	struct handoff__buf buf = {0};
	char wanted[64];

	handoff__status_json(&one.pair, &buf);
	snprintf(wanted, sizeof(wanted), "\"in_doubt\":%u", count);
	assert_non_null(strstr(buf.data, wanted));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	handoff__status_text(&one.pair, &buf);
	snprintf(wanted, sizeof(wanted), "%u connection", count);
	assert_true((strstr(buf.data, "in doubt") != NULL) == (count > 0));
	assert_true(count == 0 || strstr(buf.data, wanted));
	free(buf.data);
}

/* All that the carrier has is in a batch of that way. */
static struct handoff__batch
open_batch(uint32_t way)
{
	struct handoff__batch batch = {.count = HELD, .id = 77, .peer = 1};

	open_both();
	assert_int_equal(handoff__batch_open(batches(), way, &batch), 0);
	for (unsigned i = 0; i < HELD; i++)
		handoff__owner_set(&held[i]->view.rec->owner,
			handoff__owner_elsewhere(batch.slot));
	return batch;
}

/* The carrier dies with such a batch, which is or is not decided. */
static struct handoff__batch
die_in(uint32_t way, enum handoff__batch_state is)
{
	struct handoff__batch batch = open_batch(way);

	assert_status_says(0);
	if (is == HANDOFF__BATCH_COMMITTED)
		handoff__batch_commit(batches(), batch.slot, batch.id);
	else if (is == HANDOFF__BATCH_ABORTED)
		handoff__batch_abort(batches(), batch.slot, batch.id);
	survivor_inherit();
	return batch;
}

static void
assert_claimed(void)
{
	for (unsigned i = 0; i < HELD; i++) {
		assert_true(held[i]->mine);
		assert_int_equal(held[i]->view.rec->owner, one.pair.place);
		assert_true(held[i]->view.rec->touched & HANDOFF__UNFINISHED);
	}
	assert_int_equal(one.pair.roster.connections, HELD + 1);
	assert_int_equal(one.pair.survival.entries, HELD);
	assert_int_equal(one.failovers, 1);
	assert_int_equal(one.discarded + one.orphans, 0);
}

static void
assert_ended(void)
{
	for (unsigned i = 0; i < HELD; i++) {
		assert_int_equal(held[i]->id, 0);
		assert_int_equal(held[i]->view.rec->owner, 0);
		assert_int_equal(held[i]->view.rec->id, 0);
	}
	assert_int_equal(one.pair.roster.connections, 1);
	assert_int_equal(one.pair.roster.held, 0);
	assert_int_equal(one.pair.survival.away, HELD);
	assert_int_equal(one.pair.survival.entries, 0);
	/* without a shutdown, and without a word */
	assert_int_equal(one.closing, HELD);
	assert_int_equal(one.discarded + one.orphans + one.failovers, 0);
}

static void
undecided_ones_that_leave_stay(void **state)
{
	struct handoff__batch batch;

	(void)state;
	batch = die_in(HANDOFF__BATCH_OUT, HANDOFF__BATCH_OPEN);
	assert_claimed();
	assert_int_equal(handoff__batch_commit(batches(), batch.slot, 77),
		HANDOFF__BATCH_ABORTED);
}

static void
committed_ones_have_left(void **state)
{
	struct handoff__batch batch;

	(void)state;
	batch = die_in(HANDOFF__BATCH_OUT, HANDOFF__BATCH_COMMITTED);
	assert_ended();
	/* the next carrier has to say so again */
	assert_true(handoff__batch_read(batches(), batch.slot, &batch));
}

static void
aborted_ones_stay(void **state)
{
	(void)state;
	die_in(HANDOFF__BATCH_OUT, HANDOFF__BATCH_ABORTED);
	assert_claimed();
}

static void
committed_ones_have_come(void **state)
{
	(void)state;
	die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_COMMITTED);
	assert_claimed();
}

static void
aborted_ones_have_not_come(void **state)
{
	(void)state;
	die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_ABORTED);
	assert_ended();
}

static void
assert_in_doubt(const struct handoff__batch *batch)
{
	for (unsigned i = 0; i < HELD; i++) {
		assert_false(held[i]->mine);
		assert_int_not_equal(held[i]->id, 0);
		assert_int_equal(held[i]->view.rec->owner,
			handoff__owner_elsewhere(batch->slot));
	}
	assert_int_equal(one.pair.roster.held, HELD);
	assert_int_equal(one.pair.roster.connections, 1);
}

static void
undecided_ones_that_come_are_in_doubt(void **state)
{
	struct handoff__batch batch;

	(void)state;
	batch = die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_OPEN);
	assert_in_doubt(&batch);
	assert_int_equal(one.pair.survival.in_doubt, HELD);
	assert_int_equal(one.closing, 0);
	assert_status_says(HELD);
	/* nor does a beat touch them */
	one.pair.pulse.due = one.pair.noted = true;
	pair_run(&one, NULL);
	assert_in_doubt(&batch);
}

/* With this process they would end, until another carrier has copies. */
static void
stop_would_lose_them(void **state)
{
	char text[HANDOFF_TEXT_MAX] = "";

	(void)state;
	open_batch(HANDOFF__BATCH_IN);
	assert_int_equal(handoff__pair_doubt(&one.pair, text), 0);
	survivor_inherit();
	assert_int_equal(handoff__pair_doubt(&one.pair, text), HELD);
	assert_string_equal(text,
		"4 connections of batch 000000000000004d are in doubt and "
		"would be lost: start handoff-ferry here again, which asks the "
		"other host");
	side_carries(&two);
	pair_join(&one, &two);
	assert_int_equal(handoff__pair_doubt(&one.pair, text), 0);
}

/* One that is no carrier, or has no room for them, does not have them. */
static void
stop_would_lose_what_nobody_has(void **state)
{
	char text[HANDOFF_TEXT_MAX] = "";

	(void)state;
	die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_OPEN);
	pair_join(&one, &two);
	assert_int_equal(handoff__pair_doubt(&one.pair, text), HELD);
	side_close(&two);
	pair_run(&one, NULL);
	side_carries(&two);
	pair_join(&one, &two);
	handoff__roster_set_copy(
		&one.pair.roster, held[0], HANDOFF__COPY_REFUSED);
	assert_int_equal(handoff__pair_doubt(&one.pair, text), 1);
	assert_non_null(strstr(text, "1 connection of batch"));
}

/* The next one is in this process: it finds them in its own hands. */
static void
next_carrier_has_them(void **state)
{
	struct handoff__roster_entry *list[HELD];
	struct handoff__batch batch;
	unsigned n = 0;

	(void)state;
	batch = die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_OPEN);
	side_carries(&two);
	pair_join(&one, &two);
	assert_in_doubt(&batch);
	assert_int_equal(two.pair.roster.owned, HELD);
	assert_int_equal(two.pair.roster.uncovered, 0);
	assert_int_equal(one.pair.roster.uncovered, 0);
	for (unsigned i = 0; i < HELD; i++) {
		uint32_t slot;

		list[n] = pair_find(&two, held[i]);
		assert_non_null(list[n]);
		assert_true(pair_same_file(list[n]->fd, held[i]->fd));
		assert_true(list[n]->mine);
		assert_true(handoff__entry_elsewhere(list[n], &slot));
		assert_int_equal(slot, batch.slot);
		n++;
	}
	/* the other host says that they have come */
	handoff__batch_commit(batches(), batch.slot, 77);
	for (unsigned i = 0; i < n; i++)
		assert_true(handoff__pair_return(&two.pair, list[i]));
	assert_int_equal(handoff__pair_offer_list(&two.pair, list, n), n);
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.connections, HELD + 1);
	pair_assert_one_owner(&one, &two);
	assert_status_says(0);
}

static void
next_carrier_ends_them(void **state)
{
	struct handoff__batch batch;

	(void)state;
	batch = die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_OPEN);
	side_carries(&two);
	pair_join(&one, &two);
	handoff__batch_abort(batches(), batch.slot, 77);
	for (unsigned i = 0; i < HELD; i++)
		handoff__pair_end(&two.pair, pair_find(&two, held[i]));
	pair_run(&two, &one);
	assert_int_equal(one.pair.roster.held, 0);
	assert_int_equal(two.pair.roster.owned, 0);
	assert_int_equal(two.pair.roster.held, 2);
	assert_int_equal(handoff__pair_forget_batch(&two.pair, batch.slot), 0);
}

/* A server is no carrier: it gets nothing of them. */
static void
another_server_does_not_have_them(void **state)
{
	struct handoff__batch batch;

	(void)state;
	batch = die_in(HANDOFF__BATCH_IN, HANDOFF__BATCH_OPEN);
	pair_join(&one, &two);
	assert_in_doubt(&batch);
	assert_int_equal(two.pair.roster.owned, 0);
	assert_int_equal(two.pair.roster.held, 2);
}

/* Records of the dead carrier that never came here: its batch says whether they
 * can be freed. */
static void
records_without_an_entry(void **state)
{
	struct handoff__record *rec;
	struct handoff__batch in = {.id = 1}, out = {.id = 2};

	(void)state;
	open_both();
	assert_int_equal(
		handoff__batch_open(batches(), HANDOFF__BATCH_IN, &in), 0);
	assert_int_equal(
		handoff__batch_open(batches(), HANDOFF__BATCH_OUT, &out), 0);
	rec = handoff__arena_record(&one.pair.arena, 0, 900);
	handoff__owner_set(&rec->owner, handoff__owner_elsewhere(in.slot));
	handoff__owner_set(&rec[0].owner, handoff__owner_elsewhere(in.slot));
	handoff__owner_set(
		&handoff__arena_record(&one.pair.arena, 0, 901)->owner,
		handoff__owner_elsewhere(out.slot));
	handoff__owner_set(
		&handoff__arena_record(&one.pair.arena, 0, 902)->owner,
		handoff__owner_elsewhere(63));
	survivor_inherit();
	assert_int_equal(rec->owner, handoff__owner_elsewhere(in.slot));
	assert_int_equal(
		handoff__arena_record(&one.pair.arena, 0, 901)->owner, 0);
	assert_int_equal(
		handoff__arena_record(&one.pair.arena, 0, 902)->owner, 0);
	assert_int_equal(one.orphans, 0); /* they had no entry yet */
}

/* A batch that does not exist, or a slot that cannot: closed, and said. */
static void
damaged_words_end_one_connection(void **state)
{
	(void)state;
	open_both();
	handoff__owner_set(
		&held[0]->view.rec->owner, handoff__owner_elsewhere(12));
	handoff__owner_set(
		&held[1]->view.rec->owner, handoff__owner_elsewhere(0xffffff));
	survivor_inherit();
	assert_int_equal(held[0]->id, 0);
	assert_int_equal(held[1]->id, 0);
	assert_true(held[2]->mine);
	assert_true(held[3]->mine);
	assert_int_equal(one.pair.roster.connections, HELD - 1);
}

/* Slots that the dead one had taken and not opened yet are free again. */
static void
half_open_batches_are_freed(void **state)
{
	struct handoff__batch batch = {.id = 4};

	(void)state;
	open_both();
	for (unsigned i = 0; i < HANDOFF__BATCHES; i++)
		batches()->slots[i].word =
			HANDOFF__BATCH_OUT | HANDOFF__BATCH_WRITTEN;
	survivor_inherit();
	assert_int_equal(
		handoff__batch_open(batches(), HANDOFF__BATCH_OUT, &batch), 0);
}

/* The server dies: what the carrier has in a batch stays as it is, the rest is
 * held for the next server. */
static void
carrier_survives_its_server(void **state)
{
	struct handoff__roster_entry *e = NULL, *away = NULL;
	struct handoff__batch batch = {.id = 9};
	int told;
	pid_t pid;

	(void)state;
	side_carries(&one);
	one.owns = true;
	assert_int_equal(side_open(&one, NULL), 0);
	handoff__pair_started(&one.pair);
	pid = pair_child(one.config.dir, &told);
	pair_wait(&one, &one.partners, 1);
	pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, 3);
	while (one.pair.roster.uncovered > 0)
		pair_run(&one, NULL);
	pair_wait(&one, &one.partners, 1);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__HOME_SILENT), 0);
	pair_wait(&one, &one.given, 1);
	assert_int_equal(one.pair.roster.owned, 0);
	away = survivor_connection(0);
	assert_int_equal(handoff__pair_take_list(&one.pair, &away, 1), 0);
	while (!away->mine)
		pair_run(&one, NULL);
	assert_int_equal(
		handoff__batch_open(batches(), HANDOFF__BATCH_OUT, &batch), 0);
	assert_true(handoff__pair_send_away(&one.pair, away, batch.slot));
	/* the handler of one runs, and two have died in that of another */
	handoff__handler_enter(survivor_connection(1)->view.rec);
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(survivor_connection(2)->view.rec);
		handoff__handler_died(survivor_connection(2)->view.rec);
	}
	pair_kill(pid, told);
	pair_wait(&one, &one.partings, 1);
	assert_int_equal(one.discarded, 0);
	assert_int_equal(
		handoff__handler_deaths(survivor_connection(1)->view.rec), 1);
	assert_true(handoff__entry_poisoned(survivor_connection(2)));
	assert_true(one.pair.serving);
	assert_int_equal(one.pair.roster.owned, 4);
	assert_int_equal(
		away->view.rec->owner, handoff__owner_elsewhere(batch.slot));
	assert_int_equal(handoff__batch_commit(batches(), batch.slot, 9),
		HANDOFF__BATCH_COMMITTED);
	while ((e = handoff__roster_next(&one.pair.roster, e)))
		assert_true(e->mine);
	/* a server comes, and gets what can be given */
	pair_join(&one, &two);
	assert_int_equal(two.pair.roster.held, 4);
	pair_give(&one, &two, HANDOFF__HOME_SILENT);
	assert_int_equal(two.pair.roster.owned, 3);
	assert_int_equal(one.pair.roster.owned, 1);
	assert_false(handoff__pair_away(&two.pair));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(undecided_ones_that_leave_stay),
		side_test(committed_ones_have_left),
		side_test(aborted_ones_stay),
		side_test(committed_ones_have_come),
		side_test(aborted_ones_have_not_come),
		side_test(undecided_ones_that_come_are_in_doubt),
		side_test(stop_would_lose_them),
		side_test(stop_would_lose_what_nobody_has),
		side_test(next_carrier_has_them),
		side_test(next_carrier_ends_them),
		side_test(another_server_does_not_have_them),
		side_test(records_without_an_entry),
		side_test(damaged_words_end_one_connection),
		side_test(half_open_batches_are_freed),
		side_test(carrier_survives_its_server),
	};

	return cmocka_run_group_tests_name("in_doubt", tests, NULL, NULL);
}
