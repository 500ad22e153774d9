/* SPDX-License-Identifier: MIT */
/*
 * A socket in repair mode, as a ferry leaves it if it dies: the connection
 * waits, in every model, and goes on when the socket is in use again.
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		all_models(frozen_connection_waits),
		all_models(frozen_connection_is_not_closed),
	};

	return cmocka_run_group_tests_name("frozen", tests, NULL, NULL);
}
