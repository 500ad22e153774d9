/* SPDX-License-Identifier: MIT */
/*
 * The client without notices: connecting, retrying, ending. The test plays the
 * server itself, in the same thread.
 */
#include "client/fixture.h"

#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *endpoints[2];

static void
test_echo_and_end(void **state)
{
	struct site site = site_open();
	struct handoff_client *client = fixture_open_to(&site, NULL);
	struct handoff_client_event event;
	char text[200];
	int conn;

	(void)state;
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, site.address);
	snprintf(text, sizeof(text), "connected to %s", site.address);
	assert_string_equal(event.text, text);
	conn = fixture_accept(client, &site);
	fixture_expect_quiet(client);
	assert_int_equal(handoff_client_send(client, "hello\n", 6), 0);
	assert_int_equal(handoff_client_unsent(client), 0);
	fixture_read(client, conn, "hello\n");
	fixture_write(conn, "hello\n");
	fixture_expect_data(client, "hello\n");
	fixture_expect_quiet(client);
	assert_int_equal(handoff_client_shutdown(client), 0);
	assert_int_equal(handoff_client_shutdown(client), 0);
	assert_int_equal(handoff_client_send(client, "x", 1), -EPIPE);
	assert_true(handoff_client_errmsg(client)[0] != '\0');
	fixture_read_end(client, conn);
	fixture_write(conn, "last words");
	close(conn);
	fixture_expect_data(client, "last words");
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	fixture_expect_quiet(client);
	handoff_client_free(client);
	site_close(&site);
}

/* A server that speaks first and a client that has nothing to say. */
static void
test_shutdown_before_connected(void **state)
{
	struct site dead = site_dead(), site = site_open();
	struct handoff_client *client = fixture_open_to(&dead, &site);
	int conn;

	(void)state;
	assert_int_equal(handoff_client_send(client, "one", 3), 0);
	assert_int_equal(handoff_client_unsent(client), 3);
	assert_int_equal(handoff_client_shutdown(client), 0);
	conn = fixture_accept(client, &site);
	fixture_write(conn, "welcome");
	fixture_read(client, conn, "one");
	fixture_read_end(client, conn);
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_expect_data(client, "welcome");
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	handoff_client_free(client);
	site_close(&site);
}

static void
test_second_endpoint(void **state)
{
	struct site dead = site_dead(), site = site_open();
	struct handoff_client *client = fixture_open_to(&dead, &site);
	struct handoff_client_event event;

	(void)state;
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, site.address);
	assert_in_range(event.delay_ms, 0, 1);
	assert_non_null(strstr(event.text, "Connection refused"));
	assert_int_equal(event.err, -ECONNREFUSED);
	assert_non_null(strstr(event.text, dead.address));
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, site.address);
	handoff_client_free(client);
	site_close(&site);
}

/* The list wraps, and the backoff grows up to its bound. */
static void
test_all_dead(void **state)
{
	struct site dead[2] = {site_dead(), site_dead()};
	struct handoff_client *client = fixture_open_to(&dead[0], &dead[1]);

	(void)state;
	for (int i = 1; i <= 8; i++) {
		struct handoff_client_event event =
			fixture_expect(client, HANDOFF_CLIENT_RETRY);

		assert_string_equal(event.endpoint, dead[i % 2].address);
		assert_in_range(event.delay_ms, 0, 20);
		assert_int_equal(client->backoff.failures, i);
	}
	handoff_client_free(client);
}

static void
test_loss(void **state)
{
	struct site a = site_open(), b = site_open();
	struct handoff_client *client = fixture_open_to(&a, &b);
	struct handoff_client_event event;
	int conn = fixture_accept(client, &a);

	(void)state;
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_write(conn, "bye");
	close(conn);
	fixture_expect_data(client, "bye");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_string_equal(event.endpoint, a.address);
	assert_non_null(strstr(event.text, "the server closed the connection"));
	assert_int_equal(event.err, 0);
	/* More waits to be pulled, and the descriptor says so by itself. */
	assert_int_equal(
		support_poll(handoff_client_fd(client), POLLIN), POLLIN);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, b.address);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, b.address);
	conn = fixture_accept(client, &b);
	fixture_reset(conn);
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_non_null(strstr(event.text, "Connection reset by peer"));
	assert_int_equal(event.err, -ECONNRESET);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, a.address);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	handoff_client_free(client);
	site_close(&a);
	site_close(&b);
}

/* A server that accepts and closes at once: the backoff goes on growing. One
 * that has delivered something begins it anew. */
