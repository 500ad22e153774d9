/* SPDX-License-Identifier: MIT */
/*
 * A peer without a service: how it meets one that has one, what it learns from
 * it, and what it takes from it and gives it. `two` is the carrier.
 */
#include "peer/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static int
carrier_setup(void **state)
{
	int err = side_setup(state);

	if (err == 0)
		side_carries(&two);
	return err;
}

#define carrier_test(f)                                                        \
	cmocka_unit_test_setup_teardown(f, carrier_setup, pair_finish)

/* `one` serves, the carrier is its standby. */
static void
open_both(void)
{
	pair_own(&one);
	pair_join(&one, &two);
	assert_int_equal(one.pair.partner, HANDOFF__PARTNER_READY);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
}

/* The carrier comes first, */
static void
open_alone(void)
{
	assert_int_equal(side_open(&two, NULL), 0);
	handoff__pair_started(&two.pair);
}

/* and then a server, which owns nothing yet. */
static void
join_server(void)
{
	assert_int_equal(side_open(&one, &two), 0);
	handoff__pair_started(&one.pair);
	pair_run(&one, &two);
}

/* The carrier has everything, of a server that is gone. */
static void
leave_all(void)
{
	open_both();
	pair_fill(&one, &two, 2);
	handoff__pair_leave(&one.pair);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	side_close(&one);
	pair_run(NULL, &two);
}

static void
it_learns_the_service(void **state)
{
	struct handoff__identity id;

	(void)state;
	one.service.state_version = 7;
	one.service.pass_size = 8192;
	one.config.config_hash = 99;
	open_both();
	assert_int_equal(two.known, 1);
	assert_true(handoff__pair_identity(&two.pair, &id));
	assert_string_equal(id.service, "test");
	assert_int_equal(id.state_size, 32);
	assert_int_equal(id.state_version, 7);
	assert_int_equal(id.input_size, 4096);
	assert_int_equal(id.output_size, 4096);
	assert_int_equal(id.pass_size, 8192);
	assert_int_equal(id.config_hash, 99);
	assert_true(one.pair.other.carrier);
	pair_fill(&one, &two, 5);
	assert_int_equal(two.pair.roster.held, 7);
	pair_assert_one_owner(&one, &two);
}

/* What the carrier accepts begins as the service's own would. */
static void
state_of_a_new_one_grows(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	open_both();
	e = pair_enter(&two, HANDOFF__CONNECTION);
	assert_int_equal(handoff__record_commit(e->view.rec)->state_len, 32);
	pair_close(&one, &two);
	one.service.state_grows = true;
	open_both();
	e = pair_enter(&two, HANDOFF__CONNECTION);
	assert_int_equal(handoff__record_commit(e->view.rec)->state_len, 0);
}

/* A program with a loop of its own replaces its states as a whole. */
static void
state_of_a_program_grows(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	one.config.streamless = true;
	open_both();
	e = pair_enter(&two, HANDOFF__CONNECTION);
	assert_int_equal(handoff__record_commit(e->view.rec)->state_len, 0);
}

/* Whether they do is the program's to say, also where there is an arena. */
static void
next_program_may_grow(void **state)
{
	struct handoff__identity id;

	(void)state;
	two.owns = true;
	open_both();
	assert_true(handoff__pair_identity(&two.pair, &id));
	assert_false(id.grows);
	side_close(&one);
	pair_run(NULL, &two);
	one.service.state_grows = true;
	pair_join(&two, &one);
	assert_true(handoff__pair_identity(&two.pair, &id));
	assert_true(id.grows);
}

/* As if it were alone: it may own what it finds without an owner. */
static void
server_that_joins_it_owns(void **state)
{
	struct handoff__identity id;

	(void)state;
	open_alone();
	assert_false(handoff__pair_identity(&two.pair, &id));
	assert_int_equal(handoff__pair_own(&two.pair, 1), -EINVAL);
	assert_int_equal(side_open(&one, &two), 0);
	assert_false(one.pair.other.serving);
	assert_int_equal(handoff__pair_own(&one.pair, 1), 0);
	handoff__pair_started(&one.pair);
	pair_run(&one, &two);
	assert_true(handoff__pair_identity(&two.pair, &id));
	assert_string_equal(id.service, "test");
	pair_fill(&one, &two, 3);
	assert_int_equal(two.pair.roster.held, 5);
}

