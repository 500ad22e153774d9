/* SPDX-License-Identifier: MIT */
/*
 * A session over successive connections: nothing is lost or there twice, its
 * end by either side, servers that refuse it, that have none, and that violate
 * the protocol. The test plays the server.
 */
#include "client/script.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static void
expect_resumed(struct handoff_client *client)
{
	struct handoff_client_event event =
		fixture_expect(client, HANDOFF_CLIENT_RESUMED);

	assert_string_equal(event.endpoint, site.address);
	assert_non_null(strstr(event.text, "the session goes on"));
}

/* Both directions, in frames, of which the program sees nothing. */
static void
test_talk(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "hello");
	script_read_data(client, conn, "hello");
	script_data(conn, 5, "hello ");
	script_data(conn, 5, "yourself");
	fixture_expect_data(client, "hello yourself");
	fixture_expect_quiet(client);
	assert_int_equal(handoff_client_unsent(client), 0);
	end(client, conn);
}

/* The connection is reset with bytes under way in both directions. */
static void
test_goes_on(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "one");
	say(client, "two");
	script_read_data(client, conn, "onetwo");
	script_data(conn, 0, "so far");
	fixture_expect_data(client, "so far");
	fixture_reset(conn);
	conn = script_again(client, &site, 6);
	say(client, "three");
	fixture_nothing(conn);
	/* it had "one" and a byte */
	script_resume(conn, 4, 3);
	script_data(conn, 4, ", so good");
	expect_resumed(client);
	script_read_data(client, conn, "wothree");
	fixture_expect_data(client, ", so good");
	fixture_expect_quiet(client);
	end(client, conn);
}

/* Again and again, also before the answer has come. */
static void
test_goes_on_and_on(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "0123456789");
	for (uint32_t i = 0; i < 10; i++) {
		fixture_reset(conn);
		conn = script_again(client, &site, i);
		/* a connection that breaks before the answer */
		fixture_reset(conn);
		fixture_expect(client, HANDOFF_CLIENT_RETRY);
		conn = fixture_accept(client, &site);
		script_asked(client, conn, HANDOFF__FRAME_RESUME);
		script_resume(conn, i, i);
		expect_resumed(client);
		script_read_data(client, conn, &"0123456789"[i]);
		script_data(conn, i, "x");
		fixture_expect_data(client, "x");
	}
	fixture_expect_quiet(client);
	end(client, conn);
}

/* The program ends first, then the service. */
static void
test_orderly_end(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "bye");
	assert_int_equal(handoff_client_shutdown(client), 0);
	script_read_data(client, conn, "bye");
	script_read(client, conn, HANDOFF__FRAME_END);
	script_data(conn, 4, "see you");
	fixture_expect_data(client, "see you");
	fixture_expect_quiet(client);
	script_say(conn, HANDOFF__FRAME_END, 4);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	assert_int_equal(script_read(client, conn, HANDOFF__FRAME_ACK).ack, 8);
	fixture_read_end(client, conn);
	fixture_expect_quiet(client);
	end(client, conn);
}

/* The connection breaks after each side's end: it goes on until both know. */
static void
test_end_is_resumed(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "bye");
	assert_int_equal(handoff_client_shutdown(client), 0);
	script_read_data(client, conn, "bye");
	script_read(client, conn, HANDOFF__FRAME_END);
	fixture_reset(conn);
	conn = script_again(client, &site, 0);
	script_resume(conn, 3, 3); /* without END */
	expect_resumed(client);
	script_read(client, conn, HANDOFF__FRAME_END);
	script_say(conn, HANDOFF__FRAME_END, 3);
	fixture_expect_quiet(client);
	script_read(client, conn, HANDOFF__FRAME_ACK);
	fixture_reset(conn);
	conn = script_again(client, &site, 1);
	script_resume(conn, 4, 4);
	expect_resumed(client);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	end(client, conn);
}

