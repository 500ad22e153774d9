/* SPDX-License-Identifier: MIT */
/*
 * Sessions that outlive their connections, in two servers: where they go, who
 * may have them, and how they end.
 */
#include "server/internal.h"
#include "server/speaker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
open_both(struct duo *duo, void **state, uint32_t timeout_ms, uint32_t most)
{
	duo_init(duo, duo_model(state));
	speaker_sessions(duo, timeout_ms, most);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_STANDBY);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

/* How many connections a server lists. */
static unsigned
connections(struct host *host)
{
	const struct handoff_connection *c;
	unsigned count = 0;

	assert_int_equal(handoff_server_connections(host->server, NULL), 0);
	while (handoff_server_connections(host->server, &c) == 1)
		count++;
	return count;
}

static void
await_connections(struct duo *duo, struct host *host, unsigned count)
{
	for (int idle = 0; connections(host) != count;) {
		idle += !duo_turn(duo);
		if (idle > 1000)
			fail_msg("%u connections, not %u", connections(host),
				count);
	}
}

/* So many sessions have had no connection for a moment. */
static void
await_absent(struct duo *duo, struct host *host, unsigned count)
{
	const struct handoff_connection *c;
	unsigned absent;

	for (int idle = 0;;) {
		absent = 0;
		assert_int_equal(
			handoff_server_connections(host->server, NULL), 0);
		while (handoff_server_connections(host->server, &c) == 1) {
			assert_true(c->session);
			absent += c->absent_ms > 1;
		}
		if (absent == count)
			return;
		idle += !duo_turn(duo);
		if (idle > 1000)
			fail_msg("%u sessions absent, not %u", absent, count);
	}
}

