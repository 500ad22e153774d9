/* SPDX-License-Identifier: MIT */
/*
 * A layer in a session: one handshake for all of its connections, told when it
 * is done; an end only with the layer's own; and what became of each message.
 * The test plays the server, frame by frame.
 */
#include "client/script.h"
#include "client/toy.h"

#include "client/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct site site;

/* The server's side of the session. */
static struct inner {
	int conn;
	struct toy *toy;
	uint32_t had;   /* bytes of the client's */
	uint32_t acked; /* of these */
	uint64_t gave;  /* to the client */
} inner;

static struct handoff_client_opts
layered(void)
{
	static const char *endpoints[2];
	struct handoff_client_opts opts;

	site = site_open();
	memset(&toy_script, 0, sizeof(toy_script));
	opts = fixture_opts(endpoints, &site, NULL);
	opts.layer = &toy_layer;
	opts.session = true;
	return opts;
}

/* The next session begins on the connection, if it has not before. */
static void
welcome(struct handoff_client *client)
{
	if (inner.toy)
		toy_free(inner.toy);
	inner.toy = toy_server();
	inner.had = inner.acked = 0;
	inner.gave = 0;
	script_welcome(inner.conn);
	(void)client;
}

static void
take(struct handoff_client *client)
{
	inner.conn = fixture_accept(client, &site);
	script_asked(client, inner.conn, HANDOFF__FRAME_NEW);
	welcome(client);
}

static void
acknowledge(struct handoff_client *client, uint32_t ack)
{
	inner.acked = ack;
	script_say(inner.conn, HANDOFF__FRAME_ACK, ack);
	fixture_expect_quiet(client);
}

/* Reads one DATA. */
static void
get(struct handoff_client *client)
{
	struct handoff__frame frame =
		script_read(client, inner.conn, HANDOFF__FRAME_DATA);

	toy_input(inner.toy, script_payload, frame.len);
	inner.had += frame.len;
}

static void
give(void)
{
	const void *data;
	size_t len = toy_output(inner.toy, &data);
	struct handoff__frame frame = {.type = HANDOFF__FRAME_DATA,
		.ack = inner.acked,
		.len = (uint32_t)len};

	script_write(inner.conn, &frame);
	assert_int_equal(send(inner.conn, data, len, MSG_NOSIGNAL), len);
	toy_sent(inner.toy, len);
	inner.gave += len;
}

static void
shake(struct handoff_client *client)
{
	while (!toy_is_open(inner.toy))
		get(client);
	give();
}