/* All is known to have arrived, and the server has forgotten the session. */
static void
test_end_is_forgotten(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "bye");
	assert_int_equal(handoff_client_shutdown(client), 0);
	script_read_data(client, conn, "bye");
	script_read(client, conn, HANDOFF__FRAME_END);
	fixture_reset(conn);
	conn = script_again(client, &site, 0);
	script_refuse(conn, HANDOFF__REFUSED_UNKNOWN);
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -ECONNRESET);
	assert_int_equal(event.certain, 0);
	assert_int_equal(event.doubtful, 3);
	assert_true(event.lost);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	fixture_read_end(NULL, conn);
	end(client, conn);
}

/* What was not acknowledged and what was not sent, of a session that is lost.
 */
static void
test_new(void **state)
{
	static const enum handoff__refusal reasons[] = {
		HANDOFF__REFUSED_UNKNOWN, HANDOFF__REFUSED_POSITION};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct handoff_client_event event;
		struct handoff_client *client;
		int conn;

		client = begin(&conn);
		say(client, "taken");
		say(client, "perhaps");
		script_read_data(client, conn, "takenperhaps");
		script_data(conn, 5, "and more");
		fixture_expect_data(client, "and more");
		fixture_reset(conn);
		conn = script_again(client, &site, 8);
		say(client, "not yet");
		script_refuse(conn, reasons[i]);
		script_read(client, conn, HANDOFF__FRAME_NEW);
		script_welcome(conn);
		event = fixture_expect(client, HANDOFF_CLIENT_NEW);
		assert_non_null(strstr(event.text,
			"is over, with 5 bytes taken and 7 in doubt"));
		assert_string_equal(event.endpoint, site.address);
		assert_int_equal(event.certain, 5);
		assert_int_equal(event.doubtful, 7);
		assert_int_equal(event.received, 8);
		assert_true(event.lost);
		script_read_data(client, conn, "not yet");
		fixture_expect_quiet(client);
		end(client, conn);
	}
}

/* The service ends the session, before the program does. */
static void
test_service_ends(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "hello");
	script_read_data(client, conn, "hello");
	script_data(conn, 5, "go away");
	script_say(conn, HANDOFF__FRAME_END, 5);
	fixture_expect_data(client, "go away");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, 0);
	assert_int_equal(event.certain, 5);
	assert_int_equal(event.doubtful, 0);
	assert_int_equal(event.received, 7);
	assert_false(event.lost);
	/* the server need not keep it */
	assert_int_equal(script_read(client, conn, HANDOFF__FRAME_END).ack, 8);
	fixture_read_end(client, conn);
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	script_welcome(conn);
	event = fixture_expect(client, HANDOFF_CLIENT_NEW);
	assert_int_equal(event.certain, 5);
	assert_false(event.lost);
	end(client, conn);
}

static void
test_service_aborts(void **state)
{
	struct handoff__frame abort = {.type = HANDOFF__FRAME_ABORT,
		.reason = HANDOFF__ABORT_APPLICATION,
		.text = "enough"};
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	script_data(conn, 0, "well");
	script_write(conn, &abort);
	fixture_expect_data(client, "well");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -ECONNRESET);
	assert_non_null(strstr(event.text, "has given the session up"));
	assert_true(event.lost);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	close(conn);
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	end(client, conn);
}

/* What a server says instead of WELCOME, to NEW and to RESUME. */
static struct handoff_client_event
refused(struct handoff_client *client, int *conn, enum handoff__refusal reason,
	enum handoff__frame_type asks)
{
	struct handoff_client_event event;

	script_refuse(*conn, reason);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_non_null(strstr(event.text, "the session was refused: "));
	fixture_read_end(client, *conn);
	close(*conn);
	*conn = fixture_accept(client, &site);
	script_asked(client, *conn, asks);
	return event;
}

static const struct {
	enum handoff__refusal reason;
	int err;
} refusals[] = {
	{HANDOFF__REFUSED_BUSY, -EBUSY},
	{HANDOFF__REFUSED_FULL, -ENOSPC},
	{HANDOFF__REFUSED_LIMIT, -EACCES},
	{HANDOFF__REFUSED_VERSION, -EPROTO},
	{99, -EPROTO},
};

