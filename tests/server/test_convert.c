/* SPDX-License-Identifier: MIT */
/*
 * A new program with states of another version takes over from an old one:
 * each connection goes on with what the service makes of its old state.
 */
#include "server/duo.h"

#include "base/fdpass.h"
#include "server/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* The state of version 1 is the uint32_t of serve_lines. */
struct grown {
	uint64_t number;
	char made[200]; /* "from 1" */
};

/* As serve_lines, with the state of version 2. */
static int
serve_grown(struct handoff_conn *conn, void *arg)
{
	struct grown *state = handoff_conn_state(conn);
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *newline = memchr(input, '\n', len);
	char text[2000];
	int n;

	(void)arg;
	if (!newline)
		return 0;
	len = (size_t)(newline + 1 - input);
	n = snprintf(text, sizeof(text), "%llu%s %.*s",
		(unsigned long long)++state->number, state->made, (int)len,
		input);
	if (handoff_conn_room(conn) < (size_t)n) {
		state->number--;
		return 0;
	}
	handoff_conn_write(conn, text, (size_t)n);
	return handoff_conn_consume(conn, len);
}

static int
grow(uint32_t version, const void *old, size_t old_size, void *state, void *arg)
{
	struct grown *new = state;
	uint32_t number;

	(void)arg;
	assert_int_equal(version, 1);
	assert_true(old_size >= sizeof(number));
	assert_int_equal(new->number, 0);
	memcpy(&number, old, sizeof(number));
	if (number == 13)
		return -EDOM;
	new->number = number;
	snprintf(new->made, sizeof(new->made), " from %u", version);
	return 0;
}

static int
shrink(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	const struct grown *from = old;

	(void)arg;
	assert_int_equal(version, 2);
	assert_true(old_size >= sizeof(*from));
	*(uint32_t *)state = (uint32_t)from->number;
	return 0;
}

static void
make_grown(struct host *host, uint32_t version)
{
	host->service.state_version = version;
	host->service.state_size = sizeof(struct grown);
	host->service.handle = serve_grown;
	host->service.convert = grow;
	host->service.convert_from = 1;
}

static void
open_versions(struct duo *duo, void **state)
{
	duo_init(duo, duo_model(state));
	duo->a.service.state_version = 1;
	make_grown(&duo->b, 2);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
upgrade(struct duo *duo)
{
	assert_int_equal(handoff_server_maintenance(duo->a.server), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_OWNER);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_GAVE);
}

static void
state_grows(void **state)
{
	struct duo duo;
	int old, quiet, new;

	open_versions(&duo, state);
	old = client_open(duo.a.address);
	quiet = client_open(duo.a.address);
	client_line(&duo, old, 1);
	client_line(&duo, old, 2);
	client_line(&duo, quiet, 1);
	client_send(old, "half a ");
	duo_turn(&duo);
	upgrade(&duo);
	assert_non_null(strstr(duo.a.text, "moved 2 connections, 1 listener"));
	client_send(old, "line\n");
	client_expect(&duo, old, "3 from 1 half a line\n");
	new = client_open(duo.a.address);
	client_send(new, "hello\n");
	client_expect(&duo, new, "1 hello\n");
	client_send(quiet, "hello\n");
	client_expect(&duo, quiet, "2 from 1 hello\n");
	close(quiet);
	client_send(old, "again\n");
	client_expect(&duo, old, "4 from 1 again\n");
	close(old);
	close(new);
	duo_close(&duo);
}

