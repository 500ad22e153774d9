/* SPDX-License-Identifier: MIT */
/*
 * The server says that a session is over: what it was getting then is not
 * repeated, so that a message that it does not take stands in no other's way,
 * and a server that does so at once is not asked again at once. The test plays
 * the server.
 */
#include "client/script.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { LONG = 6000 }; /* bytes of a message that a window cannot hold */

static struct site site;

static struct handoff_client *
begin(int *conn)
{
	static const char *endpoints[2];
	struct handoff_client_opts opts;

	site = site_open();
	opts = fixture_opts(endpoints, &site, NULL);
	return script_begin(&opts, &site, conn);
}

static void
end(struct handoff_client *client, int conn)
{
	handoff_client_free(client);
	close(conn);
	site_close(&site);
}

static void
say(struct handoff_client *client, const char *text)
{
	assert_int_equal(handoff_client_send(client, text, strlen(text)), 0);
}

/* A message of which the server gets a window, and no more. */
static void
say_long(struct handoff_client *client, int conn)
{
	char text[LONG];
	size_t got = 0;

	memset(text, 'l', sizeof(text));
	assert_int_equal(handoff_client_send(client, text, sizeof(text)), 0);
	while (got < SCRIPT_WINDOW)
		got += script_read(client, conn, HANDOFF__FRAME_DATA).len;
	assert_int_equal(got, SCRIPT_WINDOW);
}

static void
say_over(int conn, enum handoff__frame_type type, uint32_t ack)
{
	struct handoff__frame frame = {
		.type = type, .ack = ack, .reason = HANDOFF__ABORT_APPLICATION};

	script_write(conn, &frame);
}

/* After LOST: the new session. */
static int
expect_new(struct handoff_client *client, struct handoff_client_event *event)
{
	int conn;

	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	script_welcome(conn);
	*event = fixture_expect(client, HANDOFF_CLIENT_NEW);
	return conn;
}

static const enum handoff__frame_type words[] = {
	HANDOFF__FRAME_END, HANDOFF__FRAME_ABORT};

/* The server does not take a message: those behind it go to the next session,
 * and it does not. */
static void
test_not_taken(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct handoff_client_event lost, event;
		struct handoff_client *client;
		int conn, old;

		client = begin(&old);
		say_long(client, old);
		say(client, "and now");
		say_over(old, words[i], 0);
		lost = fixture_expect(client, HANDOFF_CLIENT_LOST);
		assert_int_equal(lost.certain, 0);
		assert_int_equal(lost.doubtful, LONG);
		assert_int_equal(handoff_client_unsent(client), 7);
		conn = expect_new(client, &event);
		assert_int_equal(event.certain, 0);
		assert_int_equal(event.doubtful, LONG);
		script_read_data(client, conn, "and now");
		fixture_expect_quiet(client);
		close(old);
		end(client, conn);
	}
}

/* What has come of it is certain, and of no use without the rest. */
static void
test_taken_in_part(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn, old;

	(void)state;
	client = begin(&old);
	say(client, "first");
	script_read_data(client, old, "first");
	script_say(old, HANDOFF__FRAME_ACK, 5);
	fixture_expect_quiet(client);
	say_long(client, old);
	say_over(old, HANDOFF__FRAME_ABORT, 105);
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.certain, 105);
	assert_int_equal(event.doubtful, LONG - 100);
	conn = expect_new(client, &event);
	assert_int_equal(event.certain, 105);
	assert_int_equal(event.doubtful, LONG - 100);
	say(client, "next");
	script_read_data(client, conn, "next");
	close(old);
	end(client, conn);
}

/* The server has said nothing: the message goes to the next session, whole. */
static void
test_not_told(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say_long(client, conn);
	fixture_reset(conn);
	conn = script_again(client, &site, 0);
	script_refuse(conn, HANDOFF__REFUSED_UNKNOWN);
	script_read(client, conn, HANDOFF__FRAME_NEW);
	script_welcome(conn);
	event = fixture_expect(client, HANDOFF_CLIENT_NEW);
	assert_int_equal(event.certain + event.doubtful, 0);
	assert_int_equal(script_read(client, conn, HANDOFF__FRAME_DATA).len,
		SCRIPT_WINDOW);
	assert_int_equal(handoff_client_unsent(client), LONG - SCRIPT_WINDOW);
	end(client, conn);
}

/* The last message of a program that has shut down: there is nothing that
 * another session would be good for. */
static void
test_nothing_is_left(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct handoff_client_event event;
		struct handoff_client *client;
		int conn;

		client = begin(&conn);
		say_long(client, conn);
		assert_int_equal(handoff_client_shutdown(client), 0);
		say_over(conn, words[i], 0);
		event = fixture_expect(client, HANDOFF_CLIENT_LOST);
		assert_int_equal(event.doubtful, LONG);
		fixture_expect(client, HANDOFF_CLIENT_CLOSED);
		fixture_expect_quiet(client);
		end(client, conn);
	}
}

/* Each session is over as soon as it has begun: the delays grow until one
 * delivers something. */
static void
test_over_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct handoff_client_event event;
		struct handoff_client *client;
		int conn;

		client = begin(&conn);
		for (unsigned n = 1; n <= 5; n++) {
			say_over(conn, words[i], 0);
			fixture_expect(client, HANDOFF_CLIENT_LOST);
			assert_int_equal(client->backoff.failures, n);
			close(conn);
			conn = expect_new(client, &event);
		}
		script_data(conn, 0, "serves");
		fixture_expect_data(client, "serves");
		say_over(conn, words[i], 0);
		fixture_expect(client, HANDOFF_CLIENT_LOST);
		assert_int_equal(client->backoff.failures, 1);
		end(client, conn);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_not_taken),
		handoff_test(test_taken_in_part),
		handoff_test(test_not_told),
		handoff_test(test_nothing_is_left),
		handoff_test(test_over_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
