/* SPDX-License-Identifier: MIT */
/*
 * A layer between the program's bytes and those on the way: connected when the
 * handshake is done, sent when the cipher text is, an end only with the
 * layer's own. The test plays the server.
 */
#include "client/toy.h"

#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *endpoints[2];

enum { BIG = 300000, COUNT = 30 };

static struct handoff_client_opts
layered(const struct site *first, const struct site *second)
{
	struct handoff_client_opts opts =
		fixture_opts(endpoints, first, second);

	memset(&toy_script, 0, sizeof(toy_script));
	opts.layer = &toy_layer;
	opts.max_unsent = (size_t)BIG * COUNT;
	return opts;
}

/* A client without sessions whose connection is up. */
static struct handoff_client *
begin(const struct handoff_client_opts *opts, const struct site *site,
	struct toy_conn *conn)
{
	struct handoff_client *client = fixture_open(opts);

	*conn = toy_accept(client, site);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	return client;
}

/* Everything is freed, whatever was open. */
static void
end(struct handoff_client *client, struct site *a, struct site *b)
{
	handoff_client_free(client);
	assert_int_equal(toy_script.open, 0);
	site_close(a);
	if (b)
		site_close(b);
}

static char *
message(int i)
{
	char *data = malloc(BIG + 1);

	memset(data, 'a' + i % 26, BIG);
	data[0] = '<';
	data[1] = (char)('A' + i);
	data[BIG - 1] = '>';
	data[BIG] = '\0';
	return data;
}

static void
send_messages(struct handoff_client *client)
{
	for (int i = 0; i < COUNT; i++) {
		char *data = message(i);

		assert_int_equal(handoff_client_send(client, data, BIG), 0);
		free(data);
	}
}

static void
expect_messages(struct handoff_client *client, struct toy_conn *conn, int first)
{
	for (int i = first; i < COUNT; i++) {
		char *data = message(i);

		toy_expect(client, conn, data);
		free(data);
	}
}

static void
test_both_ways(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct handoff_client *client = fixture_open(&opts);
	struct handoff_client_event event;
	struct toy_conn conn;

	(void)state;
	assert_int_equal(handoff_client_send(client, "early", 5), 0);
	conn = toy_take(client, &site);
	assert_true(toy_receive(client, &conn));
	assert_int_equal(handoff_client_unsent(client), 5);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, site.address);
	assert_non_null(strstr(event.text, ", a toy"));
	assert_string_equal(toy_script.endpoint, site.address);
	toy_expect(client, &conn, "early");
	assert_int_equal(handoff_client_unsent(client), 0);
	toy_say(&conn, "hello");
	fixture_expect_data(client, "hello");
	fixture_expect_quiet(client);
	end(client, &site, NULL);
	/* free has ended it in order */
	toy_expect_end(NULL, &conn);
	toy_close(&conn);
}

/* What the server says first comes with the end of the handshake. */
static void
test_server_speaks_first(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct handoff_client *client = fixture_open(&opts);
	struct toy_conn conn = toy_take(client, &site);
	char hello[4];

	(void)state;
	assert_int_equal(support_poll(conn.fd, POLLIN), POLLIN);
	assert_int_equal(recv(conn.fd, hello, sizeof(hello), 0), 4);
	toy_input(conn.toy, hello, sizeof(hello));
	toy_say(&conn, "first");
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_expect_data(client, "first");
	fixture_expect_quiet(client);
	end(client, &site, NULL);
	toy_close(&conn);
}

/* Cipher text comes and goes byte by byte. */
static void
test_pieces(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct handoff_client *client = fixture_open(&opts);
	struct toy_conn conn = toy_take(client, &site);
	const void *data;
	char hello[4];

	(void)state;
	assert_int_equal(support_poll(conn.fd, POLLIN), POLLIN);
	assert_int_equal(recv(conn.fd, hello, sizeof(hello), 0), 4);
	toy_input(conn.toy, hello, sizeof(hello));
	toy_write(conn.toy, "in pieces", 9);
	while (toy_output(conn.toy, &data) > 9) {
		toy_flush(&conn, 1);
		assert_int_equal(handoff_client_wait(client, PATIENCE_MS), 0);
	}
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	while (toy_output(conn.toy, &data) > 0) {
		fixture_expect_quiet(client);
		toy_flush(&conn, 1);
	}
	fixture_expect_data(client, "in pieces");
	end(client, &site, NULL);
	toy_close(&conn);
}

/* More than all buffers hold; the last frame is half sent when the connection
 * breaks: nothing of it may be known, and the message goes again whole. */