static size_t
lines_that_came(int fd)
{
	static char got[1 << 16];
	size_t lines = 0;
	ssize_t n;

	while ((n = recv(fd, got, sizeof(got), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += got[i] == '\n';
	}
	return lines;
}

/* Sends on in a stream of equal lines; false if it is not taken. */
static bool
send_on(int fd, size_t *sent)
{
	char line[1200];
	size_t at = *sent % sizeof(line);
	ssize_t n;

	memset(line, 'l', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	n = send(fd, line + at, sizeof(line) - at, MSG_DONTWAIT);
	*sent += n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* What the old program has not sent yet the new one does; and what it has not
 * read. */
static void
unsent_output_goes_along(void **state)
{
	struct duo duo;
	size_t sent = 0, lines = 0;
	int fd;

	open_versions(&duo, state);
	fd = client_open(duo.a.address);
	for (int stuck = 0; stuck < 5; duo_turn(&duo), stuck++) {
		while (send_on(fd, &sent))
			stuck = 0;
	}
	upgrade(&duo);
	for (int i = 0; sent % 1200 != 0 || lines < sent / 1200; i++) {
		assert_true(i < 10000);
		if (sent % 1200 != 0)
			send_on(fd, &sent);
		duo_turn(&duo);
		lines += lines_that_came(fd);
	}
	assert_int_equal(lines, sent / 1200);
	client_send(fd, "end\n");
	for (int i = 0; lines == sent / 1200; i++) {
		assert_true(i < 10000);
		duo_turn(&duo);
		lines += lines_that_came(fd);
	}
	close(fd);
	duo_close(&duo);
}

static void
state_shrinks(void **state)
{
	struct duo duo;
	int fd;

	/* Version 2 first, then 3, which is small again. */
	duo_init(&duo, duo_model(state));
	make_grown(&duo.a, 2);
	duo.b.service.state_version = 3;
	duo.b.service.convert = shrink;
	duo.b.service.convert_from = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	client_line(&duo, fd, 2);
	upgrade(&duo);
	client_line(&duo, fd, 3);
	close(fd);
	duo_close(&duo);
}

/* The books of both are right whatever became of the connections. */
static void
assert_counts(struct handoff_server *server, unsigned gave, unsigned took,
	unsigned ended, size_t received)
{
	struct handoff__pair *peer = &server->pair;
	const struct handoff__tally *tally = &peer->tally;
	struct handoff__load all;

	assert_int_equal(tally->moved[HANDOFF__WAY_OUT], gave);
	assert_int_equal(tally->moved[HANDOFF__WAY_IN], took);
	assert_int_equal(tally->ended, ended);
	assert_int_equal(tally->ends[HANDOFF__END_STATE], ended);
	assert_int_equal(
		peer->roster.connections, tally->begun + took - gave - ended);
	handoff__tally_passed(peer, &all);
	assert_int_equal(all.received, received);
}

static void
one_that_cannot_be_converted_ends_alone(void **state)
{
	struct duo duo;
	int unlucky, lucky;
	char byte;

	open_versions(&duo, state);
	unlucky = client_open(duo.a.address);
	lucky = client_open(duo.a.address);
	for (unsigned i = 1; i <= 13; i++)
		client_line(&duo, unlucky, i);
	client_line(&duo, lucky, 1);
	upgrade(&duo);
	client_expect(&duo, unlucky, "");
	assert_int_equal(recv(unlucky, &byte, 1, MSG_DONTWAIT), 0);
	client_send(lucky, "x\n");
	client_expect(&duo, lucky, "2 from 1 x\n");
	assert_counts(duo.a.server, 2, 0, 0, 14 * strlen("hello\n"));
	assert_counts(duo.b.server, 0, 2, 1, strlen("x\n"));
	close(unlucky);
	close(lucky);
	duo_close(&duo);
}

/* A dump by `b`; returns its text, to be freed. */
static char *
dump(struct duo *duo)
{
	int file = memfd_create("dump", MFD_CLOEXEC), sock;
	struct handoff__dir dir;
	char answer[200] = "", *text;
	off_t size;

	assert_int_equal(
		handoff__dir_open(&dir, duo->b.opts.dir, false, false, NULL),
		0);
	sock = handoff__dir_connect(&dir, "control.2", SOCK_STREAM);
	assert_int_equal(handoff__fdpass_send_text(sock, "dump\n", 5, file), 5);
	for (int i = 0; i < 10000 && !answer[0]; i++) {
		duo_turn(duo);
		if (recv(sock, answer, sizeof(answer) - 1, MSG_DONTWAIT) < 0)
			answer[0] = '\0';
	}
	assert_int_equal(strncmp(answer, "ok ", 3), 0);
	size = lseek(file, 0, SEEK_END);
	text = calloc(1, (size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(pread(file, text, (size_t)size, 0), size);
	close(file);
	close(sock);
	handoff__dir_close(&dir);
	duo_turn(duo);
	duo_turn(duo);
	return text;
}

static int
print_grown(const void *state, char *text, size_t size, void *arg)
{
	const struct grown *grown = state;

	(void)arg;
	return snprintf(text, size, "grown %llu%s",
		(unsigned long long)grown->number, grown->made);
}

static bool
is_held(struct duo *duo, unsigned connections)
{
	return atomic_load(&duo->a.holding) == connections;
}

/* One connection stays with the old program, in its handler, the others have
 * moved: a dump has both, each with its own state. */
static void
dump_has_states_of_both_versions(void **state)
{
	struct duo duo;
	int stays, moves;
	char *text;

	duo_init(&duo, duo_model(state));
	duo.a.service.state_version = 1;
	make_grown(&duo.b, 2);
	duo.b.service.print = print_grown;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	moves = client_open(duo.a.address);
	stays = client_open(duo.a.address);
	client_line(&duo, moves, 1);
	client_line(&duo, stays, 1);
	client_line(&duo, stays, 2);
	atomic_store(&duo.a.hold, true);
	client_send(stays, "x\n");
	for (int i = 0; i < 10000 && !is_held(&duo, 1); i++)
		duo_turn(&duo);
	assert_true(is_held(&duo, 1));
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	client_send(moves, "x\n");
	client_expect(&duo, moves, "2 from 1 x\n");
	text = dump(&duo);
	assert_non_null(strstr(text, "\"entries\":3}\n"));
	assert_non_null(strstr(text, ",\"state\":\"grown 2 from 1\"}\n"));
	assert_non_null(strstr(
		text, ",\"state_version\":1,\"state_hex\":\"02000000\"}\n"));
	free(text);
	atomic_store(&duo.a.hold, false);
	client_expect(&duo, stays, "3 x\n");
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_send(stays, "y\n");
	client_expect(&duo, stays, "4 from 1 y\n");
	text = dump(&duo);
	assert_non_null(strstr(text, "\"entries\":3}\n"));
	assert_null(strstr(text, "state_hex"));
	assert_non_null(strstr(text, ",\"state\":\"grown 4 from 1\"}\n"));
	free(text);
	close(stays);
	close(moves);
	duo_close(&duo);
}

static void
there_is_no_way_back(void **state)
{
	struct duo duo;
	int fd;

	open_versions(&duo, state);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	upgrade(&duo);
	assert_int_equal(handoff_server_maintenance(duo.b.server), -EPERM);
	assert_non_null(strstr(handoff_server_errmsg(duo.b.server),
		"cannot take those of version 2"));
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	assert_non_null(strstr(duo.a.text, "a different state version"));
	client_send(fd, "x\n");
	client_expect(&duo, fd, "2 from 1 x\n");
	close(fd);
	duo_close(&duo);
}

static void
without_a_conversion_it_is_refused(void **state)
{
	struct duo duo;

	duo_init(&duo, duo_model(state));
	duo.a.service.state_version = 1;
	make_grown(&duo.b, 2);
	duo.b.service.convert = NULL;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), -EPROTO);
	assert_non_null(strstr(duo.b.why, "state version 1 there, 2 here"));
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	/* Nor one that reaches back, but not far enough. */
	duo.b.service.convert = grow;
	duo.b.service.convert_from = 2;
	assert_int_equal(host_open(&duo.b, &duo.a), -EPROTO);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(state_grows),
		each_model(unsent_output_goes_along),
		each_model(state_shrinks),
		each_model(one_that_cannot_be_converted_ends_alone),
		thread_and_workers(dump_has_states_of_both_versions),
		handoff_test(there_is_no_way_back),
		handoff_test(without_a_conversion_it_is_refused),
	};

	return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
