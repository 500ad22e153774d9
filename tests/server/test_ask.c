/* SPDX-License-Identifier: MIT */
/*
 * A server's answers about itself, and the progress that it reports before a
 * move or a stop ends.
 */
#include "server/duo.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TURNS_MAX 100000

static void
nothing_is_refused(void **state)
{
	char address[HANDOFF_ADDRESS_MAX];
	struct duo duo;

	(void)state;
	assert_false(handoff_server_moving(NULL));
	assert_int_equal(handoff_server_partner(NULL), -EINVAL);
	assert_int_equal(
		handoff_server_listener(NULL, 0, address, sizeof(address)),
		-EINVAL);
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(
		handoff_server_listener(duo.a.server, 0, NULL, sizeof(address)),
		-EINVAL);
	duo_close(&duo);
}

static void
partner_is_told(void **state)
{
	struct duo duo;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(handoff_server_partner(duo.a.server), -ENOTCONN);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	assert_int_equal(handoff_server_partner(duo.a.server), getpid());
	assert_int_equal(handoff_server_partner(duo.b.server), getpid());
	assert_int_equal(handoff_server_stop(duo.b.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.b.server);
	duo.b.server = NULL;
	duo_turn(&duo);
	assert_int_equal(handoff_server_partner(duo.a.server), -ENOTCONN);
	duo_close(&duo);
}

/* Those that this peer owns, in their order, wherever they were opened. */
static void
listeners_are_told(void **state)
{
	const char *listen[] = {"127.0.0.1:0", "[::1]:0"};
	char address[HANDOFF_ADDRESS_MAX];
	const struct handoff_server_event *ev;
	struct duo duo;
	size_t n = 0;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.listen = listen;
	duo.a.opts.nlisten = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	while (handoff_server_next(duo.a.server, &ev) == 1) {
		if (ev->type != HANDOFF_SERVER_LISTENING)
			continue;
		assert_true(handoff_server_listener(duo.a.server, n++, address,
				    sizeof(address)) >= 0);
		assert_string_equal(
			ev->text + strlen("listening on "), address);
	}
	assert_int_equal(n, 2);
	assert_int_equal(handoff_server_listener(
				 duo.a.server, 2, address, sizeof(address)),
		-ENOENT);
	/* Without its last zero byte it is not whole. */
	assert_int_equal(handoff_server_listener(duo.a.server, 0, address,
				 sizeof("127.0.0.1:1") - 1),
		-ENOBUFS);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(handoff_server_listener(
				 duo.b.server, 0, address, sizeof(address)),
		-ENOENT);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_true(handoff_server_listener(
			    duo.b.server, 1, address, sizeof(address)) >= 0);
	assert_int_equal(handoff_server_listener(
				 duo.a.server, 0, address, sizeof(address)),
		-ENOENT);
	duo_close(&duo);
}

static void
wait_for_holding(struct duo *duo)
{
	for (int i = 0; atomic_load(&duo->a.holding) != 1; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		duo_turn(duo);
	}
}

/* For as long as a handler holds it up. */
static void
beginning_of_a_handoff_is_told(void **state)
{
	struct duo duo;
	int client;

	(void)state;
	duo_open(&duo, HANDOFF_MODEL_THREAD);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	atomic_store(&duo.a.hold, true);
	client_send(client, "hello\n");
	wait_for_holding(&duo);
	assert_false(handoff_server_moving(duo.a.server));
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GIVING);
	assert_non_null(strstr(duo.a.text, "giving: everything to alt (pid "));
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STANDBY);
	assert_true(handoff_server_moving(duo.a.server));
	assert_false(host_had(&duo.a, HANDOFF_SERVER_GAVE));
	atomic_store(&duo.a.hold, false);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_false(handoff_server_moving(duo.a.server));
	client_expect(&duo, client, "2 hello\n");
	assert_int_equal(handoff_server_ready(duo.a.server, false), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GIVING);
	assert_non_null(strstr(duo.b.text, "the listeners to server"));
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.b.server, true), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GIVING);
	assert_non_null(strstr(duo.b.text, "what is left to server"));
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	client_line(&duo, client, 3);
	close(client);
	duo_close(&duo);
}

static void
stop_is_told_first(void **state)
{
	struct duo duo;
	int client;

	(void)state;
	duo_open(&duo, HANDOFF_MODEL_LOOP);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	assert_true(handoff_server_moving(duo.a.server));
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPING);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GIVING);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_false(handoff_server_moving(duo.a.server));
	client_line(&duo, client, 2);
	close(client);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(nothing_is_refused),
		handoff_test(partner_is_told),
		handoff_test(listeners_are_told),
		handoff_test(beginning_of_a_handoff_is_told),
		handoff_test(stop_is_told_first),
	};

	return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
