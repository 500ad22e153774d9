/* SPDX-License-Identifier: MIT */
/*
 * Terms of a lease: a client leaves a connection of a term that has ended for
 * another of its endpoints, and keeps any other connection, however little a
 * notice says of it. The test plays the hosts.
 */
#include "client/service.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t
in_term(uint32_t term, uint32_t change)
{
	return ((uint64_t)term << 32) + change;
}

static void
publish(enum handoff_notice_kind kind, uint64_t generation)
{
	service.generation = generation - 1;
	service_publish(kind, "next", 0);
}

/* What a service retains that begins without telling anybody. */
static void
begin_term(uint32_t term)
{
	service.expires_ms = 1;
	publish(HANDOFF_NOTICE_READY, in_term(term, 0));
	service.expires_ms = 0;
}

/* The host of this end is gone: it acknowledges nothing. */
static void
kill_host(int conn)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &drop};

	assert_int_equal(setsockopt(conn, SOL_SOCKET, SO_ATTACH_FILTER,
				 &program, sizeof(program)),
		0);
}

/* Connected to home in term 1. */
static struct handoff_client *
first_term(int *conn)
{
	service_begin();
	begin_term(1);
	return service_connected(conn);
}

static void
expect_leaving(struct handoff_client *client, enum handoff_notice_kind kind)
{
	struct handoff_client_event event =
		fixture_expect(client, HANDOFF_CLIENT_HANDOFF);

	assert_non_null(event.notice);
	assert_int_equal(event.notice->kind, kind);
	assert_string_equal(event.endpoint, service.home.address);
	assert_non_null(strstr(event.text, " with another lease: leaves for "));
}

static void
expect_moved(struct handoff_client *client)
{
	struct handoff_client_event event =
		fixture_expect(client, HANDOFF_CLIENT_MOVED);

	assert_string_equal(event.endpoint, service.other.address);
	assert_int_equal(event.err, -ECONNRESET);
	assert_non_null(strstr(event.text, "the lease under which it was"));
	assert_false(client->drain_timer.armed);
	assert_false(client->leaving);
}

static void
expect_stays(struct handoff_client *client, int conn)
{
	struct handoff_client_event event =
		fixture_expect(client, HANDOFF_CLIENT_HANDOFF);

	assert_non_null(strstr(event.text, "the connection stays"));
	fixture_expect_quiet(client);
	fixture_write(conn, "still here");
	fixture_expect_data(client, "still here");
}

/* Its host dies without a word: what had come is delivered, and the client is
 * elsewhere before it knows of the loss. */
static void
test_leaves(void **state)
{
	struct handoff_client *client;
	int conn, new;

	(void)state;
	client = first_term(&conn);
	fixture_write(conn, "the last");
	kill_host(conn);
	assert_int_equal(handoff_client_send(client, "into the void", 13), 0);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	new = fixture_accept(client, &service.other);
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	fixture_write(new, "welcome");
	fixture_expect_data(client, "the last");
	expect_moved(client);
	fixture_expect_data(client, "welcome");
	assert_int_equal(handoff_client_send(client, "hello", 5), 0);
	fixture_read(client, new, "hello");
	/* what happens in the new term does not concern it any more */
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 1));
	expect_stays(client, new);
	close(conn);
	close(new);
	service_end(client);
}

/* What the dead host did not take goes to the next, the begun message whole. */
static void
test_unsent_goes_along(void **state)
{
	struct handoff_client *client;
	size_t unsent;
	int conn, new;

	(void)state;
	client = first_term(&conn);
	kill_host(conn);
	service_send_much(client);
	unsent = handoff_client_unsent(client);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	new = fixture_accept(client, &service.other);
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	expect_moved(client);
	service_read_much(
		client, new, (int)(BIG_COUNT - (unsent + BIG - 1) / BIG));
	fixture_expect_quiet(client);
	fixture_nothing(new);
	close(conn);
	close(new);
	service_end(client);
}

/* States may be skipped: any notice of a later term tells of it. */
static void
test_any_notice_tells(void **state)
{
	static const enum handoff_notice_kind kinds[] = {
		HANDOFF_NOTICE_MAINTENANCE, HANDOFF_NOTICE_READY};
	struct handoff_client *client;
	int conn, new;

	(void)state;
	for (int i = 0; i < 2; i++) {
		client = first_term(&conn);
		publish(kinds[i], in_term(4, 7));
		new = fixture_accept(client, &service.other);
		expect_leaving(client, kinds[i]);
		expect_moved(client);
		fixture_expect_quiet(client);
		close(conn);
		close(new);
		service_end(client);
	}
}

