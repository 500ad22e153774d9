/* SPDX-License-Identifier: MIT */
/*
 * How a damaged record is detected, and positions that are repaired from the
 * kernel's counters, or refused.
 */
#include "record/fixture.h"

#include "record/snapshot.h"

#include <errno.h>
#include <string.h>

/* Damages one field of a sound record with input, output and origins that
 * are not 0. */
typedef void damage_fn(
	struct handoff__record *rec, struct handoff__commit *current);

static void
consumed_more_than_received(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->rx_tail = rec->rx_head + 1;
}

static void
holds_more_input_than_fits(
	struct handoff__record *rec, struct handoff__commit *c)
{
	rec->rx_head = c->rx_tail + SIZE + 1;
}

static void
input_begins_after_its_tail(
	struct handoff__record *rec, struct handoff__commit *c)
{
	(void)rec;
	c->rx_origin = c->rx_tail + 1;
}

static void
input_ends_behind_its_buffer(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->rx_origin = rec->rx_head - 2 * SIZE - 1;
}

static void
sent_more_than_produced(struct handoff__record *rec, struct handoff__commit *c)
{
	rec->tx_tail = c->tx_head + 1;
}

static void
holds_more_output_than_fits(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->tx_head = rec->tx_tail + SIZE + 1;
}

static void
output_begins_after_its_tail(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->tx_origin = rec->tx_tail + 1;
}

static void
means_the_other_commit(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->sequence += 1;
}

static void
means_a_commit_of_another_turn(
	struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->sequence += 2;
}

static void
received_nothing(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->rx_head = 0;
}

static void
received_all_there_is(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->rx_head = UINT64_MAX;
}

static void
produced_nothing(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)rec;
	c->tx_head = 0;
}

static void
is_about_to_wrap(struct handoff__record *rec, struct handoff__commit *c)
{
	rec->rx_head += UINT64_C(1) << 63;
	c->rx_tail += UINT64_C(1) << 63;
	c->rx_origin += UINT64_C(1) << 63;
}

static void
damaged_record_is_not_ok(void **state)
{
	static damage_fn *const damages[] = {consumed_more_than_received,
		holds_more_input_than_fits, input_begins_after_its_tail,
		input_ends_behind_its_buffer, sent_more_than_produced,
		holds_more_output_than_fits, output_begins_after_its_tail,
		means_the_other_commit, means_a_commit_of_another_turn,
		received_nothing, received_all_there_is, produced_nothing,
		is_about_to_wrap};

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct fixture f;
		struct handoff__record before;

		record_open(&f, 0);
		record_receive_fill(&f, 'i', SIZE);
		record_handle(&f, SIZE, "0123456789", 10);
		record_receive_fill(&f, 'i', SIZE);
		handoff__record_sent(&f.view, 10);
		record_handle(&f, 10, "abcdef", 6);
		handoff__record_sent(&f.view, 2);
		/* Far enough from 0 for every damage to be one. */
		f.rec->commit[0].rx_origin += 3 * SIZE;
		f.rec->commit[0].rx_tail += 3 * SIZE;
		f.rec->commit[1].rx_origin += 3 * SIZE;
		f.rec->commit[1].rx_tail += 3 * SIZE;
		f.rec->rx_head += 3 * SIZE;
		assert_true(handoff__record_ok(&f.view));
		before = *f.rec;
		damages[i](f.rec, &f.rec->commit[f.rec->sequence & 1]);
		if (handoff__record_ok(&f.view))
			fail_msg("damage %zu was not seen", i);
		*f.rec = before;
		assert_true(handoff__record_ok(&f.view));
		record_close(&f);
	}
}

/* The owner died between recv or send and noting it: the kernel knows. */
static void
stale_positions_are_repaired(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	record_begin_at(f.rec, 1000, 500);
	record_receive(&f, "abc", 3);
	record_handle(&f, 1, "0123", 4);
	handoff__record_sent(&f.view, 1);
	assert_int_equal(handoff__record_repair(&f.view, 3, 1), 0);
	memcpy(f.view.rx + 3, "de", 2); /* read, and never noted */
	assert_int_equal(handoff__record_repair(&f.view, 5, 1), 1);
	record_assert_input(&f, "bcde");
	record_assert_output(&f, "123");
	assert_int_equal(handoff__record_repair(&f.view, 5, 4), 1);
	record_assert_input(&f, "bcde");
	record_assert_output(&f, "");
	assert_int_equal(handoff__record_repair(&f.view, 5, 4), 0);
	record_close(&f);
}

/* What counts is the distance from the bases: positions given as counters are
 * too far, and so are counters that would do without the bases. */