static struct handoff_client *
begin(const struct handoff_client_opts *opts)
{
	struct handoff_client *client = fixture_open(opts);

	take(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	return client;
}

static void
end(struct handoff_client *client)
{
	handoff_client_free(client);
	assert_int_equal(toy_script.open, 0);
	close(inner.conn);
	site_close(&site);
	toy_free(inner.toy);
	inner.toy = NULL;
}

static void
say(struct handoff_client *client, const char *text)
{
	assert_int_equal(handoff_client_send(client, text, strlen(text)), 0);
}

static void
expect(struct handoff_client *client, const char *text)
{
	char data[65536];
	size_t len = strlen(text), got = 0;

	while (got < len) {
		size_t n = toy_read(inner.toy, data, len - got);

		if (n == 0)
			get(client);
		assert_memory_equal(data, text + got, n);
		got += n;
	}
}

static void
answer(const char *text)
{
	toy_write(inner.toy, text, strlen(text));
	give();
}

/* The connection breaks, and the client asks to go on. */
static void
reconnect(struct handoff_client *client, uint64_t received)
{
	struct handoff__frame asked;

	fixture_reset(inner.conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	inner.conn = fixture_accept(client, &site);
	asked = script_asked(client, inner.conn, HANDOFF__FRAME_RESUME);
	assert_int_equal(asked.received, received);
}

/* The server does not know the session any more. */
static struct handoff_client_event
forget(struct handoff_client *client)
{
	script_refuse(inner.conn, HANDOFF__REFUSED_UNKNOWN);
	script_read(client, inner.conn, HANDOFF__FRAME_NEW);
	welcome(client);
	shake(client);
	return fixture_expect(client, HANDOFF_CLIENT_NEW);
}

static void
test_both_ways_and_resumed(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = fixture_open(&opts);
	struct handoff_client_event event;

	(void)state;
	say(client, "early");
	take(client);
	get(client);
	fixture_expect_quiet(client); /* not told before it is done */
	give();
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, site.address);
	assert_non_null(strstr(event.text, ", a toy"));
	assert_string_equal(toy_script.endpoint, site.address);
	expect(client, "early");
	assert_int_equal(handoff_client_unsent(client), 0);
	answer("one");
	fixture_expect_data(client, "one");
	reconnect(client, inner.gave);
	script_resume(inner.conn, inner.had, inner.acked);
	fixture_expect(client, HANDOFF_CLIENT_RESUMED);
	say(client, "more");
	expect(client, "more");
	answer("two");
	fixture_expect_data(client, "two");
	assert_int_equal(toy_script.begins, 1);
	end(client);
}

/* What had not come is repeated as it was. */
static void
test_repeated(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	uint32_t had = inner.had;

	(void)state;
	say(client, "taken");
	expect(client, "taken");
	say(client, "not taken");
	script_read(client, inner.conn, HANDOFF__FRAME_DATA);
	assert_int_equal(handoff_client_unsent(client), 0);
	reconnect(client, inner.gave);
	assert_int_equal(inner.had, had + 3 + 5);
	/* it even has a part of a frame */
	toy_input(inner.toy, script_payload, 2);
	script_resume(inner.conn, inner.had + 2, inner.acked);
	fixture_expect(client, HANDOFF_CLIENT_RESUMED);
	expect(client, "not taken");
	assert_int_equal(handoff_client_unsent(client), 0);
	end(client);
}

/* The session is lost: a message that was sent and not acknowledged is in
 * doubt, with those that were acknowledged only in part. */
static void
test_fate(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	struct handoff_client_event event;

	(void)state;
	say(client, "certain");
	expect(client, "certain");
	acknowledge(client, inner.had);
	say(client, "doubt");
	expect(client, "doubt");
	/* all of its frame but a byte */
	acknowledge(client, inner.had - 1);
	answer("heard");
	fixture_expect_data(client, "heard");
	reconnect(client, inner.gave);
	event = forget(client);
	assert_int_equal(event.certain, 7);
	assert_int_equal(event.doubtful, 5);
	assert_int_equal(event.received, 5);
	assert_true(event.lost);
	assert_int_equal(toy_script.begins, 2);
	say(client, "again");
	expect(client, "again");
	end(client);
}

/* Sent in part: nothing of it can have been read. It goes to the next session,
 * whole, sealed anew. */
static void
test_sent_in_part(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	struct handoff_client_event event;
	char text[6001];

	(void)state;
	memset(text, 'l', 6000);
	text[6000] = '\0';
	say(client, "first");
	expect(client, "first");
	say(client, text);
	/* the window ends within its frame */
	assert_int_equal(handoff_client_unsent(client), 6000);
	reconnect(client, inner.gave);
	event = forget(client);
	assert_int_equal(event.certain, 0);
	assert_int_equal(event.doubtful, 5);
	get(client);
	acknowledge(client, inner.had);
	expect(client, text);
	end(client);
}

/* The server itself ends the session, in words, while it gets a message: that
 * is not repeated if it could read any of it. */
static void
test_server_aborts(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client;
	struct handoff_client_event event;
	struct handoff__frame frame = {.type = HANDOFF__FRAME_ABORT,
		.reason = HANDOFF__ABORT_APPLICATION};
	static char text[30001];

	(void)state;
	opts.max_unsent = 65536; /* pieces of 8 KiB and 1 */
	client = begin(&opts);
	memset(text, 'l', 30000);
	say(client, text);
	say(client, "behind it");
	while (inner.had < 9000) {
		get(client);
		acknowledge(client, inner.had);
	}
	frame.ack = inner.acked;
	script_write(inner.conn, &frame);
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.certain + event.doubtful, 30000);
	assert_int_equal(handoff_client_unsent(client), 9);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	close(inner.conn);
	take(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_NEW);
	expect(client, "behind it");
	end(client);
}

static void
test_shutdown(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);

	(void)state;
	say(client, "last");
	assert_int_equal(handoff_client_shutdown(client), 0);
	expect(client, "last");
	while (!toy_is_ended(inner.toy))
		get(client);
	script_read(client, inner.conn, HANDOFF__FRAME_END);
	toy_write(inner.toy, "bye", 3);
	toy_end(inner.toy);
	inner.acked = inner.had + 1;
	give();
	script_say(inner.conn, HANDOFF__FRAME_END, inner.acked);
	fixture_expect_data(client, "bye");
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	end(client);
}

static void
test_server_ends(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	struct handoff_client_event event;

	(void)state;
	toy_write(inner.toy, "bye", 3);
	toy_end(inner.toy);
	give();
	script_say(inner.conn, HANDOFF__FRAME_END, inner.acked);
	fixture_expect_data(client, "bye");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, 0);
	assert_int_equal(event.received, 3);
	assert_false(event.lost);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	close(inner.conn);
	take(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_NEW);
	end(client);
}

/* The token is on the wire: an end of the session alone may be anybody's. */
static void
test_truncated(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	struct handoff_client_event event;

	(void)state;
	toy_write(inner.toy, "cut off", 7);
	give();
	script_say(inner.conn, HANDOFF__FRAME_END, inner.acked);
	fixture_expect_data(client, "cut off");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(event.err, -ECONNABORTED);
	assert_non_null(strstr(event.text, "ended without an end"));
	assert_true(event.lost);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	end(client);
}