/* Away from home it owns the board; the server then is its standby. */
static void
it_owns_as_soon_as_it_knows(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	two.owns = true;
	open_alone();
	join_server();
	assert_true(one.pair.other.serving);
	assert_true(two.pair.serving);
	assert_int_equal(one.pair.arena.count, 1);
	assert_int_equal(one.partners, 1);
	/* it makes records, and gives them */
	e = pair_enter(&two, HANDOFF__LISTENER);
	pair_run(&one, &two);
	pair_give(&two, &one, HANDOFF__HOME_SILENT);
	assert_true(one.pair.serving);
	assert_true(pair_find(&one, e)->mine);
}

/* It is told by the other host before any server is here. */
static void
it_is_told(void **state)
{
	struct handoff__identity id = {.service = "test",
		.state_size = 32,
		.state_version = 1,
		.input_size = 4096,
		.output_size = 4096};

	(void)state;
	assert_int_equal(side_open(&two, NULL), 0);
	assert_int_equal(handoff__pair_identify(&two.pair, &id), 0);
	assert_int_equal(handoff__pair_own(&two.pair, 12), 0);
	handoff__pair_started(&two.pair);
	assert_int_equal(handoff__pair_generation(&two.pair), 12);
	/* the same again, and another one */
	assert_int_equal(handoff__pair_identify(&two.pair, &id), 0);
	strcpy(id.service, "other");
	assert_int_equal(handoff__pair_identify(&two.pair, &id), -EPROTO);
	join_server();
	assert_int_equal(handoff__pair_generation(&one.pair), 12);
}

static void
impossible_services_are_refused(void **state)
{
	struct handoff__identity id = {.service = "test", .state_size = ~0u};

	(void)state;
	assert_int_equal(side_open(&two, NULL), 0);
	assert_int_equal(handoff__pair_identify(&two.pair, &id), -EINVAL);
	id.state_size = 1;
	id.service[0] = '\0';
	assert_int_equal(handoff__pair_identify(&two.pair, &id), -EINVAL);
	assert_false(handoff__pair_identity(&two.pair, &id));
}

static void
another_service_is_refused(void **state)
{
	(void)state;
	two.owns = true;
	open_both();
	pair_close(&one, &two);
	/* the carrier knows one, and a server of another one comes */
	assert_int_equal(side_open(&two, NULL), 0);
	assert_int_equal(
		handoff__pair_identify(&two.pair,
			&(struct handoff__identity){
				.service = "another", .state_size = 8}),
		0);
	handoff__pair_started(&two.pair);
	assert_int_equal(side_open(&one, &two), -EPROTO);
	assert_non_null(strstr(one.pair.error.text, "service another there"));
	assert_int_equal(two.refusals, 1);
}

static void
two_carriers_refuse_each_other(void **state)
{
	(void)state;
	side_carries(&one);
	assert_int_equal(side_open(&one, NULL), 0);
	handoff__pair_started(&one.pair);
	assert_int_equal(side_open(&two, &one), -EPROTO);
	assert_non_null(strstr(
		two.pair.error.text, "it is a ferry, and so is this peer"));
}

/* Its states are of any version: it only carries them. */
static void
versions_of_states_do_not_matter(void **state)
{
	(void)state;
	leave_all();
	assert_int_equal(two.pair.roster.owned, 4);
	/* an older program cannot take it, and joins all the same */
	one.service.state_version = 0;
	pair_join(&two, &one);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
	assert_int_equal(
		handoff__pair_give(&two.pair, HANDOFF__HOME_SILENT), -EPERM);
	assert_non_null(strstr(two.pair.error.text, "states of version 0"));
	assert_int_equal(one.pair.roster.held, 0);
}

static int
convert(uint32_t version, const void *from, size_t from_len, void *to,
	void *arg)
{
	(void)version;
	(void)arg;
	memcpy(to, from, from_len);
	return 0;
}

/* A newer one converts what it gets, and the carrier has that then. */
static void
it_holds_what_a_newer_program_converts(void **state)
{
	(void)state;
	leave_all();
	one.service.state_version = 2;
	one.service.state_size = 64;
	one.service.convert = convert;
	one.service.convert_from = 1;
	pair_join(&two, &one);
	pair_give(&two, &one, HANDOFF__HOME_SILENT);
	pair_run(&two, &one);
	assert_int_equal(one.pair.roster.owned, 4);
	assert_int_equal(two.pair.roster.held, 4);
	pair_assert_one_owner(&one, &two);
	/* and back, unconverted */
	handoff__pair_leave(&one.pair);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(two.pair.roster.owned, 4);
}

