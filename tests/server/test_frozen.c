/* SPDX-License-Identifier: MIT */
/*
 * A socket that a ferry has left incomplete, in repair mode or without a part
 * of its output: the connection waits, in every model, and goes on when the
 * socket is complete.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_FROZEN 60 /* of the loop */

static int
setup_fork(void **state)
{
	static enum handoff_model model = HANDOFF_MODEL_FORK;

	*state = &model;
	return support_setup(state);
}

#define all_models(f)                                                          \
	each_model(f),                                                         \
	{                                                                      \
#f " (fork)", f, setup_fork, support_teardown, NULL            \
	}

static struct handoff__roster_entry *
connection(struct host *host)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&host->server->pair.roster, e))) {
		if (e->kind == HANDOFF__CONNECTION)
			return e;
	}
	fail_msg("there is no connection");
	return NULL;
}

/* False if this process may not. */
static bool
freeze(const struct handoff__roster_entry *e, int on)
{
	if (setsockopt(e->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0)
		return true;
	assert_int_equal(errno, EPERM);
	return false;
}

/* True: nothing has come, and it is not the end either. */
static bool
hears_nothing(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void
run_for_a_while(struct duo *duo)
{
	for (int i = 0; i < TURNS_FROZEN; i++)
		duo_turn(duo);
}

/* A connection that has been served once, and is frozen. NULL: this process may
 * not freeze it. */
static struct handoff__roster_entry *
open_frozen(struct duo *duo, void **state, int *client)
{
	struct handoff__roster_entry *e;

	duo_init(duo, duo_model(state));
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_LISTENING);
	*client = client_open(duo->a.address);
	client_line(duo, *client, 1);
	e = connection(&duo->a);
	if (freeze(e, 1))
		return e;
	close(*client);
	duo_close(duo);
	return NULL;
}

static void
frozen_connection_waits(void **state)
{
	struct handoff__roster_entry *e;
	struct duo duo;
	unsigned handled;
	int client;

	e = open_frozen(&duo, state, &client);
	if (!e) {
		print_message("SKIP: repair mode takes CAP_NET_ADMIN\n");
		skip();
	}
	handled = atomic_load(&duo.a.handled);
	client_send(client, "more\n");
	run_for_a_while(&duo);
	assert_true(hears_nothing(client));
	assert_int_equal(atomic_load(&duo.a.handled), handled);
	assert_int_equal(duo.a.server->pair.roster.connections, 1);
	assert_int_equal(duo.a.server->pair.tally.ended, 0);
	assert_true(freeze(e, 0));
	client_expect(&duo, client, "2 more\n");
	client_line(&duo, client, 3);
	close(client);
	duo_close(&duo);
}

/* Its client has ended its direction: the connection would be closed, which
 * sends a segment. */
static void
frozen_connection_is_not_closed(void **state)
{
	struct handoff__roster_entry *e;
	struct duo duo;
	int client;

	e = open_frozen(&duo, state, &client);
	if (!e) {
		print_message("SKIP: repair mode takes CAP_NET_ADMIN\n");
		skip();
	}
	client_send(client, "last\n");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	run_for_a_while(&duo);
	assert_true(hears_nothing(client));
	assert_int_equal(duo.a.server->pair.roster.connections, 1);
	assert_true(freeze(e, 0));
	client_expect(&duo, client, "2 last\n");
	client_expect(&duo, client, "");
	close(client);
	duo_close(&duo);
}

/* What the ferry of `a` has still to send when the service moves to `b`, which
 * is told that a ferry had it. The record says that it was sent: so the
 * socket's counters begin so much earlier. */
#define REST "and the rest\n"

/* With the service; a thread or a child gives the connection back later. */
static struct handoff__roster_entry *
give(struct host *from, struct host *to, struct duo *duo)
{
	int err;

	/* the last one may not be over for both */
	while ((err = handoff_server_maintenance(from->server)) == -EBUSY)
		duo_turn(duo);
	assert_int_equal(err, 0);
	duo_expect(duo, to, HANDOFF_SERVER_OWNER);
	while (!connection(to)->mine)
		duo_turn(duo);
	return connection(to);
}

static struct handoff__roster_entry *
open_unfinished(struct duo *duo, void **state, int *client)
{
	struct handoff__roster_entry *e;

	duo_open(duo, duo_model(state));
	*client = client_open(duo->a.address);
	client_line(duo, *client, 1);
	while (handoff__record_activity(connection(&duo->a)->view.rec) !=
		HANDOFF__AT_REST)
		duo_turn(duo);
	e = connection(&duo->a);
	e->view.rec->tx_base -= strlen(REST);
	handoff__entry_begin(e);
	return give(&duo->a, &duo->b, duo);
}

static void
finish(const struct handoff__roster_entry *e)
{
	assert_int_equal(
		send(e->fd, REST, strlen(REST), MSG_NOSIGNAL), strlen(REST));
}

/* Every byte comes, in order, and not a byte before the ferry's. */
static void
unfinished_connection_waits(void **state)
{
	struct handoff__roster_entry *e;
	struct duo duo;
	int client;

	e = open_unfinished(&duo, state, &client);
	client_send(client, "more\n");
	run_for_a_while(&duo);
	assert_true(hears_nothing(client));
	assert_int_equal(atomic_load(&duo.b.handled), 0);
	assert_true(e->view.rec->touched & HANDOFF__UNFINISHED);
	finish(e);
	client_expect(&duo, client, REST "2 more\n");
	assert_false(e->view.rec->touched & HANDOFF__UNFINISHED);
	client_line(&duo, client, 3);
	close(client);
	duo_close(&duo);
}

/* Output that the handler has left in the record. */
static void
unfinished_connection_sends_nothing(void **state)
{
	struct handoff__roster_entry *e;
	struct handoff_conn txn;
	struct duo duo;
	int client;

	e = open_unfinished(&duo, state, &client);
	handoff__txn_begin(&txn, &e->view);
	handoff_conn_write(&txn, "later\n", 6);
	handoff__txn_commit(&txn);
	handoff__member_kick(handoff__member_of(e));
	run_for_a_while(&duo);
	assert_true(hears_nothing(client));
	finish(e);
	client_expect(&duo, client, REST "later\n");
	close(client);
	duo_close(&duo);
}

static void
unfinished_connection_is_not_closed(void **state)
{
	struct handoff__roster_entry *e;
	struct duo duo;
	int client;

	e = open_unfinished(&duo, state, &client);
	client_send(client, "last\n");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	run_for_a_while(&duo);
	assert_true(hears_nothing(client));
	finish(e);
	client_expect(&duo, client, REST "2 last\n");
	client_expect(&duo, client, "");
	close(client);
	duo_close(&duo);
}

/* It moves on, and the next server waits as well. */
static void
unfinished_connection_moves_back(void **state)
{
	struct handoff__roster_entry *e;
	struct duo duo;
	unsigned handled;
	int client;

	open_unfinished(&duo, state, &client);
	handled = atomic_load(&duo.a.handled);
	e = give(&duo.b, &duo.a, &duo);
	client_send(client, "more\n");
	run_for_a_while(&duo);
	assert_true(hears_nothing(client));
	assert_int_equal(atomic_load(&duo.a.handled), handled);
	finish(e);
	client_expect(&duo, client, REST "2 more\n");
	close(client);
	duo_close(&duo);
}

/* Its server ends: a stream without its end is reset, or the client would take
 * it for whole. */
static void
unfinished_connection_is_reset(void **state)
{
	struct duo duo;
	char byte;
	int client;

	open_unfinished(&duo, state, &client);
	handoff_server_stop(duo.a.server);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	handoff_server_stop(duo.b.server);
	handoff_server_stop(duo.b.server); /* does not wait */
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STOPPED);
	assert_int_equal(recv(client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(client);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		all_models(frozen_connection_waits),
		all_models(frozen_connection_is_not_closed),
		all_models(unfinished_connection_waits),
		all_models(unfinished_connection_sends_nothing),
		all_models(unfinished_connection_is_not_closed),
		all_models(unfinished_connection_moves_back),
		all_models(unfinished_connection_is_reset),
	};

	return cmocka_run_group_tests_name("frozen", tests, NULL, NULL);
}