enum { NREFUSALS = sizeof(refusals) / sizeof(refusals[0]) };

static void
test_refused_to_begin(void **state)
{
	static const char *endpoints[2];
	struct handoff_client_opts opts;
	struct handoff_client *client;
	int conn;

	(void)state;
	site = site_open();
	opts = fixture_opts(endpoints, &site, NULL);
	opts.session = true;
	client = fixture_open(&opts);
	say(client, "hello");
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	for (int i = 0; i < NREFUSALS; i++)
		assert_int_equal(refused(client, &conn, refusals[i].reason,
					 HANDOFF__FRAME_NEW)
					 .err,
			refusals[i].err);
	/* no session was asked for that could be unknown */
	assert_int_equal(refused(client, &conn, HANDOFF__REFUSED_UNKNOWN,
				 HANDOFF__FRAME_NEW)
				 .err,
		-EPROTO);
	script_welcome(conn);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	script_read_data(client, conn, "hello");
	end(client, conn);
}

static void
test_refused_to_resume(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "hello");
	script_read_data(client, conn, "hello");
	fixture_reset(conn);
	conn = script_again(client, &site, 0);
	for (int i = 0; i < NREFUSALS; i++)
		assert_int_equal(refused(client, &conn, refusals[i].reason,
					 HANDOFF__FRAME_RESUME)
					 .err,
			refusals[i].err);
	script_resume(conn, 2, 2);
	expect_resumed(client);
	script_read_data(client, conn, "llo");
	end(client, conn);
}

/* The answer comes byte by byte, with the stream right behind it. */
static void
test_welcome_in_pieces(void **state)
{
	struct handoff__frame frame = {.type = HANDOFF__FRAME_WELCOME,
		.number = 1,
		.to_server = 256,
		.to_client = 256};
	unsigned char out[HANDOFF__FRAME_MAX];
	static const char *endpoints[2];
	struct handoff_client_opts opts;
	struct handoff_client *client;
	int conn;

	(void)state;
	site = site_open();
	opts = fixture_opts(endpoints, &site, NULL);
	opts.session = true;
	client = fixture_open(&opts);
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	handoff__frame_encode(&frame, out, sizeof(out));
	for (int i = 0; i < HANDOFF__FRAME_WELCOME_LEN; i++) {
		fixture_expect_quiet(client);
		assert_int_equal(send(conn, out + i, 1, MSG_NOSIGNAL), 1);
		if (i == HANDOFF__FRAME_WELCOME_LEN - 1)
			script_data(conn, 0, "at once");
	}
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_expect_data(client, "at once");
	end(client, conn);
}

static struct handoff_client *
ask_plain(int *conn, uint32_t timeout_ms)
{
	static const char *endpoints[2];
	struct handoff_client_opts opts;
	struct handoff_client *client;

	site = site_open();
	opts = fixture_opts(endpoints, &site, NULL);
	opts.session = true;
	opts.connect_timeout_ms = timeout_ms;
	opts.max_delay_ms = 3600000;
	client = fixture_open(&opts);
	say(client, "hello");
	*conn = fixture_accept(client, &site);
	script_asked(client, *conn, HANDOFF__FRAME_NEW);
	return client;
}

/* A server without sessions that greets: the next attempt is far away, and the
 * program's bytes have not gone there. */
static void
test_plain_server(void **state)
{
	static const char *const answers[] = {"220 mail.example.org ESMTP\r\n",
		"HTTP/1.1 400 Bad Request\r\n\r\n", "\xf5HSESS\0\1"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct handoff_client_event event;
		struct handoff_client *client;
		int conn;

		client = ask_plain(&conn, 3600000);
		assert_int_equal(
			send(conn, answers[i], i < 2 ? strlen(answers[i]) : 8,
				MSG_NOSIGNAL),
			i < 2 ? strlen(answers[i]) : 8);
		event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
		assert_int_equal(event.err, -EPROTO);
		assert_non_null(
			strstr(event.text, "it is not a server with sessions"));
		assert_in_range(event.delay_ms, 100, 3600000);
		fixture_expect_quiet(client);
		assert_int_equal(handoff_client_unsent(client), 5);
		end(client, conn);
	}
}