static void
test_accept_and_close(void **state)
{
	struct site site = site_open();
	struct handoff_client *client = fixture_open_to(&site, NULL);

	(void)state;
	for (uint32_t i = 1; i <= 5; i++) {
		int conn = fixture_accept(client, &site);

		if (i == 5)
			fixture_write(conn, "x");
		close(conn);
		fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
		if (i == 5)
			fixture_expect_data(client, "x");
		fixture_expect(client, HANDOFF_CLIENT_LOST);
		fixture_expect(client, HANDOFF_CLIENT_RETRY);
		assert_int_equal(client->backoff.failures, i == 5 ? 1 : i);
	}
	handoff_client_free(client);
	site_close(&site);
}

/* Who dispatches and does not pull is not drowned in events, and later misses
 * none of those that were kept. In 200 ms there would be room for hundreds. */
static void
test_events_are_bounded(void **state)
{
	struct site dead = site_dead();
	struct handoff_client_opts opts = fixture_opts(endpoints, &dead, NULL);
	struct handoff_client *client;
	int64_t end_us = handoff__now_us() + 200000;

	(void)state;
	opts.max_delay_ms = 1;
	client = fixture_open(&opts);
	while (handoff__now_us() < end_us)
		assert_int_equal(handoff_client_wait(client, 50), 0);
	assert_true(handoff__events_crowded(&client->events));
	for (int i = 0; i < 2 * HANDOFF__EVENTS_MAX; i++)
		fixture_expect(client, HANDOFF_CLIENT_RETRY);
	handoff_client_free(client);
}

/* An event that comes about in a call other than dispatch makes the descriptor
 * readable until it is pulled. */
static void
test_descriptor_tells_of_events(void **state)
{
	char path[100];
	struct handoff_client *client;
	struct pollfd p = {.events = POLLIN};
	struct site site;

	(void)state;
	snprintf(path, sizeof(path), "unix:%.80s/s", support_dir());
	site.fd = handoff__addr_listen(path, site.address, NULL);
	client = fixture_open_to(&site, NULL);
	p.fd = handoff_client_fd(client);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(handoff_client_dispatch(client), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_int_equal(poll(&p, 1, 0), 0);
	handoff_client_free(client);
	close(site.fd);
}

/* Broken after our end of sending: there is nothing to come back for. */
static void
test_broken_after_shutdown(void **state)
{
	struct site site = site_open();
	struct handoff_client *client;
	int conn;

	(void)state;
	client = fixture_open_connected(&site, &conn);
	assert_int_equal(handoff_client_shutdown(client), 0);
	fixture_read_end(client, conn);
	fixture_reset(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	fixture_expect_quiet(client);
	handoff_client_free(client);
	site_close(&site);
}

static void
test_arguments(void **state)
{
	static const char *const bad[] = {"", "127.0.0.1", ":7000",
		"127.0.0.1:0", "127.0.0.1:70000", "[::1]", "unix:", NULL,
		"a:b:c"};
	const struct handoff_client_event *event;
	struct handoff_client *client = NULL;
	const char *many[17];
	char sentence[HANDOFF_TEXT_MAX];
	struct handoff_client_opts opts = {
		.size = sizeof(opts),
		.errbuf = sentence,
		.errbuf_size = sizeof(sentence),
	};

	(void)state;
	assert_int_equal(handoff_client_open(&client, NULL), -EINVAL);
	assert_int_equal(handoff_client_open(NULL, &opts), -EINVAL);
	assert_int_equal(handoff_client_open(&client, &opts), -EINVAL);
	assert_non_null(strstr(sentence, "1 to 16 endpoints"));
	for (size_t i = 0; i < 17; i++)
		many[i] = "127.0.0.1:1";
	opts.endpoints = many;
	opts.nendpoints = 17;
	assert_int_equal(handoff_client_open(&client, &opts), -EINVAL);
	opts.nendpoints = 2;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		many[1] = bad[i];
		sentence[0] = '\0';
		assert_int_equal(handoff_client_open(&client, &opts), -EINVAL);
		assert_true(sentence[0] != '\0');
	}
	assert_null(client);
	handoff_client_free(NULL);
	assert_int_equal(handoff_client_fd(NULL), -EINVAL);
	assert_int_equal(handoff_client_wait(NULL, 0), -EINVAL);
	assert_int_equal(handoff_client_dispatch(NULL), -EINVAL);
	assert_int_equal(handoff_client_next(NULL, &event), -EINVAL);
	assert_int_equal(handoff_client_send(NULL, "x", 1), -EINVAL);
	assert_int_equal(handoff_client_shutdown(NULL), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_echo_and_end),
		handoff_test(test_shutdown_before_connected),
		handoff_test(test_second_endpoint),
		handoff_test(test_all_dead),
		handoff_test(test_loss),
		handoff_test(test_accept_and_close),
		handoff_test(test_events_are_bounded),
		handoff_test(test_descriptor_tells_of_events),
		handoff_test(test_broken_after_shutdown),
		handoff_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