static void
bases_are_part_of_every_repair(void **state)
{
	struct fixture f;
	struct handoff__record before;

	(void)state;
	record_open(&f, 0);
	record_begin_at(f.rec, 10 * SIZE, 20 * SIZE);
	assert_true(handoff__record_ok(&f.view));
	record_receive(&f, "abc", 3);
	record_handle(&f, 1, "0123", 4);
	handoff__record_sent(&f.view, 1);
	before = *f.rec;
	assert_int_equal(
		handoff__record_repair(&f.view, 10 * SIZE + 3, 1), -ERANGE);
	assert_int_equal(
		handoff__record_repair(&f.view, 3, 20 * SIZE + 1), -ERANGE);
	assert_int_equal(handoff__record_repair(&f.view, 2, 1), -ERANGE);
	assert_int_equal(handoff__record_repair(&f.view, 3, 0), -ERANGE);
	assert_memory_equal(&before, f.rec, sizeof(before));
	assert_int_equal(handoff__record_repair(&f.view, SIZE + 1, 4), 1);
	assert_int_equal(handoff__rx_head(f.rec), 11 * SIZE + 1);
	assert_int_equal(handoff__tx_tail(f.rec), 20 * SIZE + 4);
	record_close(&f);
}

/* It belongs to the same socket. */
static void
filled_record_has_the_bases_of_the_old(void **state)
{
	struct fixture from, to;
	struct handoff__snapshot snap;
	unsigned char bytes[2 * SIZE];

	(void)state;
	record_open(&from, 0);
	record_open(&to, 0);
	from.rec->id = 1;
	record_begin_at(from.rec, 1000, 500);
	record_receive(&from, "abc", 3);
	record_handle(&from, 1, "0123", 4);
	handoff__record_sent(&from.view, 1);
	assert_true(
		handoff__snapshot_take(&snap, &from.view, NULL, bytes, SIZE));
	handoff__record_fill(&to.view, from.rec, &snap, bytes);
	assert_int_equal(handoff__record_repair(&to.view, 3, 1), 0);
	assert_int_equal(handoff__record_repair(&to.view, 3, 3), 1);
	record_assert_input(&to, "bc");
	record_assert_output(&to, "3");
	record_close(&from);
	record_close(&to);
}

static void
impossible_repair_is_refused(void **state)
{
	static const uint64_t impossible[][2] = {{2, 1}, {0, 1}, {3, 0}, {3, 5},
		{3, UINT64_MAX}, {UINT64_MAX, 1}, {SIZE + 2, 1}};
	struct fixture f;
	struct handoff__record before;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "abc", 3);
	record_handle(&f, 1, "0123", 4);
	handoff__record_sent(&f.view, 1);
	before = *f.rec;
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
		assert_int_equal(handoff__record_repair(&f.view,
					 impossible[i][0], impossible[i][1]),
			-ERANGE);
	assert_memory_equal(&before, f.rec, sizeof(before));
	/* The most that there was room for. */
	assert_int_equal(handoff__record_repair(&f.view, SIZE + 1, 4), 1);
	assert_int_equal(record_room(&f), 0);
	record_close(&f);
}

/* The record says that input lies so far up in its buffer that what the
 * kernel says was read after it can't have been put there. */
static void
repair_stays_within_the_buffer(void **state)
{
	struct fixture f;
	struct handoff__commit *c;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "abc", 3);
	f.rec->rx_head += 2 * SIZE;
	c = &f.rec->commit[f.rec->sequence & 1];
	c->rx_tail = 2 * SIZE;
	c->rx_origin = 3;
	assert_true(handoff__record_ok(&f.view));
	assert_int_equal(handoff__record_repair(&f.view, 2 * SIZE + 3, 0), 0);
	assert_int_equal(
		handoff__record_repair(&f.view, 2 * SIZE + 4, 0), -ERANGE);
	assert_true(handoff__record_ok(&f.view));
	record_close(&f);
}

/* What only the spare commit says does not count. */
static void
spare_commit_may_be_anything(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "abc", 3);
	record_handle(&f, 1, "xy", 2);
	memset(&f.rec->commit[(f.rec->sequence & 1) ^ 1], 0xff,
		sizeof(struct handoff__commit));
	assert_true(handoff__record_ok(&f.view));
	record_assert_output(&f, "xy");
	record_assert_input(&f, "bc");
	record_close(&f);
}

static void
state_longer_than_its_room_is_damage(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 64);
	assert_true(handoff__record_ok(&f.view));
	f.rec->commit[0].state_len = 65;
	assert_false(handoff__record_ok(&f.view));
	record_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(state_longer_than_its_room_is_damage),
		handoff_test(damaged_record_is_not_ok),
		handoff_test(stale_positions_are_repaired),
		handoff_test(bases_are_part_of_every_repair),
		handoff_test(filled_record_has_the_bases_of_the_old),
		handoff_test(impossible_repair_is_refused),
		handoff_test(repair_stays_within_the_buffer),
		handoff_test(spare_commit_may_be_anything),
	};

	return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