/* The server is not the one that was meant: it hears it, and the session is
 * given up before the program knows of it. */
static void
test_failed_handshake(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = fixture_open(&opts);
	struct handoff_client_event event;

	(void)state;
	say(client, "secret");
	toy_script.distrusts = true;
	take(client);
	shake(client);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -EACCES);
	assert_non_null(strstr(event.text, "is not the one that was meant"));
	get(client); /* the layer's last words */
	assert_false(toy_is_open(inner.toy));
	script_read(client, inner.conn, HANDOFF__FRAME_ABORT);
	fixture_read_end(client, inner.conn);
	close(inner.conn);
	toy_script.distrusts = false;
	take(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	expect(client, "secret");
	end(client);
}

/* The same where a session is over, of which the program has yet to hear. */
static void
test_failed_before_new(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	struct handoff_client_event event;

	(void)state;
	say(client, "doubt");
	expect(client, "doubt");
	reconnect(client, inner.gave);
	script_refuse(inner.conn, HANDOFF__REFUSED_UNKNOWN);
	script_read(client, inner.conn, HANDOFF__FRAME_NEW);
	toy_script.distrusts = true;
	welcome(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	toy_script.distrusts = false;
	close(inner.conn);
	take(client);
	shake(client);
	event = fixture_expect(client, HANDOFF_CLIENT_NEW);
	assert_int_equal(event.certain, 0);
	assert_int_equal(event.doubtful, 5);
	end(client);
}

/* The connection breaks in the handshake: it goes on where it was. */
static void
test_lost_in_the_handshake(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = fixture_open(&opts);
	struct handoff_client_event event;

	(void)state;
	take(client);
	get(client);
	fixture_reset(inner.conn);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ECONNRESET);
	inner.conn = fixture_accept(client, &site);
	script_asked(client, inner.conn, HANDOFF__FRAME_RESUME);
	script_resume(inner.conn, inner.had, inner.acked);
	fixture_expect_quiet(client);
	give();
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_int_equal(toy_script.begins, 1);
	say(client, "on");
	expect(client, "on");
	end(client);
}

static void
test_handshake_timeout(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client;
	struct handoff_client_event event;

	(void)state;
	opts.connect_timeout_ms = 200;
	client = fixture_open(&opts);
	take(client);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -ETIMEDOUT);
	assert_non_null(strstr(event.text, "not done within 200 ms"));
	assert_int_equal(toy_script.open, 0);
	close(inner.conn);
	take(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_false(client->layer_timer.armed);
	end(client);
}

static void
test_no_memory(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = fixture_open(&opts);

	(void)state;
	toy_script.no_memory = true;
	take(client);
	assert_int_equal(
		fixture_expect(client, HANDOFF_CLIENT_RETRY).err, -ENOMEM);
	toy_script.no_memory = false;
	close(inner.conn);
	take(client);
	shake(client);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	end(client);
}

/* Closing the handle ends both in order. */
static void
test_freed(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client = begin(&opts);
	unsigned char in[100];
	struct handoff__frame frame;
	ssize_t n;
	int len;

	(void)state;
	handoff_client_free(client);
	n = recv(inner.conn, in, sizeof(in), MSG_DONTWAIT);
	assert_true(n > 0);
	len = handoff__frame_decode(&frame, in, (size_t)n, NULL);
	assert_int_equal(frame.type, HANDOFF__FRAME_DATA);
	toy_input(inner.toy, in + len, frame.len);
	assert_true(toy_is_ended(inner.toy));
	len += (int)frame.len;
	len = handoff__frame_decode(&frame, in + len, (size_t)(n - len), NULL);
	assert_int_equal(frame.type, HANDOFF__FRAME_END);
	close(inner.conn);
	site_close(&site);
	toy_free(inner.toy);
	inner.toy = NULL;
}

/* A message may have half of max_unsent. */
static void
test_longest(void **state)
{
	struct handoff_client_opts opts = layered();
	struct handoff_client *client;
	char text[4096];

	(void)state;
	opts.max_unsent = sizeof(text);
	client = begin(&opts);
	memset(text, 'x', sizeof(text));
	assert_int_equal(handoff_client_room(client), 2048);
	assert_int_equal(handoff_client_send(client, text, 2049), -EMSGSIZE);
	assert_int_equal(handoff_client_send(client, text, 2048), 0);
	end(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_both_ways_and_resumed),
		handoff_test(test_repeated),
		handoff_test(test_fate),
		handoff_test(test_sent_in_part),
		handoff_test(test_server_aborts),
		handoff_test(test_shutdown),
		handoff_test(test_server_ends),
		handoff_test(test_truncated),
		handoff_test(test_failed_handshake),
		handoff_test(test_failed_before_new),
		handoff_test(test_lost_in_the_handshake),
		handoff_test(test_handshake_timeout),
		handoff_test(test_no_memory),
		handoff_test(test_freed),
		handoff_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