/* It serves nothing; what a peer that stops gives, it holds. */
static void
maintenance_is_refused_but_to_a_stop(void **state)
{
	(void)state;
	open_both();
	pair_fill(&one, &two, 4);
	assert_int_equal(
		handoff__pair_give(&one.pair, HANDOFF__MAINTENANCE), -EPERM);
	assert_non_null(strstr(one.pair.error.text,
		"is a ferry and serves nothing: maintenance --to HOST"));
	handoff__pair_leave(&one.pair);
	pair_give(&one, &two, HANDOFF__MAINTENANCE);
	assert_int_equal(two.pair.roster.owned, 6);
	assert_true(two.pair.serving);
	assert_true(handoff__pair_away(&two.pair));
}

/* For a move of the whole service. */
static void
it_takes_everything(void **state)
{
	(void)state;
	open_both();
	pair_fill(&one, &two, 4);
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&one, &two);
	assert_int_equal(two.given, 1);
	assert_int_equal(two.report.reason, HANDOFF__OK);
	assert_int_equal(two.pair.roster.owned, 6);
	assert_true(two.pair.serving);
	assert_true(handoff__pair_away(&one.pair));
	/* the service stays where it went until the carrier gives it */
	two.holds = HANDOFF__NOT_OWNER;
	assert_int_equal(
		handoff__pair_take(&one.pair, HANDOFF__HOME_SILENT), 0);
	pair_run(&one, &two);
	assert_int_equal(one.report.reason, HANDOFF__NOT_OWNER);
	assert_true(two.pair.serving);
	pair_give(&two, &one, HANDOFF__HOME_SILENT);
	assert_int_equal(one.pair.roster.owned, 6);
	assert_false(handoff__pair_away(&one.pair));
}

/* What has stayed behind follows, as with any other taker. */
static void
rest_follows_the_service(void **state)
{
	(void)state;
	open_both();
	pair_fill(&one, &two, 3);
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&one, &two);
	assert_true(two.pair.serving);
	pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	pair_give(&one, &two, HANDOFF__REST);
	assert_int_equal(one.pair.roster.owned, 0);
	assert_int_equal(two.pair.roster.connections, 4);
	pair_assert_one_owner(&one, &two);
}

/* A peer with a service may ask for single entries, and not for all of them as
 * a carrier does. */
static void
any_peer_takes_by_name(void **state)
{
	struct handoff__roster_entry *e, *list[2];

	(void)state;
	two.config.carrier = false;
	two.config.service = &two.service;
	open_both();
	list[0] = pair_find(&two, pair_fill(&one, &two, 1));
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	list[1] = e = pair_find(&two, e);
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 2), 0);
	assert_int_equal(
		handoff__pair_take(&two.pair, HANDOFF__MAINTENANCE), 0);
	pair_run(&one, &two);
	assert_int_equal(two.report.reason, HANDOFF__GARBAGE);
	/* but no listener, which goes with the service */
	assert_int_equal(two.pair.roster.owned, 1);
	assert_true(e->mine);
	assert_int_equal(one.pair.roster.connections, 1);
	assert_true(one.pair.serving);
	pair_assert_one_owner(&one, &two);
}

static void
named_entries_move_and_return(void **state)
{
	struct handoff__roster_entry *list[3];

	(void)state;
	open_both();
	pair_fill(&one, &two, 10);
	for (unsigned i = 0; i < 3; i++)
		list[i] = pair_connection(&two, 2 * i);
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 3), 0);
	pair_run(&one, &two);
	assert_int_equal(two.moved, 3);
	assert_int_equal(two.pair.roster.connections, 3);
	assert_int_equal(one.pair.roster.connections, 7);
	assert_true(list[0]->mine && list[1]->mine && list[2]->mine);
	assert_true(one.pair.serving);
	assert_int_equal(one.given + two.given, 0);
	pair_assert_one_owner(&one, &two);

	assert_int_equal(handoff__pair_offer_list(&two.pair, list, 3), 3);
	assert_false(list[0]->mine);
	assert_false(handoff__entry_accepted(&two.pair, list[0]));
	pair_run(&one, &two);
	assert_int_equal(two.accepted, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_true(handoff__entry_accepted(&two.pair, list[i]));
	assert_int_equal(one.pair.roster.connections, 10);
	pair_assert_one_owner(&one, &two);
}

