/* SPDX-License-Identifier: MIT */
/*
 * The walk over a server's connections, with their labels.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 5

/* A line sets the label, and is echoed. */
static int
label(struct handoff_conn *conn, void *arg)
{
	char text[100];
	size_t len;
	const char *in = handoff_conn_input(conn, &len);
	const char *newline = memchr(in, '\n', len);

	(void)arg;
	if (!newline)
		return 0;
	len = (size_t)(newline - in);
	snprintf(text, sizeof(text), "%.*s", (int)len, in);
	if (handoff_conn_label(conn, text) < 0)
		handoff_conn_write(conn, "no: ", 4);
	assert_int_equal(handoff_conn_label(conn, NULL), -EINVAL);
	handoff_conn_write(conn, in, len + 1);
	return handoff_conn_consume(conn, len + 1);
}

static void
duo_labelled(struct duo *duo, enum handoff_model model)
{
	duo_init(duo, model);
	duo->a.service.handle = duo->b.service.handle = label;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

/* Each connection once, as its client left it. */
static void
assert_walk(struct host *host, unsigned count, enum handoff_model model)
{
	const struct handoff_connection *c;
	unsigned seen = 0;
	int64_t now = (int64_t)time(NULL) * 1000;

	while (handoff_server_connections(host->server, &c) == 1) {
		char expected[80];

		assert_in_range(c->id, 1, CLIENTS);
		assert_int_equal(seen & 1u << c->id, 0);
		seen |= 1u << c->id;
		snprintf(
			expected, sizeof(expected), "user %u", (unsigned)c->id);
		assert_string_equal(c->label, expected);
		assert_int_equal(c->received, strlen(expected) + 1);
		/* a worker may not have noted what the client has read */
		if (c->sent > 0 || model == HANDOFF_MODEL_LOOP)
			assert_int_equal(c->sent, c->received);
		assert_memory_equal(c->address, "127.0.0.1:", 10);
		assert_in_range(c->since_ms, now - 100000, now + 2000);
	}
	assert_int_equal(__builtin_popcount(seen), count);
}

static void
each_connection_is_seen_once(void **state)
{
	const struct handoff_connection *c;
	enum handoff_model model = duo_model(state);
	struct duo duo;
	int fds[CLIENTS];

	duo_labelled(&duo, model);
	assert_int_equal(handoff_server_connections(duo.a.server, &c), 0);
	for (int i = 0; i < CLIENTS; i++) {
		char line[32];

		snprintf(line, sizeof(line), "user %d\n", i + 1);
		fds[i] = client_open(duo.a.address);
		client_send(fds[i], line);
		client_expect(&duo, fds[i], line);
	}
	assert_walk(&duo.a, CLIENTS, model);
	assert_walk(&duo.a, CLIENTS, model); /* it begins anew */
	assert_int_equal(handoff_server_connections(duo.a.server, &c), 1);
	assert_int_equal(handoff_server_connections(duo.a.server, NULL), 0);
	assert_walk(&duo.a, CLIENTS, model);
	assert_walk(&duo.b, 0, model);
	while (duo.a.server->pair.roster.uncovered > 0)
		duo_turn(&duo);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_walk(&duo.a, 0, model);
	assert_walk(&duo.b, CLIENTS, model);
	/* one goes in the middle of a walk */
	assert_int_equal(handoff_server_connections(duo.b.server, &c), 1);
	close(fds[c->id - 1]);
	fds[c->id - 1] = -1;
	while (duo.b.server->pair.roster.connections == CLIENTS)
		duo_turn(&duo);
	assert_walk(&duo.b, CLIENTS - 1, model);
	for (int i = 0; i < CLIENTS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	assert_int_equal(handoff_server_connections(NULL, &c), -EINVAL);
	duo_close(&duo);
}

static void
label_has_a_limit(void **state)
{
	const struct handoff_connection *c;
	char line[128];
	struct duo duo;
	int fd;

	(void)state;
	duo_labelled(&duo, HANDOFF_MODEL_LOOP);
	fd = client_open(duo.a.address);
	memset(line, 'x', 63);
	strcpy(line + 63, "\n");
	client_send(fd, line);
	client_expect(&duo, fd, line);
	assert_int_equal(handoff_server_connections(duo.a.server, &c), 1);
	assert_int_equal(strlen(c->label), 63);
	assert_int_equal(handoff_server_connections(duo.a.server, NULL), 0);
	memset(line, 'y', 64);
	strcpy(line + 64, "\n");
	client_send(fd, line);
	client_expect(&duo, fd, "no: ");
	client_expect(&duo, fd, line);
	assert_int_equal(handoff_server_connections(duo.a.server, &c), 1);
	assert_int_equal(c->label[0], 'x');
	assert_int_equal(handoff_server_connections(duo.a.server, NULL), 0);
	/* and it can be taken away */
	client_send(fd, "\n");
	client_expect(&duo, fd, "\n");
	assert_int_equal(handoff_server_connections(duo.a.server, &c), 1);
	assert_string_equal(c->label, "");
	close(fd);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(each_connection_is_seen_once),
		handoff_test(label_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
