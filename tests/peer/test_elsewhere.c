/* SPDX-License-Identifier: MIT */
/*
 * Entries that leave for another host: their owner words, and records for
 * those that come. `two` is the carrier.
 */
#include "peer/fixture.h"

#include "record/batch.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int
carrier_setup(void **state)
{
	int err = side_setup(state);

	if (err < 0)
		return err;
	side_carries(&two);
	pair_own(&one);
	pair_join(&one, &two);
	return 0;
}

#define carrier_test(f)                                                        \
	cmocka_unit_test_setup_teardown(f, carrier_setup, pair_finish)

/* The first connection, taken by the carrier. */
static struct handoff__roster_entry *
take_one(void)
{
	struct handoff__roster_entry *e = NULL;

	pair_fill(&one, &two, 3);
	while ((e = handoff__roster_next(&two.pair.roster, e)) &&
		e->kind != HANDOFF__CONNECTION)
		;
	assert_non_null(e);
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	pair_run(&one, &two);
	assert_true(e->mine);
	return e;
}

static void
word_goes_and_returns(void **state)
{
	struct handoff__roster_entry *e;
	uint32_t slot = 99;

	(void)state;
	e = take_one();
	assert_false(handoff__entry_elsewhere(e, &slot));
	assert_false(handoff__pair_return(&two.pair, e));
	assert_true(handoff__pair_send_away(&two.pair, e, 5));
	assert_true(handoff__entry_elsewhere(e, &slot));
	assert_int_equal(slot, 5);
	assert_int_equal(e->view.rec->owner, handoff__owner_elsewhere(5));
	assert_true(e->mine);
	/* it is in a batch already, and cannot be given */
	assert_false(handoff__pair_send_away(&two.pair, e, 6));
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 0);
	assert_true(e->mine);
	assert_true(handoff__pair_return(&two.pair, e));
	assert_int_equal(e->view.rec->owner, two.pair.place);
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	pair_run(&one, &two);
	assert_true(handoff__entry_accepted(&two.pair, e));
	pair_assert_one_owner(&one, &two);
}

static void
what_is_not_its_own_does_not_leave(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	e = take_one();
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	assert_false(handoff__pair_send_away(&two.pair, e, 0));
	pair_run(&one, &two);
	assert_false(handoff__pair_send_away(&two.pair, e, 0));
	assert_false(handoff__pair_return(&two.pair, e));
}

/* Neither beats nor lost messages touch it. */
static void
it_is_left_alone(void **state)
{
	struct handoff__roster_entry *e, *copy;
	unsigned healths;

	(void)state;
	e = take_one();
	assert_true(handoff__pair_send_away(&two.pair, e, 1));
	copy = pair_find(&one, e);
	healths = one.healths + two.healths;
	for (int i = 0; i < 3; i++) {
		one.pair.pulse.due = one.pair.noted = true;
		two.pair.pulse.due = two.pair.noted = true;
		pair_run(&one, &two);
	}
	assert_int_equal(one.healths + two.healths, healths);
	assert_ptr_equal(pair_find(&one, e), copy);
	assert_false(copy->mine);
	assert_true(e->mine);
	/* at its end the copy goes, too */
	handoff__pair_end(&two.pair, e);
	pair_run(&two, &one);
	assert_null(pair_find(&one, e));
	assert_int_equal(one.pair.roster.held, 0);
	assert_int_equal(one.pair.roster.owned, 4);
}

/* A broken link is renewed, and the batch is as it was. */
static void
it_survives_a_new_link(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	e = take_one();
	assert_true(handoff__pair_send_away(&two.pair, e, 1));
	shutdown(one.pair.link.fd, SHUT_RDWR);
	pair_run(&one, &two);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_APART);
	for (int i = 0; i < 100 && one.partners < 2; i++) {
		handoff__loop_dispatch(&one.loop, 20);
		pair_run(&one, &two);
	}
	assert_int_equal(one.partners, 2);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
	assert_true(e->mine);
	assert_int_equal(e->copy, HANDOFF__COPY_HELD);
	assert_int_equal(one.pair.roster.held, 1);
	assert_int_equal(one.pair.roster.owned, 4);
	assert_true(handoff__pair_return(&two.pair, e));
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	pair_run(&one, &two);
	pair_assert_one_owner(&one, &two);
}

static struct handoff__geometry
geometry(uint32_t state_size, uint32_t version, uint32_t size)
{
	struct handoff__geometry geo;

	assert_int_equal(
		handoff__geometry_make(&geo, state_size, size, size), 0);
	geo.state_version = version;
	return geo;
}