/* A notice that is the first to be heard may be older than the connection. */
static void
test_first_notice(void **state)
{
	struct handoff_client *client;
	int conn, new;

	(void)state;
	service_begin();
	client = service_connected(&conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_stays(client, conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 1));
	expect_stays(client, conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(3, 0));
	new = fixture_accept(client, &service.other);
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	expect_moved(client);
	close(conn);
	close(new);
	service_end(client);
}

/* Deaths and handoffs within a host, with a lease. */
static void
test_same_term(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = first_term(&conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(1, 1));
	expect_stays(client, conn);
	publish(HANDOFF_NOTICE_MAINTENANCE, in_term(1, 2));
	expect_stays(client, conn);
	close(conn);
	service_end(client);
}

/* The owner is where the client is, in whichever form it says so: the address
 * has moved, or the client came before the notice. */
static void
test_owner_is_here(void **state)
{
	struct handoff_client *client;
	char mapped[HANDOFF_ADDRESS_MAX];
	int conn;

	(void)state;
	client = first_term(&conn);
	service.trap = service.home.address;
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_stays(client, conn);
	snprintf(mapped, sizeof(mapped), "[::ffff:127.0.0.1]%.8s",
		strrchr(service.home.address, ':'));
	service.trap = mapped;
	publish(HANDOFF_NOTICE_FAILOVER, in_term(3, 0));
	expect_stays(client, conn);
	service.trap = NULL;
	/* it is of term 3 now */
	publish(HANDOFF_NOTICE_FAILOVER, in_term(3, 1));
	expect_stays(client, conn);
	close(conn);
	service_end(client);
}

/* All of these are not where the client is connected to, or may not be. */
static void
test_owner_is_elsewhere(void **state)
{
	static const char *const owners[] = {"0.0.0.0:%s", "[::]:%s", ":%s",
		"127.0.0.2:%s", "127.0.0.1:1", "a name:%s", "unix:/x%s"};
	struct handoff_client *client;
	char owner[HANDOFF_ADDRESS_MAX];
	int conn, new;

	(void)state;
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		client = first_term(&conn);
		snprintf(owner, sizeof(owner), owners[i],
			strrchr(service.home.address, ':') + 1);
		service.trap = owner;
		publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
		new = fixture_accept(client, &service.other);
		expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
		expect_moved(client);
		service.trap = NULL;
		close(conn);
		close(new);
		service_end(client);
	}
}

/* There is nowhere to go to; and what is local ends with its host. */
static void
test_stays_all_the_same(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	service_begin();
	begin_term(1);
	service.opts.nendpoints = 1;
	client = service_connected(&conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_stays(client, conn);
	close(conn);
	service_end(client);

	service_begin();
	service_home_is_local();
	begin_term(1);
	client = service_connected(&conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_stays(client, conn);
	close(conn);
	service_end(client);
}

/* Nobody else accepts, and the host answers: it was of the later term. */
static void
test_answers(void **state)
{
	struct handoff_client_event event;
	const struct handoff_client_event *next;
	struct handoff_client *client;
	char got[64];
	int conn;

	(void)state;
	client = first_term(&conn);
	site_close(&service.other);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, service.other.address);
	assert_non_null(strstr(event.text, "leaves for "));
	while (client->leaving) {
		assert_int_equal(handoff_client_send(client, "?", 1), 0);
		assert_int_equal(handoff_client_wait(client, 1000), 0);
		while (handoff_client_next(client, &next) > 0)
			assert_int_equal(next->type, HANDOFF_CLIENT_RETRY);
	}
	assert_false(client->timer.armed);
	fixture_expect_quiet(client);
	assert_true(recv(conn, got, sizeof(got), MSG_DONTWAIT) > 0);
	site_reopen(&service.other);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 1));
	expect_stays(client, conn);
	close(conn);
	service_end(client);
}

static void
retry_until(struct handoff_client *client, enum handoff_client_event_type type)
{
	const struct handoff_client_event *event = NULL;

	do {
		while (handoff_client_next(client, &event) == 0)
			assert_int_equal(handoff_client_wait(client, 1000), 0);
		if (event->type != type)
			assert_int_equal(event->type, HANDOFF_CLIENT_RETRY);
	} while (event->type != type);
}