static void
test_half_sent_is_repeated_whole(void **state)
{
	struct site a = site_open(), b = site_open();
	struct handoff_client_opts opts = layered(&a, &b);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &a, &conn);
	char *got = malloc((size_t)BIG * COUNT), *want;
	unsigned char in[65536];
	size_t unsent, taken, done;
	ssize_t n;

	(void)state;
	send_messages(client);
	unsent = handoff_client_unsent(client);
	assert_true(unsent > 0 && unsent % BIG != 0);
	/* the server's host breaks the connection, and has what had come */
	while ((n = recv(conn.fd, in, sizeof(in), MSG_DONTWAIT)) > 0)
		toy_input(conn.toy, in, (size_t)n);
	taken = toy_read(conn.toy, got, (size_t)BIG * COUNT);
	done = (size_t)BIG * COUNT - unsent;
	assert_true(taken <= done);
	fixture_reset(conn.fd);
	toy_free(conn.toy);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(handoff_client_unsent(client),
		((unsent + BIG - 1) / BIG) * BIG);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = toy_accept(client, &b);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	expect_messages(client, &conn, (int)(done / BIG));
	assert_int_equal(handoff_client_unsent(client), 0);
	for (size_t at = 0; at < taken; at += BIG) {
		want = message((int)(at / BIG));
		assert_memory_equal(
			got + at, want, taken - at < BIG ? taken - at : BIG);
		free(want);
	}
	free(got);
	end(client, &a, &b);
	toy_expect_end(NULL, &conn);
	toy_close(&conn);
}

static void
test_lost_in_the_handshake(void **state)
{
	struct site a = site_open(), b = site_open();
	struct handoff_client_opts opts = layered(&a, &b);
	struct handoff_client *client = fixture_open(&opts);
	struct handoff_client_event event;
	struct toy_conn conn = toy_take(client, &a);

	(void)state;
	assert_int_equal(support_poll(conn.fd, POLLIN), POLLIN);
	toy_close(&conn);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ECONNRESET);
	assert_string_equal(event.endpoint, b.address);
	assert_int_equal(toy_script.open, 0);
	conn = toy_take(client, &b);
	assert_int_equal(shutdown(conn.fd, SHUT_WR), 0);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ECONNABORTED);
	assert_non_null(strstr(event.text, "ended without an end"));
	toy_close(&conn);
	conn = toy_accept(client, &a);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	end(client, &a, &b);
	toy_close(&conn);
}

/* The server is not the one that was meant: the reason is told, the server is
 * told too, and the next endpoint is tried. */
static void
test_failed_handshake(void **state)
{
	struct site a = site_open(), b = site_open();
	struct handoff_client_opts opts = layered(&a, &b);
	struct handoff_client *client = fixture_open(&opts);
	struct handoff_client_event event;
	struct toy_conn conn;

	(void)state;
	toy_script.distrusts = true;
	assert_int_equal(handoff_client_send(client, "secret", 6), 0);
	conn = toy_accept(client, &a);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -EACCES);
	assert_non_null(strstr(event.text, "is not the one that was meant"));
	while (toy_is_open(conn.toy))
		assert_true(toy_receive(client, &conn));
	toy_close(&conn);
	toy_script.distrusts = false;
	conn = toy_accept(client, &b);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	toy_expect(client, &conn, "secret");
	end(client, &a, &b);
	toy_close(&conn);
}

static void
test_no_memory(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct handoff_client *client;
	struct toy_conn conn;

	(void)state;
	toy_script.no_memory = true;
	client = fixture_open(&opts);
	assert_int_equal(
		fixture_expect(client, HANDOFF_CLIENT_RETRY).err, -ENOMEM);
	toy_script.no_memory = false;
	close(fixture_accept(client, &site)); /* that was given up */
	conn = toy_accept(client, &site);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	end(client, &site, NULL);
	toy_close(&conn);
}

/* A server that accepts and says nothing. */
static void
test_handshake_timeout(void **state)
{
	struct site a = site_open(), b = site_open();
	struct handoff_client_opts opts = layered(&a, &b);
	struct handoff_client *client;
	struct handoff_client_event event;
	struct toy_conn mute, conn;

	(void)state;
	opts.connect_timeout_ms = 100;
	client = fixture_open(&opts);
	mute = toy_take(client, &a);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ETIMEDOUT);
	assert_non_null(
		strstr(event.text, "handshake was not done within 100 ms"));
	conn = toy_accept(client, &b);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_false(client->trial.timer.armed);
	end(client, &a, &b);
	toy_close(&mute);
	toy_close(&conn);
}

/* A shutdown: the layer's end, that of the connection, and the server's. */
static void
test_shutdown(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);

	(void)state;
	assert_int_equal(handoff_client_send(client, "last", 4), 0);
	assert_int_equal(handoff_client_shutdown(client), 0);
	toy_expect(client, &conn, "last");
	toy_expect_end(client, &conn);
	toy_write(conn.toy, "answer", 6);
	toy_flush(&conn, SIZE_MAX);
	fixture_expect_data(client, "answer");
	fixture_expect_quiet(client);
	toy_say_end(&conn);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	end(client, &site, NULL);
	toy_close(&conn);
}