static void
goes_on_after_its_connection(void **state)
{
	struct duo duo;
	struct speaker s;

	open_both(&duo, state, 0, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	speaker_cut(&s);
	await_connections(&duo, &duo.a, 1);
	speaker_resume(&s, &duo, duo.a.address);
	await_connections(&duo, &duo.a, 1);
	speaker_line(&s, &duo, 2);
	speaker_reset(&s);
	speaker_say(&s, "hello\n"); /* kept until there is a connection */
	speaker_resume(&s, &duo, duo.a.address);
	speaker_hear(&s, &duo, "3 hello\n");
	speaker_line(&s, &duo, 4);
	speaker_cut(&s);
	duo_close(&duo);
}

static void
takes_over_from_a_live_connection(void **state)
{
	struct duo duo;
	struct speaker s;
	int old;

	open_both(&duo, state, 0, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	old = dup(s.fd);
	speaker_resume(&s, &duo, duo.a.address);
	client_expect(&duo, old, "");
	close(old);
	speaker_line(&s, &duo, 2);
	await_connections(&duo, &duo.a, 1);
	speaker_cut(&s);
	duo_close(&duo);
}

static void
wrong_ones_are_refused(void **state)
{
	struct duo duo;
	struct speaker s, other;

	open_both(&duo, state, 0, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	other = s;
	other.fd = -1;
	other.token[3] ^= 1;
	assert_int_equal(speaker_answer(&other, &duo,
				 speaker_ask(&other, duo.a.address)),
		HANDOFF__REFUSED_UNKNOWN);
	other.token[3] ^= 1;
	other.number += 5;
	assert_int_equal(speaker_answer(&other, &duo,
				 speaker_ask(&other, duo.a.address)),
		HANDOFF__REFUSED_UNKNOWN);
	other.number -= 5;
	other.flow.rx_taken += 1000;
	other.flow.rx_told += 1000;
	other.flow.rx_read += 1000;
	assert_int_equal(speaker_answer(&other, &duo,
				 speaker_ask(&other, duo.a.address)),
		HANDOFF__REFUSED_POSITION);
	speaker_line(&s, &duo, 2);
	speaker_cut(&s);
	duo_close(&duo);
}

static void
two_that_resume_it_get_it_in_turn(void **state)
{
	struct duo duo;
	struct speaker s;
	int one, two;

	open_both(&duo, state, 0, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	speaker_cut(&s);
	await_connections(&duo, &duo.a, 1);
	one = speaker_ask(&s, duo.a.address);
	two = speaker_ask(&s, duo.a.address);
	await_connections(&duo, &duo.a, 3);
	/* in whatever order: one of them has it, and the others have ended */
	await_connections(&duo, &duo.a, 1);
	speaker_resume(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 2);
	await_connections(&duo, &duo.a, 1);
	close(one);
	close(two);
	speaker_cut(&s);
	duo_close(&duo);
}

static void
is_fetched_from_the_other_peer(void **state)
{
	struct duo duo;
	struct speaker s, absent;
	char address[HANDOFF_ADDRESS_MAX];

	open_both(&duo, state, 0, 0);
	snprintf(address, sizeof(address), "%s", duo.a.address);
	speaker_begin(&s, &duo, address);
	speaker_begin(&absent, &duo, address);
	speaker_line(&s, &duo, 1);
	speaker_line(&absent, &duo, 1);
	speaker_cut(&absent);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	await_connections(&duo, &duo.b, 2);
	speaker_line(&s, &duo, 2);
	/* home again: the listeners go, the sessions stay until they are
	 * asked for */
	assert_int_equal(handoff_server_ready(duo.a.server, false), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	await_connections(&duo, &duo.b, 2);
	speaker_resume(&s, &duo, address);
	speaker_line(&s, &duo, 3);
	await_connections(&duo, &duo.a, 1);
	await_connections(&duo, &duo.b, 1);
	speaker_resume(&absent, &duo, address);
	speaker_line(&absent, &duo, 2);
	await_connections(&duo, &duo.a, 2);
	await_connections(&duo, &duo.b, 0);
	speaker_cut(&s);
	speaker_cut(&absent);
	duo_close(&duo);
}

static void
ends_after_its_time(void **state)
{
	struct duo duo;
	struct speaker s;

	open_both(&duo, state, 1, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	speaker_cut(&s);
	await_connections(&duo, &duo.a, 0);
	assert_int_equal(
		speaker_answer(&s, &duo, speaker_ask(&s, duo.a.address)),
		HANDOFF__REFUSED_UNKNOWN);
	duo_close(&duo);
}

static void
oldest_of_too_many_ends(void **state)
{
	struct duo duo;
	struct speaker s[3];

	open_both(&duo, state, 0, 2);
	for (int i = 0; i < 3; i++) {
		speaker_begin(&s[i], &duo, duo.a.address);
		speaker_line(&s[i], &duo, 1);
	}
	for (int i = 0; i < 3; i++) {
		speaker_cut(&s[i]);
		/* one after the other */
		if (i < 2)
			await_absent(&duo, &duo.a, (unsigned)i + 1);
	}
	await_connections(&duo, &duo.a, 2);
	assert_int_equal(
		speaker_answer(&s[0], &duo, speaker_ask(&s[0], duo.a.address)),
		HANDOFF__REFUSED_UNKNOWN);
	speaker_resume(&s[1], &duo, duo.a.address);
	speaker_line(&s[1], &duo, 2);
	speaker_resume(&s[2], &duo, duo.a.address);
	speaker_line(&s[2], &duo, 2);
	speaker_cut(&s[1]);
	speaker_cut(&s[2]);
	duo_close(&duo);
}

/* Calls of the hook for an end. */
static atomic_uint ends;

static void
count_end(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	(void)conn;
	(void)reason;
	(void)arg;
	atomic_fetch_add(&ends, 1);
}

static void
open_counting(struct duo *duo, void **state, uint32_t timeout_ms)
{
	atomic_store(&ends, 0);
	duo_init(duo, duo_model(state));
	duo->a.service.ended = count_end;
	speaker_sessions(duo, timeout_ms, 0);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

static void
ends_once_for_its_service(void **state)
{
	struct duo duo;
	struct speaker s;

	open_counting(&duo, state, 1);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	/* a connection that it leaves is no end */
	speaker_resume(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 2);
	await_connections(&duo, &duo.a, 1);
	assert_int_equal(atomic_load(&ends), 0);
	speaker_cut(&s);
	await_connections(&duo, &duo.a, 0);
	assert_int_equal(atomic_load(&ends), 1);
	duo_close(&duo);
}

/* Posts to an absent session wait, by its number. */
static void
posts_wait_for_it(void **state)
{
	struct duo duo;
	struct speaker s;
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.data = "posted\n",
		.len = 7};

	open_both(&duo, state, 0, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	speaker_resume(&s, &duo, duo.a.address);
	post.id = s.number;
	assert_int_equal(handoff_server_post(duo.a.server, &post), 0);
	speaker_hear(&s, &duo, "posted\n");
	speaker_cut(&s);
	await_absent(&duo, &duo.a, 1);
	assert_int_equal(handoff_server_post(duo.a.server, &post), 0);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	await_absent(&duo, &duo.b, 1);
	speaker_resume(&s, &duo, duo.a.address);
	speaker_hear(&s, &duo, "posted\n");
	speaker_line(&s, &duo, 2);
	speaker_cut(&s);
	duo_close(&duo);
}

/* Nothing is asked of a peer that would not understand it. */
static void
older_peer_keeps_it(void **state)
{
	struct duo duo;
	struct speaker s;
	char address[HANDOFF_ADDRESS_MAX];

	open_both(&duo, state, 0, 0);
	snprintf(address, sizeof(address), "%s", duo.a.address);
	speaker_begin(&s, &duo, address);
	speaker_line(&s, &duo, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.a.server, false), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	duo.a.server->pair.other.version_max = 2;
	assert_int_equal(speaker_answer(&s, &duo, speaker_ask(&s, address)),
		HANDOFF__REFUSED_BUSY);
	await_connections(&duo, &duo.b, 1);
	/* the client is where it was */
	speaker_line(&s, &duo, 2);
	duo.a.server->pair.other.version_max = 3;
	speaker_resume(&s, &duo, address);
	speaker_line(&s, &duo, 3);
	await_connections(&duo, &duo.b, 0);
	speaker_cut(&s);
	duo_close(&duo);
}

/* Sessions without a connection leave room for those that come back. */
static void
absent_ones_do_not_count_as_connections(void **state)
{
	struct duo duo;
	struct speaker s;

	duo_init(&duo, duo_model(state));
	duo.a.opts.max_connections = 1;
	duo.a.opts.max_per_address = 1;
	duo.a.opts.refuse_excess = true;
	speaker_sessions(&duo, 0, 0);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	speaker_begin(&s, &duo, duo.a.address);
	for (unsigned i = 1; i < 5; i++) {
		speaker_line(&s, &duo, i);
		speaker_cut(&s);
		await_absent(&duo, &duo.a, 1);
		speaker_resume(&s, &duo, duo.a.address);
	}
	speaker_cut(&s);
	duo_close(&duo);
}

static void
absent_ones_end_with_the_server(void **state)
{
	struct duo duo;
	struct speaker s;

	duo_init(&duo, duo_model(state));
	speaker_sessions(&duo, 0, 0);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	speaker_cut(&s);
	await_connections(&duo, &duo.a, 1);
	handoff_server_stop(duo.a.server);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(duo.a.event.closed, 1);
	duo_close(&duo);
}

static void
busy_one_stays_where_it_is(void **state)
{
	struct duo duo;
	struct speaker s;
	int fd;

	if (duo_model(state) != HANDOFF_MODEL_THREAD)
		return;
	open_both(&duo, state, 0, 0);
	speaker_begin(&s, &duo, duo.a.address);
	speaker_line(&s, &duo, 1);
	atomic_store(&duo.a.hold, true);
	speaker_say(&s, "hello\n");
	while (atomic_load(&duo.a.holding) == 0)
		duo_turn(&duo);
	fd = speaker_ask(&s, duo.a.address);
	assert_int_equal(speaker_answer(&s, &duo, fd), HANDOFF__REFUSED_BUSY);
	fd = speaker_ask(&s, duo.a.address);
	while (connections(&duo.a) < 2)
		duo_turn(&duo);
	atomic_store(&duo.a.hold, false);
	assert_int_equal(speaker_answer(&s, &duo, fd), 0);
	speaker_hear(&s, &duo, "2 hello\n");
	speaker_line(&s, &duo, 3);
	speaker_cut(&s);
	duo_close(&duo);
}

/* While a ferry has the service nobody here knows where a session is: it may be
 * on its way, or on another host. */
static void
unknown_one_may_be_with_a_ferry(void **state)
{
	struct duo duo;
	struct speaker s, other;
	char address[HANDOFF_ADDRESS_MAX];
	int one, two;

	open_both(&duo, state, 0, 0);
	snprintf(address, sizeof(address), "%s", duo.a.address);
	speaker_begin(&s, &duo, address);
	other = s;
	other.fd = -1;
	other.number += 5;
	one = client_open(address);
	two = client_open(address);
	await_connections(&duo, &duo.a, 3);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.a.server, false), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	await_connections(&duo, &duo.b, 3);
	speaker_wish(&other, one);
	assert_int_equal(
		speaker_answer(&other, &duo, one), HANDOFF__REFUSED_UNKNOWN);
	duo.b.server->pair.other.carrier = true;
	speaker_wish(&other, two);
	assert_int_equal(
		speaker_answer(&other, &duo, two), HANDOFF__REFUSED_BUSY);
	duo.b.server->pair.other.carrier = false;
	speaker_cut(&s);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(goes_on_after_its_connection),
		each_model(takes_over_from_a_live_connection),
		each_model(wrong_ones_are_refused),
		each_model(two_that_resume_it_get_it_in_turn),
		each_model(is_fetched_from_the_other_peer),
		each_model(ends_after_its_time),
		each_model(oldest_of_too_many_ends),
		each_model(ends_once_for_its_service),
		each_model(posts_wait_for_it),
		each_model(older_peer_keeps_it),
		each_model(absent_ones_do_not_count_as_connections),
		each_model(absent_ones_end_with_the_server),
		thread_and_workers(busy_one_stays_where_it_is),
		handoff_test(unknown_one_may_be_with_a_ferry),
	};

	return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