static void
test_silent_server(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = ask_plain(&conn, 20);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ETIMEDOUT);
	assert_non_null(strstr(event.text,
		"no answer to the request for a session within 20 ms"));
	fixture_read_end(client, conn);
	end(client, conn);
}

static void
test_closing_server(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = ask_plain(&conn, 3600000);
	assert_int_equal(shutdown(conn, SHUT_WR), 0);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ECONNRESET);
	assert_non_null(strstr(event.text, "closed without an answer"));
	end(client, conn);
}

/* A WELCOME that does not fit ends the session, so that the next attempt does
 * not ask in vain for ever. */
static void
test_wrong_welcome(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "hello");
	script_read_data(client, conn, "hello");
	fixture_reset(conn);
	conn = script_again(client, &site, 0);
	script_resume(conn, 6, 0);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -EPROTO);
	close(conn);
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	script_welcome(conn);
	event = fixture_expect(client, HANDOFF_CLIENT_NEW);
	assert_int_equal(event.doubtful, 5);
	end(client, conn);
}

/* A violation ends the session, is told to the server, and comes after what
 * came before it. */
static void
test_violation(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	struct handoff__frame frame;
	int conn;

	(void)state;
	client = begin(&conn);
	script_data(conn, 0, "good");
	script_say(conn, HANDOFF__FRAME_ACK, 1);
	fixture_expect_data(client, "good");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -EPROTO);
	assert_int_equal(event.received, 4);
	frame = script_read(client, conn, HANDOFF__FRAME_ABORT);
	assert_int_equal(frame.reason, HANDOFF__ABORT_PROTOCOL);
	assert_non_null(strstr(frame.text, "what was not sent"));
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	end(client, conn);
}

/* Kept bytes count into max_unsent, until they are acknowledged. */
static void
test_memory(void **state)
{
	static const char *endpoints[2];
	struct handoff_client_opts opts;
	struct handoff_client *client;
	char data[3000];
	int conn;

	(void)state;
	memset(data, 'm', sizeof(data));
	site = site_open();
	opts = fixture_opts(endpoints, &site, NULL);
	opts.max_unsent = SCRIPT_WINDOW;
	client = script_begin(&opts, &site, &conn);
	assert_int_equal(
		handoff_client_send(client, data, 3072 + 1), -EMSGSIZE);
	assert_int_equal(handoff_client_room(client), 3072);
	assert_int_equal(handoff_client_send(client, data, 3000), 0);
	assert_int_equal(
		script_read(client, conn, HANDOFF__FRAME_DATA).len, 3000);
	assert_int_equal(handoff_client_unsent(client), 0);
	assert_int_equal(handoff_client_room(client), 1096);
	assert_int_equal(handoff_client_send(client, data, 3000), -ENOBUFS);
	assert_non_null(strstr(handoff_client_errmsg(client),
		"wait to be sent or acknowledged"));
	script_say(conn, HANDOFF__FRAME_ACK, 3000);
	fixture_expect_quiet(client);
	assert_int_equal(handoff_client_send(client, data, 3000), 0);
	end(client, conn);
}

/* A program that only receives acknowledges too. */
static void
test_only_receives(void **state)
{
	char text[SCRIPT_WINDOW / 4 + 1];
	struct handoff_client *client;
	uint64_t told = 0;
	int conn;

	(void)state;
	memset(text, 'r', sizeof(text));
	text[SCRIPT_WINDOW / 4] = '\0';
	client = begin(&conn);
	for (uint32_t i = 1; i <= 10; i++) {
		script_data(conn, 0, text);
		fixture_expect_data(client, text);
		told = script_read(client, conn, HANDOFF__FRAME_ACK).ack;
		assert_int_equal(told, i * (SCRIPT_WINDOW / 4));
	}
	end(client, conn);
}

