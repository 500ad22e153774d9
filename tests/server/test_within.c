/* SPDX-License-Identifier: MIT */
/*
 * What handlers may call: handoff_server_say, whose lines reach all clients,
 * from any number of handlers at once and in every model; all else is refused.
 */
#include "server/duo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TALKERS 4
#define LINES   50

/* How many of the calls that a handler must not make were not refused. */
static int
allowed(struct handoff_server *server)
{
	char address[HANDOFF_ADDRESS_MAX];
	const struct handoff_server_event *event;
	int ok = 0;

	ok += handoff_server_fd(server) != -EDEADLK;
	ok += handoff_server_dispatch(server) != -EDEADLK;
	ok += handoff_server_wait(server, 0) != -EDEADLK;
	ok += handoff_server_next(server, &event) != -EDEADLK;
	ok += handoff_server_watch(server, 0, NULL, NULL) != -EDEADLK;
	ok += handoff_server_signals(server) != -EDEADLK;
	ok += handoff_server_maintenance(server) != -EDEADLK;
	ok += handoff_server_ready(server, true) != -EDEADLK;
	ok += handoff_server_loading(server, NULL) != -EDEADLK;
	ok += handoff_server_stop(server) != -EDEADLK;
	ok += handoff_server_console(server, "/nowhere") != -EDEADLK;
	ok += handoff_server_partner(server) != -EDEADLK;
	ok += handoff_server_listener(server, 0, address, sizeof(address)) !=
	      -EDEADLK;
	ok += handoff_server_extra(server, "none") != -EDEADLK;
	handoff_server_free(server);
	return ok;
}

/* "say": says a line to all; "try": makes all other calls. Answers with what
 * came of it. */
static int
talk(struct handoff_conn *conn, void *arg)
{
	struct host *host = arg;
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	char text[32];
	int rc;

	if (len < 4)
		return 0;
	rc = input[0] == 's' ? handoff_server_say(host->server, 0, "to all")
			     : allowed(host->server);
	if (rc == -EAGAIN)
		rc = 0; /* another test's concern */
	len = (size_t)snprintf(text, sizeof(text), "%c%d\n", input[0], rc);
	handoff_conn_write(conn, text, len);
	return handoff_conn_consume(conn, 4);
}

static void
open_talk(struct duo *duo, enum handoff_model model)
{
	duo_init(duo, model);
	duo->a.service.handle = duo->b.service.handle = talk;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

/* Counts lines of that text until `wanted` have come. */
static void
count_lines(struct duo *duo, int fd, unsigned said, unsigned answers)
{
	char got[64];
	size_t len = 0;

	for (int idle = 0; said + answers > 0;) {
		ssize_t n = recv(fd, got + len, 1, MSG_DONTWAIT);

		if (n < 0) {
			idle += !duo_turn(duo);
			assert_in_range(idle, 0, 2000);
			continue;
		}
		assert_int_equal(n, 1);
		if (got[len++] != '\n')
			continue;
		got[len] = '\0';
		if (strcmp(got, "to all\n") == 0)
			said--;
		else if (strcmp(got, "s0\n") == 0)
			answers--;
		else
			fail_msg("unexpected: %s", got);
		len = 0;
	}
}

static void
handlers_speak(enum handoff_model model)
{
	struct duo duo;
	int fd[TALKERS];

	open_talk(&duo, model);
	for (int i = 0; i < TALKERS; i++) {
		fd[i] = client_open(duo.a.address);
		client_send(fd[i], "try\n");
		client_expect(&duo, fd[i], "t0\n");
	}
	for (int n = 0; n < LINES; n++) {
		for (int i = 0; i < TALKERS; i++)
			client_send(fd[i], "say\n");
	}
	for (int i = 0; i < TALKERS; i++)
		count_lines(&duo, fd[i], TALKERS * LINES, LINES);
	for (int i = 0; i < TALKERS; i++)
		close(fd[i]);
	duo_close(&duo);
}

static void
in_each(void **state)
{
	handlers_speak(duo_model(state));
}

static void
in_children(void **state)
{
	(void)state;
	support_not_in_valgrind();
	handlers_speak(HANDOFF_MODEL_FORK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(in_each),
		handoff_test(in_children),
	};

	return cmocka_run_group_tests_name("within", tests, NULL, NULL);
}