/* There is room in what is here. */
static void
room_is_here(void **state)
{
	struct handoff__geometry geo = geometry(32, 1, 4096);

	(void)state;
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1000), 0);
	assert_int_equal(two.rooms, 0);
}

/* Only the owner of the board adds segments. */
static void
owner_makes_room(void **state)
{
	struct handoff__geometry geo = geometry(32, 1, 4096);

	(void)state;
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1500), 1);
	assert_int_equal(two.pair.arena.count, 1);
	pair_run(&one, &two);
	assert_int_equal(two.rooms, 1);
	assert_int_equal(two.room, 0);
	assert_int_equal(one.pair.arena.count, 2);
	assert_int_equal(two.pair.arena.count, 2);
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1500), 0);
	/* of other sizes, and of another version of the state */
	geo = geometry(64, 2, 8192);
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1), 1);
	pair_run(&one, &two);
	assert_int_equal(two.room, 0);
	assert_int_equal(one.pair.arena.segments[2]->geo.state_version, 2);
	assert_int_equal(two.pair.arena.segments[2]->geo.rx_size, 8192);
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1), 0);
	/* its own records are not among them */
	pair_fill(&one, &two, 4);
	assert_int_equal(one.pair.roster.entries[2] != NULL, 0);
}

static void
room_has_an_end(void **state)
{
	struct handoff__geometry geo = geometry(32, 1, 4096);

	(void)state;
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1u << 20), 1);
	pair_run(&one, &two);
	assert_int_equal(two.rooms, 1);
	assert_int_equal(two.room, -EINVAL);
	geo.state_size = ~0u;
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 1), 1);
	pair_run(&one, &two);
	assert_int_equal(two.room, -EINVAL);
	assert_int_equal(one.pair.arena.count, 1);
}

static void
carrier_that_owns_grows_by_itself(void **state)
{
	struct handoff__geometry geo = geometry(32, 1, 4096);

	(void)state;
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&one, &two);
	assert_true(two.pair.serving);
	assert_int_equal(handoff__pair_room(&two.pair, &geo, 2000), 0);
	pair_run(&two, &one);
	assert_int_equal(two.pair.arena.count, 2);
	assert_int_equal(one.pair.arena.count, 2);
}

/* One that does not own adds nothing, whatever it enters. */
static void
carrier_that_does_not_own_runs_out(void **state)
{
	int err = 0, fd;
	unsigned count = 0;

	(void)state;
	support_need_descriptors(2400);
	while (count < 2000) {
		fd = dup(0);
		assert_true(fd >= 0);
		if (!handoff__pair_enter(
			    &two.pair, fd, HANDOFF__CONNECTION, NULL, &err))
			break;
		count++;
	}
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(count, 1024);
	assert_int_equal(two.pair.arena.count, 1);
	pair_run(&one, &two);
}

/* Records without an entry: their carrier had died before it sent copies. */
static void
records_of_a_batch_are_forgotten(void **state)
{
	struct handoff__roster_entry *e;
	struct handoff__record *rec;

	(void)state;
	e = take_one();
	rec = handoff__arena_record(&two.pair.arena, 0, 700);
	handoff__owner_set(&rec->owner, handoff__owner_elsewhere(7));
	assert_true(handoff__pair_send_away(&two.pair, e, 7));
	assert_int_equal(handoff__pair_forget_batch(&two.pair, 7), 1);
	assert_int_equal(rec->owner, 0);
	assert_int_equal(e->view.rec->owner, handoff__owner_elsewhere(7));
	assert_int_equal(handoff__pair_forget_batch(&two.pair, 6), 0);
}

static void
generations_only_grow(void **state)
{
	(void)state;
	handoff__pair_succeed(&two.pair, 40);
	assert_int_equal(handoff__pair_generation(&one.pair), 40);
	handoff__pair_succeed(&two.pair, 39);
	assert_int_equal(handoff__pair_generation(&one.pair), 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		carrier_test(word_goes_and_returns),
		carrier_test(what_is_not_its_own_does_not_leave),
		carrier_test(it_is_left_alone),
		carrier_test(it_survives_a_new_link),
		carrier_test(room_is_here),
		carrier_test(owner_makes_room),
		carrier_test(room_has_an_end),
		carrier_test(carrier_that_owns_grows_by_itself),
		carrier_test(carrier_that_does_not_own_runs_out),
		carrier_test(records_of_a_batch_are_forgotten),
		carrier_test(generations_only_grow),
	};

	return cmocka_run_group_tests_name("elsewhere", tests, NULL, NULL);
}