/* Each of the others is tried, again and again, but not the one it leaves. */
static void
test_tries_the_others(void **state)
{
	const char *endpoints[3];
	struct handoff_client *client;
	struct handoff_client_event event;
	struct site third;
	int conn, new;

	(void)state;
	service_begin();
	third = site_dead();
	endpoints[0] = service.home.address;
	endpoints[1] = service.other.address;
	endpoints[2] = third.address;
	service.opts.endpoints = endpoints;
	service.opts.nendpoints = 3;
	begin_term(1);
	client = service_connected(&conn);
	kill_host(conn);
	site_close(&service.other);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	for (int i = 0; i < 4; i++) {
		event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
		assert_string_equal(event.endpoint,
			i % 2 ? service.other.address : third.address);
		assert_int_equal(event.err, -ECONNREFUSED);
	}
	/* another notice of that term changes nothing */
	publish(HANDOFF_NOTICE_MAINTENANCE, in_term(2, 1));
	retry_until(client, HANDOFF_CLIENT_HANDOFF);
	site_reopen(&service.other);
	new = fixture_accept(client, &service.other);
	retry_until(client, HANDOFF_CLIENT_MOVED);
	fixture_expect_quiet(client);
	close(conn);
	close(new);
	service_end(client);
}

/* It is lost before another accepts: what is tried then is still another. */
static void
test_lost_while_leaving(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn, new;

	(void)state;
	service_begin();
	begin_term(1);
	service.opts.first_delay_ms = service.opts.max_delay_ms = 3600000;
	client = service_connected(&conn);
	site_close(&service.other);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	fixture_reset(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, service.other.address);
	assert_false(client->leaving);
	site_reopen(&service.other);
	handoff__timer_arm(&client->loop, &client->timer, 0);
	new = fixture_accept(client, &service.other);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 1));
	expect_stays(client, new);
	close(new);
	service_end(client);
}

/* Lost long ago, and the next attempt is far away: it comes soon. */
static void
test_hurries(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn, new;

	(void)state;
	service_begin();
	begin_term(1);
	client = service_connected(&conn);
	site_close(&service.other);
	fixture_reset(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	handoff__timer_arm(&client->loop, &client->timer, INT64_C(1) << 40);
	site_reopen(&service.other);
	/* no reason within a term */
	publish(HANDOFF_NOTICE_FAILOVER, in_term(1, 1));
	event = fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	assert_null(strstr(event.text, "soon"));
	fixture_expect_quiet(client);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	event = fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	assert_non_null(strstr(event.text, "another lease: tries again soon"));
	new = fixture_accept(client, &service.other);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, service.other.address);
	close(new);
	service_end(client);
}

/* A client that waits for the last answers only. */
static void
test_shut(void **state)
{
	struct handoff_client *client;
	int conn, new;

	(void)state;
	client = first_term(&conn);
	kill_host(conn);
	service_send_much(client);
	assert_int_equal(handoff_client_shutdown(client), 0);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	new = fixture_accept(client, &service.other);
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	expect_moved(client);
	while (handoff_client_unsent(client) > 0) {
		static char bin[BIG];

		assert_int_equal(handoff_client_wait(client, 10), 0);
		while (recv(new, bin, sizeof(bin), MSG_DONTWAIT) > 0)
			;
	}
	close(conn);
	close(new);
	handoff_client_free(client);
	service_end(NULL);
}

/* On its way home, and the connection before is not at its end yet. */
static void
test_leaves_while_draining(void **state)
{
	struct handoff_client *client;
	int old, conn, new;

	(void)state;
	client = first_term(&old);
	service_send_much(client);
	conn = service_go_home(client);
	while (!handoff__stream_is_open(client->old))
		assert_int_equal(handoff_client_wait(client, 100), 0);
	kill_host(old);
	kill_host(conn);
	publish(HANDOFF_NOTICE_FAILOVER, in_term(2, 0));
	expect_leaving(client, HANDOFF_NOTICE_FAILOVER);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	new = fixture_accept(client, &service.other);
	expect_moved(client);
	close(old);
	close(conn);
	close(new);
	service_end(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_leaves),
		handoff_test(test_unsent_goes_along),
		handoff_test(test_any_notice_tells),
		handoff_test(test_first_notice),
		handoff_test(test_same_term),
		handoff_test(test_owner_is_here),
		handoff_test(test_owner_is_elsewhere),
		handoff_test(test_stays_all_the_same),
		handoff_test(test_answers),
		handoff_test(test_tries_the_others),
		handoff_test(test_lost_while_leaving),
		handoff_test(test_hurries),
		handoff_test(test_shut),
		handoff_test(test_leaves_while_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
