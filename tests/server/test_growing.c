/* SPDX-License-Identifier: MIT */
/*
 * A service whose states grow, in two servers: the length moves along, to the
 * same version and to a newer one.
 */
#include "server/duo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 65536u

/* Keeps every line, and answers with how much that is and the first one. */
static int
collect(struct handoff_conn *conn, void *arg)
{
	size_t len, had = handoff_conn_state_len(conn);
	const char *input = handoff_conn_input(conn, &len);
	const char *newline = memchr(input, '\n', len);
	char text[100];
	char *all;

	(void)arg;
	if (!newline)
		return 0;
	len = (size_t)(newline + 1 - input);
	all = handoff_conn_state_resize(conn, had + len);
	if (!all)
		return -ENOSPC;
	memcpy(all + had, input, len);
	snprintf(text, sizeof(text), "%zu %.5s\n", had + len, all);
	handoff_conn_write(conn, text, strlen(text));
	return handoff_conn_consume(conn, len);
}

/* All is in use then; so it says how much. */
static int
convert(uint32_t version, const void *old, size_t old_size, void *state,
	void *arg)
{
	(void)arg;
	assert_int_equal(version, 1);
	snprintf(state, LIMIT, "%zu:%.*s", old_size, (int)old_size,
		(const char *)old);
	return 0;
}

static int
show(struct handoff_conn *conn, void *arg)
{
	size_t len;
	char *all = handoff_conn_state(conn);
	char text[100];

	(void)arg;
	handoff_conn_input(conn, &len);
	snprintf(text, sizeof(text), "%zu %s", handoff_conn_state_len(conn),
		all);
	handoff_conn_write(conn, text, strlen(text));
	handoff_conn_state_resize(conn, strlen(all) + 1);
	return handoff_conn_consume(conn, len);
}

static void
make_growing(struct host *host)
{
	host->service.state_version = 1;
	host->service.state_size = LIMIT;
	host->service.state_grows = true;
	host->service.handle = collect;
}

static void
say(struct duo *duo, int fd, const char *line, const char *answer)
{
	client_send(fd, line);
	client_expect(duo, fd, answer);
}

static void
give(struct duo *duo)
{
	assert_int_equal(handoff_server_maintenance(duo->a.server), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_OWNER);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_GAVE);
}

static void
length_moves_along(void **state)
{
	struct duo duo;
	int fd, quiet;

	duo_init(&duo, duo_model(state));
	make_growing(&duo.a);
	make_growing(&duo.b);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	fd = client_open(duo.a.address);
	quiet = client_open(duo.a.address);
	say(&duo, fd, "one\n", "4 one\n\n");
	say(&duo, fd, "two\n", "8 one\nt\n");
	give(&duo);
	say(&duo, fd, "three\n", "14 one\nt\n");
	say(&duo, quiet, "a\n", "2 a\n\n");
	close(fd);
	close(quiet);
	duo_close(&duo);
}

static atomic_bool folded;

static void
note_fold(uint64_t id, void *arg)
{
	(void)id;
	(void)arg;
	atomic_store(&folded, true);
}

/* `rests`: nothing happens for some seconds before. */
static void
convert_one(enum handoff_model model, bool rests)
{
	struct duo duo;
	int fd;

	duo_init(&duo, model);
	make_growing(&duo.a);
	duo.a.service.idle = note_fold;
	atomic_store(&folded, false);
	make_growing(&duo.b);
	duo.b.service.state_version = 2;
	duo.b.service.convert = convert;
	duo.b.service.convert_from = 1;
	duo.b.service.handle = show;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	fd = client_open(duo.a.address);
	say(&duo, fd, "one\n", "4 one\n\n");
	for (int i = 0; rests && !atomic_load(&folded) && i < 20000; i++)
		duo_turn(&duo);
	assert_true(atomic_load(&folded) || !rests);
	give(&duo);
	say(&duo, fd, "?\n", "65536 4:one\n");
	say(&duo, fd, "?\n", "7 4:one\n");
	close(fd);
	duo_close(&duo);
}

static void
newer_version_is_told_the_length(void **state)
{
	convert_one(duo_model(state), false);
}

static void
folded_state_is_converted(void **state)
{
	convert_one(duo_model(state), true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(length_moves_along),
		each_model(newer_version_is_told_the_length),
		handoff_test(folded_state_is_converted),
	};

	return cmocka_run_group_tests_name("growing", tests, NULL, NULL);
}