/* As many as one message names, and more than one message offers. */
static void
a_whole_message_of_them(void **state)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];

	(void)state;
	support_need_descriptors(1200);
	open_both();
	pair_fill(&one, &two, 300);
	for (unsigned i = 0; i < HANDOFF_FDPASS_MAX; i++)
		list[i] = pair_connection(&two, i);
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 0), -EINVAL);
	assert_int_equal(handoff__pair_take_list(
				 &two.pair, list, HANDOFF_FDPASS_MAX + 1),
		-EINVAL);
	assert_int_equal(
		handoff__pair_take_list(&two.pair, list, HANDOFF_FDPASS_MAX),
		0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, HANDOFF_FDPASS_MAX);
	assert_int_equal(
		handoff__pair_offer_list(&two.pair, list, HANDOFF_FDPASS_MAX),
		HANDOFF_FDPASS_MAX);
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.connections, 300);
}

static void
busy_ones_follow_or_stay(void **state)
{
	struct handoff__roster_entry *list[2], *busy, *other;

	(void)state;
	open_both();
	pair_fill(&one, &two, 2);
	list[0] = pair_connection(&two, 0);
	list[1] = pair_connection(&two, 1);
	busy = pair_connection(&one, 0);
	one.busy_one = busy;
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 2), 0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 1);
	assert_true(busy->leaving);
	/* asked twice it is told once */
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 2), 0);
	pair_run(&one, &two);
	assert_int_equal(one.asked, 1);
	one.busy_one = NULL;
	handoff__pair_quiet(&one.pair, busy);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 2);

	/* the carrier does not wait for this one any longer */
	assert_int_equal(handoff__pair_offer_list(&two.pair, list, 2), 2);
	pair_run(&one, &two);
	one.busy_one = busy;
	other = pair_connection(&one, 1);
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 2), 0);
	pair_run(&one, &two);
	assert_false(other->mine);
	handoff__pair_take_no_more(&two.pair);
	pair_run(&one, &two);
	assert_false(busy->leaving);
	handoff__pair_quiet(&one.pair, busy);
	pair_run(&one, &two);
	assert_true(busy->mine);
	assert_int_equal(two.pair.roster.connections, 1);
}

static void
companions_move_with_their_leader(void **state)
{
	struct handoff__roster_entry *leader, *companion, *list[2];

	(void)state;
	open_both();
	leader = pair_enter(&one, HANDOFF__CONNECTION);
	companion = pair_enter_with(&one, HANDOFF__CONNECTION, leader);
	pair_fill(&one, &two, 2);
	list[0] = pair_find(&two, companion);
	one.busy_one = leader;
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 1), 0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 0);
	one.busy_one = NULL;
	handoff__pair_quiet(&one.pair, leader);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 2);
	assert_false(leader->mine || companion->mine);
	pair_assert_one_owner(&one, &two);
	/* either is enough to name both */
	list[0] = pair_find(&two, leader);
	list[1] = pair_find(&two, companion);
	assert_int_equal(handoff__pair_offer_list(&two.pair, list, 2), 2);
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.connections, 4);
	pair_assert_one_owner(&one, &two);
}

/* What is not here, is not the other's, or has ended: the rest moves. */
static void
names_of_nothing_are_ignored(void **state)
{
	struct handoff__roster_entry *list[3];

	(void)state;
	open_both();
	pair_fill(&one, &two, 3);
	for (unsigned i = 0; i < 3; i++)
		list[i] = pair_connection(&two, i);
	handoff__pair_end(&one.pair, pair_connection(&one, 0));
	assert_int_equal(handoff__pair_take_list(&two.pair, list, 2), 0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 1);
	assert_int_equal(handoff__pair_take_list(&two.pair, &list[1], 2), 0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 2);
	pair_assert_one_owner(&one, &two);
}

/* What the server does not accept in time comes back to the carrier. */
static void
offers_that_nobody_accepts_come_back(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	one.config.hang_timeout_ms = two.config.hang_timeout_ms = 400;
	open_both();
	pair_fill(&one, &two, 1);
	e = pair_connection(&two, 0);
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	pair_run(&one, &two);
	two.moved = 0;
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	assert_int_equal(two.moved, 1);
	/* the other peer is stopped: it reads nothing */
	pair_wait(&two, &two.moved, 2);
	assert_true(e->mine);
	assert_int_equal(two.accepted, 0);
}

/* A stop of the server, whatever was asked for. */
static void
nothing_is_offered_during_a_give(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	open_both();
	pair_fill(&one, &two, 2);
	e = pair_connection(&two, 0);
	handoff__pair_leave(&one.pair);
	pair_begin(&one);
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	pair_run(&one, &two);
	assert_int_equal(two.pair.roster.connections, 2);
	assert_int_equal(one.report.moved, 2);
	/* it takes nothing any more */
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 0);
	assert_true(e->mine);
}

