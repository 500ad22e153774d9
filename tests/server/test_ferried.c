/* SPDX-License-Identifier: MIT */
/*
 * A server beside a ferry, which is a peer without a service: who owns, what is
 * opened, and that connections outlive the server. The ferry's part is played
 * by a carrier in this process, `two`.
 */
#include "server/duo.h"

#include "peer/fixture.h"
#include "peer/status.h"
#include "record/handling.h"
#include "server/internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct duo duo;

static int
setup_with(void **state, enum handoff_model model)
{
	if (support_setup(state) < 0)
		return -1;
	side_init(&two, support_dir(), "north");
	side_carries(&two);
	duo_init(&duo, model);
	return 0;
}

static int
ferry_setup(void **state)
{
	return setup_with(state, HANDOFF_MODEL_LOOP);
}

static int
ferry_setup_thread(void **state)
{
	return setup_with(state, HANDOFF_MODEL_THREAD);
}

static int
ferry_setup_workers(void **state)
{
	return setup_with(state, DUO_WORKERS);
}

static int
ferry_setup_fork(void **state)
{
	return setup_with(state, HANDOFF_MODEL_FORK);
}

static int
ferry_teardown(void **state)
{
	side_close(&two);
	return support_teardown(state);
}

#define ferry_test(f)                                                          \
	cmocka_unit_test_setup_teardown(f, ferry_setup, ferry_teardown)
#define each_ferry_test(f)                                                     \
	ferry_test(f),                                                         \
		{#f " (thread)", f, ferry_setup_thread, ferry_teardown, NULL}, \
		{#f " (workers)", f, ferry_setup_workers, ferry_teardown,      \
			NULL},                                                 \
	{                                                                      \
#f " (fork)", f, ferry_setup_fork, ferry_teardown, NULL        \
	}

static void
carry(void)
{
	assert_true(handoff__loop_dispatch(&two.loop, 0) >= 0);
	handoff__pair_proceed(&two.pair);
}

/* Both do what is due, for some turns. */
static void
run_both(void)
{
	for (int i = 0; i < 10; i++) {
		carry();
		duo_turn(&duo);
	}
}

static void *
keep_carrying(void *arg)
{
	atomic_bool *stop = arg;

	while (!atomic_load(stop)) {
		assert_true(handoff__loop_dispatch(&two.loop, 5) >= 0);
		handoff__pair_proceed(&two.pair);
	}
	return NULL;
}

/* A server joins the carrier, or starts beside it. */
static void
server_opens(struct host *host)
{
	atomic_bool stop = false;
	pthread_t thread;

	assert_int_equal(
		pthread_create(&thread, NULL, keep_carrying, &stop), 0);
	assert_int_equal(host_open(host, NULL), 0);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	for (int i = 0; i < 1000 && two.pair.partner != HANDOFF__PARTNER_READY;
		i++)
		run_both();
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
}

static void
carrier_opens(void)
{
	assert_int_equal(side_open(&two, NULL), 0);
	handoff__pair_started(&two.pair);
}

/* What runs until a host has said so. */
static void
expect(struct host *host, enum handoff_server_event_type type)
{
	for (int i = 0; i < 1000; i++) {
		if (host_had(host, type))
			return;
		run_both();
	}
	fail_msg("event %d never came", (int)type);
}

static void
expect_moved(uint32_t owned)
{
	for (int i = 0; i < 1000 && two.pair.roster.owned != owned; i++)
		run_both();
	assert_int_equal(two.pair.roster.owned, owned);
}

static void
send_line(int client, const char *line, const char *answer)
{
	char got[64] = "";
	ssize_t n = -1;

	client_send(client, line);
	for (int i = 0; i < 1000 && n < 0; i++) {
		run_both();
		n = recv(client, got, sizeof(got) - 1, MSG_DONTWAIT);
	}
	assert_true(n > 0);
	assert_string_equal(got, answer);
}

static uint32_t
listeners(const struct host *host)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	while ((e = handoff__roster_next(&host->server->pair.roster, e)))
		count += e->kind == HANDOFF__LISTENER;
	return count;
}

static void
stop(struct host *host)
{
	assert_int_equal(handoff_server_stop(host->server), 0);
	expect(host, HANDOFF_SERVER_STOPPED);
	handoff_server_free(host->server);
	host->server = NULL;
	for (int i = 0; i < 1000 && two.pair.partner != HANDOFF__PARTNER_NONE;
		i++)
		carry();
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_NONE);
}

/* One that finds a carrier owns, as if it were alone. */
static void
server_owns_beside_a_ferry(void **state)
{
	struct handoff__buf buf = {0};
	int client;

	(void)state;
	carrier_opens();
	server_opens(&duo.a);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	assert_non_null(strstr(duo.a.text, "ferry north (pid"));
	client = client_open(duo.a.address);
	send_line(client, "one\n", "1 one\n");
	assert_int_equal(two.pair.roster.held, 2);
	/* the status says what the other peer is */
	handoff__status_text(&duo.a.server->pair, &buf);
	assert_non_null(strstr(buf.data, "\nferry north\n"));
	free(buf.data);
	memset(&buf, 0, sizeof(buf));
	handoff__status_json(&duo.a.server->pair, &buf);
	assert_non_null(strstr(buf.data, "\"carrier\":true"));
	free(buf.data);
	assert_int_equal(handoff_server_maintenance(duo.a.server), -EPERM);
	assert_non_null(
		strstr(handoff_server_errmsg(duo.a.server), "north (pid"));
	assert_non_null(strstr(handoff_server_errmsg(duo.a.server),
		"is a ferry and serves nothing: maintenance --to HOST"));
	close(client);
	run_both();
	stop(&duo.a);
	assert_true(two.pair.serving);
}