/* The same with more than the buffers hold: the end waits for it. */
static void
test_shutdown_of_much(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);

	(void)state;
	send_messages(client);
	assert_int_equal(handoff_client_shutdown(client), 0);
	assert_true(handoff_client_unsent(client) > 0);
	expect_messages(client, &conn, 0);
	toy_expect_end(client, &conn);
	toy_say_end(&conn);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	end(client, &site, NULL);
	toy_close(&conn);
}

/* The server ends in order: as without a layer. */
static void
test_server_ends(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);
	struct handoff_client_event event;

	(void)state;
	toy_write(conn.toy, "last", 4);
	toy_say_end(&conn);
	fixture_expect_data(client, "last");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, 0);
	assert_non_null(strstr(event.text, "the server closed"));
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	toy_expect_end(client, &conn);
	toy_close(&conn);
	conn = toy_accept(client, &site);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	end(client, &site, NULL);
	toy_close(&conn);
}

/* An end of the connection alone may be anybody's. */
static void
test_truncated(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);
	struct handoff_client_event event;

	(void)state;
	toy_write(conn.toy, "cut off", 7);
	toy_flush(&conn, SIZE_MAX);
	assert_int_equal(shutdown(conn.fd, SHUT_WR), 0);
	fixture_expect_data(client, "cut off");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -ECONNABORTED);
	assert_non_null(strstr(event.text, "ended without an end"));
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	toy_close(&conn);
	end(client, &site, NULL);
}

/* After a shutdown too. */
static void
test_truncated_after_shutdown(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);
	struct handoff_client_event event;

	(void)state;
	assert_int_equal(handoff_client_shutdown(client), 0);
	toy_expect_end(client, &conn);
	toy_close(&conn);
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -ECONNABORTED);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	end(client, &site, NULL);
}

/* What is no cipher text: what came before it is delivered. */
static void
test_garbage(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);
	struct handoff_client_event event;

	(void)state;
	toy_write(conn.toy, "good", 4);
	toy_flush(&conn, SIZE_MAX);
	assert_int_equal(send(conn.fd, "x\0\1y", 4, MSG_NOSIGNAL), 4);
	fixture_expect_data(client, "good");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -EPROTO);
	assert_non_null(strstr(event.text, "makes no sense"));
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	toy_close(&conn);
	end(client, &site, NULL);
}

/* More plain text than one event takes, pulled one event at a time: the
 * descriptor tells that there is more. */
static void
test_held(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct toy_conn conn;
	struct handoff_client *client = begin(&opts, &site, &conn);
	const struct handoff_client_event *event;
	struct pollfd p = {.fd = handoff_client_fd(client), .events = POLLIN};
	char *data = message(0);
	size_t got = 0;

	(void)state;
	/* a part of a frame first, so that the next read gives more */
	toy_write(conn.toy, data, HANDOFF_CLIENT_LAYER_MAX);
	toy_flush(&conn, HANDOFF_CLIENT_LAYER_MAX - 10);
	while (handoff_client_wait(client, 0) == 0 && !client->now->readable)
		;
	assert_int_equal(handoff_client_next(client, &event), 0);
	toy_flush(&conn, SIZE_MAX);
	toy_say(&conn, data + HANDOFF_CLIENT_LAYER_MAX);
	toy_end(conn.toy);
	toy_flush(&conn, SIZE_MAX);
	while (got < BIG) {
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		assert_int_equal(handoff_client_dispatch(client), 0);
		if (handoff_client_next(client, &event) == 0)
			continue;
		assert_int_equal(event->type, HANDOFF_CLIENT_DATA);
		assert_memory_equal(event->data, data + got, event->len);
		got += event->len;
	}
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	free(data);
	end(client, &site, NULL);
	toy_close(&conn);
}

/* A table that is not whole is refused by name. */
static void
test_refused(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = layered(&site, NULL);
	struct handoff_client_layer layer = toy_layer;
	struct handoff_client *client;
	char why[HANDOFF_TEXT_MAX];

	(void)state;
	opts.layer = &layer;
	opts.errbuf = why;
	opts.errbuf_size = sizeof(why);
	layer.read = NULL;
	assert_int_equal(handoff_client_open(&client, &opts), -EINVAL);
	assert_non_null(strstr(why, "one of its calls is missing"));
	layer = toy_layer;
	layer.size = 0;
	assert_int_equal(handoff_client_open(&client, &opts), -EINVAL);
	site_close(&site);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_both_ways),
		handoff_test(test_server_speaks_first),
		handoff_test(test_pieces),
		handoff_test(test_half_sent_is_repeated_whole),
		handoff_test(test_lost_in_the_handshake),
		handoff_test(test_failed_handshake),
		handoff_test(test_no_memory),
		handoff_test(test_handshake_timeout),
		handoff_test(test_shutdown),
		handoff_test(test_shutdown_of_much),
		handoff_test(test_server_ends),
		handoff_test(test_truncated),
		handoff_test(test_truncated_after_shutdown),
		handoff_test(test_garbage),
		handoff_test(test_held),
		handoff_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