/* More than the sockets hold, in both directions, and the connection is cut at
 * a time that has nothing to do with frames. */
static void
test_much(void **state)
{
	enum { ALL = 12000000, CUT = 777777 };
	static const char *endpoints[2];
	struct handoff__frame welcome = {.type = HANDOFF__FRAME_WELCOME,
		.number = SCRIPT_NUMBER,
		.token = "top secret 4711",
		.to_server = HANDOFF__WINDOW_MAX,
		.to_client = HANDOFF__WINDOW_MAX};
	struct handoff_client_opts opts;
	struct handoff_client *client;
	char *all = malloc(ALL + 1);
	uint32_t got = 0;
	int conn;

	(void)state;
	for (int i = 0; i < ALL; i++)
		all[i] = (char)('a' + i % 23);
	all[ALL] = '\0';
	site = site_open();
	opts = fixture_opts(endpoints, &site, NULL);
	opts.session = true;
	opts.max_unsent = 2 * ALL;
	welcome.to_server = 2 * ALL;
	client = fixture_open(&opts);
	conn = fixture_accept(client, &site);
	script_asked(client, conn, HANDOFF__FRAME_NEW);
	script_write(conn, &welcome);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_int_equal(handoff_client_send(client, all, ALL), 0);
	while (got < CUT) {
		uint32_t len =
			script_read(client, conn, HANDOFF__FRAME_DATA).len;

		assert_memory_equal(script_payload, all + got, len);
		got += len;
	}
	assert_true(handoff_client_unsent(client) > 0);
	fixture_reset(conn);
	conn = script_again(client, &site, 0);
	welcome.resumed = true;
	welcome.received = CUT;
	welcome.ack = CUT / 2;
	script_write(conn, &welcome);
	expect_resumed(client);
	script_read_data(client, conn, all + CUT);
	fixture_expect_quiet(client);
	end(client, conn);
	free(all);
}

/* A server that welcomes and closes at once does not make the client spin. */
static void
test_welcome_and_close(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	for (unsigned i = 1; i <= 5; i++) {
		close(conn);
		conn = script_again(client, &site, 0);
		assert_int_equal(client->backoff.failures, i);
		script_resume(conn, 0, 0);
		expect_resumed(client);
	}
	script_data(conn, 0, "serves");
	fixture_expect_data(client, "serves");
	close(conn);
	conn = script_again(client, &site, 6);
	assert_int_equal(client->backoff.failures, 1);
	end(client, conn);
}

/* Freeing the handle ends the session with what was sent. */
static void
test_let_go(void **state)
{
	struct handoff_client *client;
	int conn;

	(void)state;
	client = begin(&conn);
	say(client, "last");
	script_read_data(client, conn, "last");
	handoff_client_free(client);
	assert_int_equal(support_poll(conn, POLLIN), POLLIN);
	script_read(NULL, conn, HANDOFF__FRAME_END);
	fixture_read_end(NULL, conn);
	close(conn);
	site_close(&site);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_talk),
		handoff_test(test_goes_on),
		handoff_test(test_goes_on_and_on),
		handoff_test(test_orderly_end),
		handoff_test(test_end_is_resumed),
		handoff_test(test_end_is_forgotten),
		handoff_test(test_new),
		handoff_test(test_service_ends),
		handoff_test(test_service_aborts),
		handoff_test(test_refused_to_begin),
		handoff_test(test_refused_to_resume),
		handoff_test(test_welcome_in_pieces),
		handoff_test(test_plain_server),
		handoff_test(test_silent_server),
		handoff_test(test_closing_server),
		handoff_test(test_wrong_welcome),
		handoff_test(test_violation),
		handoff_test(test_memory),
		handoff_test(test_only_receives),
		handoff_test(test_much),
		handoff_test(test_welcome_and_close),
		handoff_test(test_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