/* Away from home the carrier owns: then a server opens nothing. */
static void
server_waits_beside_a_ferry_that_owns(void **state)
{
	(void)state;
	two.owns = true;
	carrier_opens();
	server_opens(&duo.a);
	expect(&duo.a, HANDOFF_SERVER_STANDBY);
	for (int i = 0; i < 10; i++)
		run_both();
	assert_int_equal(listeners(&duo.a), 0);
	assert_false(duo.a.server->pair.serving);
	/* it asks for the service in vain while it is on another host */
	two.holds = HANDOFF__NOT_OWNER;
	assert_int_equal(handoff_server_ready(duo.a.server, true), -EPERM);
	/* and opens its addresses when it is given that */
	assert_int_equal(
		handoff__pair_give(&two.pair, HANDOFF__HOME_SILENT), 0);
	expect(&duo.a, HANDOFF_SERVER_LISTENING);
	assert_int_equal(listeners(&duo.a), 1);
	assert_true(duo.a.server->pair.serving);
	stop(&duo.a);
}

/* A host without another server: the connections outlive a restart. */
static void
connections_outlive_a_restart(void **state)
{
	int client;

	(void)state;
	carrier_opens();
	server_opens(&duo.a);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	client = client_open(duo.a.address);
	send_line(client, "one\n", "1 one\n");
	stop(&duo.a);
	assert_int_equal(two.pair.roster.owned, 2);
	assert_true(two.pair.serving);
	client_send(client, "two\n");
	for (int i = 0; i < 20; i++)
		carry();
	server_opens(&duo.b);
	expect(&duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(
		handoff__pair_give(&two.pair, HANDOFF__HOME_SILENT), 0);
	expect_moved(0);
	send_line(client, "three\n", "2 two\n3 three\n");
	close(client);
	run_both();
	stop(&duo.b);
}

/* The next server ends what has killed two: a ferry ends nothing. */
static void
poison_ends_with_the_next_server(void **state)
{
	struct handoff__roster_entry *e = NULL;
	int client, good;

	(void)state;
	carrier_opens();
	server_opens(&duo.a);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	client = client_open(duo.a.address);
	send_line(client, "one\n", "1 one\n");
	stop(&duo.a);
	while ((e = handoff__roster_next(&two.pair.roster, e)) &&
		e->kind != HANDOFF__CONNECTION)
		;
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(e->view.rec);
		handoff__handler_died(e->view.rec);
	}
	server_opens(&duo.b);
	expect(&duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(
		handoff__pair_give(&two.pair, HANDOFF__HOME_SILENT), 0);
	expect_moved(0);
	good = client_open(duo.a.address);
	send_line(good, "two\n", "1 two\n");
	for (int i = 0; i < 100 && duo.b.server->pair.roster.connections > 1;
		i++)
		run_both();
	assert_int_equal(duo.b.server->pair.tally.ends[HANDOFF__END_POISON], 1);
	client_expect(&duo, client, "");
	close(client);
	close(good);
	run_both();
	stop(&duo.b);
}

/* The ferry asks for some of the connections, and the server goes on. */
static void
server_gives_by_name(void **state)
{
	struct handoff__roster_entry *e = NULL;
	int clients[2];

	(void)state;
	carrier_opens();
	server_opens(&duo.a);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	clients[0] = client_open(duo.a.address);
	send_line(clients[0], "a\n", "1 a\n");
	clients[1] = client_open(duo.a.address);
	send_line(clients[1], "b\n", "1 b\n");
	while ((e = handoff__roster_next(&two.pair.roster, e)) &&
		e->kind != HANDOFF__CONNECTION)
		;
	assert_non_null(e);
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	expect_moved(1);
	assert_int_equal(duo.a.server->pair.roster.connections, 1);
	client_send(clients[0], "c\n");
	send_line(clients[1], "d\n", "2 d\n");
	assert_true(recv(clients[0], &(char){0}, 1, MSG_DONTWAIT) < 0);
	assert_int_equal(handoff__pair_offer_list(&two.pair, &e, 1), 1);
	expect_moved(0);
	send_line(clients[0], "e\n", "2 c\n3 e\n");
	assert_int_equal(two.accepted, 1);
	close(clients[0]);
	close(clients[1]);
	run_both();
	stop(&duo.a);
}

/* The ferry dies in between: what it had not decided is the server's again. */
static void
ferry_that_leaves_gives_back(void **state)
{
	struct handoff__roster_entry *e = NULL;
	int client;

	(void)state;
	carrier_opens();
	server_opens(&duo.a);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	client = client_open(duo.a.address);
	send_line(client, "a\n", "1 a\n");
	while ((e = handoff__roster_next(&two.pair.roster, e)) &&
		e->kind != HANDOFF__CONNECTION)
		;
	assert_int_equal(handoff__pair_take_list(&two.pair, &e, 1), 0);
	expect_moved(1);
	client_send(client, "b\n");
	side_close(&two);
	client_expect(&duo, client, "2 b\n");
	close(client);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ferry_test(server_owns_beside_a_ferry),
		ferry_test(server_waits_beside_a_ferry_that_owns),
		each_ferry_test(connections_outlive_a_restart),
		ferry_test(poison_ends_with_the_next_server),
		each_ferry_test(server_gives_by_name),
		each_ferry_test(ferry_that_leaves_gives_back),
	};

	return cmocka_run_group_tests_name("ferried", tests, NULL, NULL);
}
