/* SPDX-License-Identifier: MIT */
/*
 * Connections that stay for a while: a give waits for them, as it does for a
 * handler that runs, and they are served meanwhile; but not for ever.
 */
#include "server/duo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GIVE_MS 600
#define LONG    "hold 600000\n"

/* Numbers lines as all do; "hold MS" keeps the connection, and "free" releases
 * it. */
static int
serve_holds(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	if (len > 5 && memcmp(input, "hold ", 5) == 0 && input[len - 1] == '\n')
		assert_int_equal(handoff_conn_hold(conn, atol(input + 5)), 0);
	else if (len == 5 && memcmp(input, "free\n", 5) == 0)
		assert_int_equal(handoff_conn_hold(conn, 0), 0);
	return serve_lines(conn, arg);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
open_holds(struct duo *duo, void **state, bool whole)
{
	duo_init(duo, duo_model(state));
	duo->a.service.handle = duo->b.service.handle = serve_holds;
	duo->a.opts.give_timeout_ms = GIVE_MS;
	duo->a.opts.whole = whole;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
say(struct duo *duo, int fd, const char *line, const char *answer)
{
	client_send(fd, line);
	client_expect(duo, fd, answer);
}

static void
begin_give(struct duo *duo)
{
	assert_int_equal(handoff_server_maintenance(duo->a.server), 0);
	duo_expect(duo, &duo->b, HANDOFF_SERVER_OWNER);
}

/* Everything has moved, that one last. */
static void
expect_all_moved(struct duo *duo, const char *moved)
{
	duo_expect(duo, &duo->a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo->a.text, moved));
	assert_non_null(strstr(duo->a.text, " 0 left behind"));
}

static unsigned
handled(const struct host *host)
{
	return atomic_load(&host->handled);
}

static void
give_waits_until_it_is_released(void **state)
{
	struct duo duo;
	int held, other;
	unsigned before;

	open_holds(&duo, state, false);
	held = client_open(duo.a.address);
	other = client_open(duo.a.address);
	say(&duo, held, LONG, "1 " LONG);
	client_line(&duo, other, 1);
	begin_give(&duo);
	client_line(&duo, other, 2);
	assert_false(host_had(&duo.a, HANDOFF_SERVER_GAVE));
	/* it is served on where it was */
	before = handled(&duo.b);
	client_line(&duo, held, 2);
	client_line(&duo, held, 3);
	assert_int_equal(handled(&duo.b), before);
	say(&duo, held, "free\n", "4 free\n");
	expect_all_moved(&duo, "moved 2 connections");
	client_line(&duo, held, 5);
	assert_true(handled(&duo.b) > before);
	close(held);
	close(other);
	duo_close(&duo);
}

/* It is idle when its time comes, and its next owner may hold it anew. */
static void
it_moves_all_the_same_when_the_give_ends(void **state)
{
	struct duo duo;
	int64_t began;
	int held;

	open_holds(&duo, state, false);
	held = client_open(duo.a.address);
	say(&duo, held, LONG, "1 " LONG);
	began = now_ms();
	begin_give(&duo);
	expect_all_moved(&duo, "moved 1 connection");
	assert_true(now_ms() - began >= GIVE_MS / 4 * 3);
	client_line(&duo, held, 2);
	assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.b.text, " 0 left behind"));
	client_line(&duo, held, 3);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE); /* the way back */
	say(&duo, held, LONG, "4 " LONG);
	begin_give(&duo);
	assert_false(host_had(&duo.a, HANDOFF_SERVER_GAVE));
	say(&duo, held, "free\n", "5 free\n");
	expect_all_moved(&duo, "moved 1 connection");
	close(held);
	duo_close(&duo);
}

static void
it_lasts_as_long_as_was_said(void **state)
{
	struct duo duo;
	int64_t began;
	int held;

	open_holds(&duo, state, false);
	held = client_open(duo.a.address);
	began = now_ms();
	say(&duo, held, "hold 200\n", "1 hold 200\n");
	begin_give(&duo);
	expect_all_moved(&duo, "moved 1 connection");
	assert_true(now_ms() - began >= 199);
	client_line(&duo, held, 2);
	close(held);
	duo_close(&duo);
}

/* It holds itself again with each request: the give's time is all it has. */
static void
holding_again_gains_nothing(void **state)
{
	struct duo duo;
	char answer[64];
	int held, n = 1;

	open_holds(&duo, state, false);
	held = client_open(duo.a.address);
	say(&duo, held, LONG, "1 " LONG);
	begin_give(&duo);
	while (!host_had(&duo.a, HANDOFF_SERVER_GAVE)) {
		snprintf(answer, sizeof(answer), "%d " LONG, ++n);
		say(&duo, held, LONG, answer);
	}
	assert_true(n > 2);
	snprintf(answer, sizeof(answer), "%d " LONG, ++n);
	say(&duo, held, LONG, answer);
	close(held);
	duo_close(&duo);
}

static void
whole_give_begins_when_it_is_released(void **state)
{
	struct duo duo;
	int held, other;

	open_holds(&duo, state, true);
	held = client_open(duo.a.address);
	other = client_open(duo.a.address);
	say(&duo, held, LONG, "1 " LONG);
	client_line(&duo, other, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	client_line(&duo, held, 2);
	assert_false(host_had(&duo.b, HANDOFF_SERVER_OWNER));
	say(&duo, held, "free\n", "3 free\n");
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	expect_all_moved(&duo, "moved 2 connections");
	client_line(&duo, held, 4);
	client_line(&duo, other, 2);
	close(held);
	close(other);
	duo_close(&duo);
}

static void
end_of_its_client_ends_the_wait(void **state)
{
	struct duo duo;
	int held, other;

	open_holds(&duo, state, false);
	held = client_open(duo.a.address);
	other = client_open(duo.a.address);
	say(&duo, held, LONG, "1 " LONG);
	client_line(&duo, other, 1);
	begin_give(&duo);
	client_line(&duo, other, 2);
	assert_false(host_had(&duo.a, HANDOFF_SERVER_GAVE));
	close(held);
	expect_all_moved(&duo, "moved 1 connection");
	client_line(&duo, other, 3);
	close(other);
	duo_close(&duo);
}

/* A stop that is requested twice does not wait for it. */
static void
hurried_stop_takes_it_along(void **state)
{
	struct duo duo;
	int held;

	open_holds(&duo, state, false);
	held = client_open(duo.a.address);
	say(&duo, held, LONG, "1 " LONG);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	assert_false(host_had(&duo.a, HANDOFF_SERVER_STOPPED));
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(duo.a.event.moved, 1);
	client_line(&duo, held, 2);
	close(held);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(give_waits_until_it_is_released),
		each_model(it_moves_all_the_same_when_the_give_ends),
		each_model(it_lasts_as_long_as_was_said),
		each_model(holding_again_gains_nothing),
		each_model(whole_give_begins_when_it_is_released),
		each_model(end_of_its_client_ends_the_wait),
		each_model(hurried_stop_takes_it_along),
	};

	return cmocka_run_group_tests_name("holds", tests, NULL, NULL);
}
