/* SPDX-License-Identifier: MIT */
/*
 * Connections that are suspected of a death, without one: the test writes into
 * their records what a survivor would have. See tests/system/test_poison.py for
 * real ones.
 */
#include "server/duo.h"

#include "record/handling.h"
#include "server/internal.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 4 /* the last of them is no suspect */
#define TURNS   50

static struct handoff__member *
member(struct host *host, uint64_t id)
{
	struct handoff__roster *roster = &host->server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(roster, e))) {
		if (e->id == id)
			return handoff__member_of(e);
	}
	fail_msg("there is no such connection");
	return NULL;
}

/* As after a death in its handler. */
static void
accuse(struct host *host, uint64_t id)
{
	struct handoff__record *rec = member(host, id)->entry.view.rec;

	handoff__handler_enter(rec);
	assert_true(handoff__handler_died(rec));
}

/* The same, and it waits for its turn; a thread that has it comes back. */
static void
suspect(struct duo *duo, struct host *host, uint64_t id)
{
	struct handoff__member *conn = member(host, id);

	accuse(host, id);
	handoff__server_hold(host->server, true);
	if (host->server->model->quiesce(conn))
		assert_true(handoff__suspects_add(conn));
	handoff__server_hold(host->server, false);
	for (int i = 0; i < 1000 && !conn->suspect; i++)
		duo_turn(duo);
	assert_true(conn->suspect);
}

static unsigned
suspects(struct host *host)
{
	return handoff__pair_suspects(&host->server->pair);
}

static bool
covered(struct host *host)
{
	return host->server->pair.roster.uncovered == 0;
}

/* Clients 1 to CLIENTS of `a`, all of which were answered once. */
static void
open_clients(struct duo *duo, int fds[CLIENTS])
{
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = client_open(duo->a.address);
		client_line(duo, fds[i], 1);
	}
}

static void
close_clients(struct duo *duo, const int fds[CLIENTS])
{
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	duo_close(duo);
}

/* Those that take part in turns while handlers are held are in threads. */
static void
turn_some(struct duo *duo)
{
	for (int i = 0; i < TURNS; i++)
		duo_turn(duo);
}

/* A suspicion that comes with a handoff: one is in its handler at a time, and
 * those that are not suspected do not wait. */
static void
suspects_are_tried_one_by_one(void **state)
{
	struct duo duo;
	int fds[CLIENTS];
	/* The one that is tried, and the one that is no suspect; unless both
	 * have the same worker. */
	unsigned least = duo_model(state) == DUO_WORKERS ? 1 : 2;

	duo_open(&duo, duo_model(state));
	open_clients(&duo, fds);
	while (!covered(&duo.a))
		duo_turn(&duo);
	for (uint64_t id = 1; id < CLIENTS; id++)
		accuse(&duo.a, id);
	atomic_store(&duo.b.hold, duo_model(state) != HANDOFF_MODEL_LOOP);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(suspects(&duo.b), CLIENTS - 1);
	for (int i = 0; i < CLIENTS; i++)
		client_send(fds[i], "hello\n");
	if (atomic_load(&duo.b.hold)) {
		while (atomic_load(&duo.b.holding) < least)
			duo_turn(&duo);
		turn_some(&duo);
		assert_in_range(atomic_load(&duo.b.holding), least, 2);
		assert_int_equal(suspects(&duo.b), CLIENTS - 1);
		atomic_store(&duo.b.hold, false);
	}
	for (int i = 0; i < CLIENTS; i++)
		client_expect(&duo, fds[i], "2 hello\n");
	assert_int_equal(suspects(&duo.b), 0);
	for (int i = 0; i < CLIENTS; i++)
		client_line(&duo, fds[i], 3);
	close_clients(&duo, fds);
}

/* It waits for a standby, for so long and no longer; the others do not. */
static void
suspect_ends_where_no_standby_comes(void **state)
{
	struct duo duo;
	int fds[CLIENTS];

	duo_init(&duo, duo_model(state));
	duo.a.opts.suspect_wait_ms = 300;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	open_clients(&duo, fds);
	assert_false(handoff__suspects_add(member(&duo.a, 2)));
	suspect(&duo, &duo.a, 1);
	client_send(fds[0], "hello\n");
	for (int i = 1; i < CLIENTS; i++)
		client_line(&duo, fds[i], 2);
	assert_int_equal(suspects(&duo.a), 1);
	assert_int_equal(atomic_load(&duo.a.handled), 2 * CLIENTS - 1);
	while (duo.a.server->pair.tally.ends[HANDOFF__END_SUSPECT] == 0)
		duo_turn(&duo);
	/* Its handler has not run. */
	assert_int_equal(atomic_load(&duo.a.handled), 2 * CLIENTS - 1);
	for (int i = 1; i < CLIENTS; i++)
		client_line(&duo, fds[i], 3);
	assert_int_equal(
		duo.a.server->pair.tally.ends[HANDOFF__END_SUSPECT], 1);
	close_clients(&duo, fds);
}

static void
never(struct handoff__timer *timer)
{
	(void)timer;
}

/* It waits in silence, whatever its client does, and moves all the same. */
static void
suspect_that_waits_moves_at_once(void **state)
{
	struct duo duo;
	int fds[CLIENTS];

	duo_open(&duo, duo_model(state));
	open_clients(&duo, fds);
	while (!covered(&duo.a))
		duo_turn(&duo);
	/* It gets no turn before the handoff. */
	duo.a.server->suspects.timer.fn = never;
	suspect(&duo, &duo.a, 1);
	client_send(fds[0], "hello\n");
	turn_some(&duo);
	assert_int_equal(suspects(&duo.a), 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_true(TAILQ_EMPTY(&duo.a.server->suspects.list));
	client_expect(&duo, fds[0], "2 hello\n");
	assert_int_equal(suspects(&duo.b), 0);
	/* And back, as if nothing had been. */
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_line(&duo, fds[0], 3);
	close_clients(&duo, fds);
}

/* A stop closes it with the others; its handler is not called. */
static void
suspect_ends_with_the_server(void **state)
{
	struct duo duo;
	int fds[CLIENTS];

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	open_clients(&duo, fds);
	suspect(&duo, &duo.a, 1);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	client_expect(&duo, fds[0], "");
	assert_int_equal(atomic_load(&duo.a.handled), CLIENTS);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	close_clients(&duo, fds);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(suspects_are_tried_one_by_one),
		each_model(suspect_ends_where_no_standby_comes),
		each_model(suspect_that_waits_moves_at_once),
		each_model(suspect_ends_with_the_server),
	};

	return cmocka_run_group_tests_name("suspects", tests, NULL, NULL);
}