/* A carrier leaves, and tries to come back. */
struct host {
	atomic_bool stop;
};

static void *
yield_when_asked(void *arg)
{
	struct host *host = arg;

	while (!atomic_load(&host->stop)) {
		handoff__loop_dispatch(&one.loop, 5);
		handoff__pair_proceed(&one.pair);
		if (two.loop.epfd < 0)
			continue;
		handoff__loop_dispatch(&two.loop, 5);
		handoff__pair_proceed(&two.pair);
		if (two.yields && two.yielded > 0) {
			side_close(&two);
			two.loop.epfd = -1;
		}
	}
	return NULL;
}

static int
open_third(struct side *third)
{
	struct host host = {.stop = false};
	pthread_t thread;
	int err;

	assert_int_equal(
		pthread_create(&thread, NULL, yield_when_asked, &host), 0);
	err = side_open(third, NULL);
	atomic_store(&host.stop, true);
	pthread_join(thread, NULL);
	return err;
}

static void
it_yields_its_place(void **state)
{
	struct side third, again;

	(void)state;
	open_both();
	pair_fill(&one, &two, 2);
	side_init(&third, one.config.dir, "third");
	two.yields = true;
	assert_int_equal(open_third(&third), 0);
	assert_int_equal(two.yielded, 1);
	handoff__pair_started(&third.pair);
	pair_run(&one, &third);
	assert_int_equal(third.pair.place, 2);
	assert_int_equal(third.pair.roster.held, 4);
	assert_int_equal(one.refusals, 0);
	/* it waits for nothing while there is no place */
	side_init(&again, one.config.dir, "again");
	side_carries(&again);
	assert_int_equal(side_open(&again, NULL), -EBUSY);
	side_close(&again);
	/* and has one when the server has gone */
	side_close(&one);
	pair_run(NULL, &third);
	side_init(&again, third.config.dir, "again");
	side_carries(&again);
	pair_join(&third, &again);
	assert_int_equal(again.pair.place, 1);
	assert_int_equal(again.pair.roster.held, 4);
	side_close(&again);
	side_close(&third);
}

static void
it_keeps_its_place_during_a_move(void **state)
{
	struct side third;

	(void)state;
	open_both();
	side_init(&third, one.config.dir, "third");
	assert_int_equal(open_third(&third), -EBUSY);
	assert_non_null(strstr(third.pair.error.text, "two peers already"));
	assert_int_equal(two.yielded, 1);
	side_close(&third);
	/* nor is another carrier given one, or another service */
	two.yields = true;
	two.yielded = 0;
	side_init(&third, one.config.dir, "third");
	side_carries(&third);
	assert_int_equal(open_third(&third), -EBUSY);
	side_close(&third);
	side_init(&third, one.config.dir, "third");
	third.service.name = "another";
	assert_int_equal(open_third(&third), -EBUSY);
	side_close(&third);
	assert_int_equal(two.yielded, 0);
	assert_int_equal(one.refusals + two.refusals, 0);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		carrier_test(it_learns_the_service),
		carrier_test(state_of_a_new_one_grows),
		carrier_test(state_of_a_program_grows),
		carrier_test(next_program_may_grow),
		carrier_test(server_that_joins_it_owns),
		carrier_test(it_owns_as_soon_as_it_knows),
		carrier_test(it_is_told),
		carrier_test(impossible_services_are_refused),
		carrier_test(another_service_is_refused),
		carrier_test(two_carriers_refuse_each_other),
		carrier_test(versions_of_states_do_not_matter),
		carrier_test(it_holds_what_a_newer_program_converts),
		carrier_test(maintenance_is_refused_but_to_a_stop),
		carrier_test(it_takes_everything),
		carrier_test(rest_follows_the_service),
		carrier_test(any_peer_takes_by_name),
		carrier_test(named_entries_move_and_return),
		carrier_test(a_whole_message_of_them),
		carrier_test(busy_ones_follow_or_stay),
		carrier_test(companions_move_with_their_leader),
		carrier_test(names_of_nothing_are_ignored),
		carrier_test(offers_that_nobody_accepts_come_back),
		carrier_test(nothing_is_offered_during_a_give),
		carrier_test(it_yields_its_place),
		carrier_test(it_keeps_its_place_during_a_move),
	};

	return cmocka_run_group_tests_name("carrier", tests, NULL, NULL);
}
