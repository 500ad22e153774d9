/* SPDX-License-Identifier: MIT */
/*
 * Sending: in order, bounded, whole messages again after a loss, and none
 * twice.
 */
#include "client/fixture.h"

#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *endpoints[2];

enum { BIG = 300000, BIG_COUNT = 30 };

/* Message `i` begins and ends in a way that tells it from all others. */
static void
fill_message(char *data, int i)
{
	memset(data, 'a' + i % 26, BIG);
	data[0] = '<';
	data[1] = (char)('A' + i);
	data[BIG - 1] = '>';
}

/* Reads whole messages until one ends that is number `last`; returns the
 * number of the first. */
static int
read_messages(struct handoff_client *client, int conn, int last)
{
	char *want = malloc(BIG + 1), head[3] = "";
	int first, i;

	fixture_read(client, conn, "<");
	assert_int_equal(support_poll(conn, POLLIN), POLLIN);
	assert_int_equal(recv(conn, head, 1, MSG_PEEK), 1);
	first = head[0] - 'A';
	for (i = first; i <= last; i++) {
		fill_message(want, i);
		want[BIG] = '\0';
		fixture_read(client, conn, i == first ? want + 1 : want);
	}
	free(want);
	return first;
}

static void
test_half_sent_is_repeated_whole(void **state)
{
	struct site a = site_open(), b = site_open();
	struct handoff_client_opts opts = fixture_opts(endpoints, &a, &b);
	char *data = malloc(BIG);
	struct handoff_client *client;
	size_t unsent, first;
	int conn;

	(void)state;
	opts.max_unsent = BIG * BIG_COUNT;
	client = fixture_open(&opts);
	conn = fixture_accept(client, &a);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	for (int i = 0; i < BIG_COUNT; i++) {
		fill_message(data, i);
		assert_int_equal(handoff_client_send(client, data, BIG), 0);
	}
	/* More than the socket buffers hold: a message is half sent. */
	unsent = handoff_client_unsent(client);
	assert_true(unsent > 0 && unsent % BIG != 0);
	first = BIG_COUNT - (unsent + BIG - 1) / BIG;
	fixture_reset(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_int_equal(
		handoff_client_unsent(client), (BIG_COUNT - first) * BIG);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = fixture_accept(client, &b);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_int_equal(
		read_messages(client, conn, BIG_COUNT - 1), (int)first);
	assert_int_equal(handoff_client_unsent(client), 0);
	fixture_nothing(conn);
	handoff_client_free(client);
	close(conn);
	site_close(&a);
	site_close(&b);
	free(data);
}

static void
test_unsent_bound(void **state)
{
	struct site dead = site_dead();
	struct handoff_client_opts opts = fixture_opts(endpoints, &dead, NULL);
	struct handoff_client *client;

	(void)state;
	opts.max_unsent = 10;
	client = fixture_open(&opts);
	assert_int_equal(
		handoff_client_send(client, "12345678901", 11), -EMSGSIZE);
	assert_int_equal(handoff_client_send(client, "12345", 5), 0);
	assert_int_equal(handoff_client_send(client, "123456", 6), -ENOBUFS);
	assert_true(handoff_client_errmsg(client)[0] != '\0');
	assert_int_equal(handoff_client_send(client, "", 0), 0);
	assert_int_equal(handoff_client_send(client, NULL, 0), 0);
	assert_int_equal(handoff_client_send(client, NULL, 1), -EINVAL);
	assert_int_equal(handoff_client_send(client, "12345", 5), 0);
	assert_int_equal(handoff_client_unsent(client), 10);
	handoff_client_free(client);
}

/* Much in both directions at once, against a server that echoes by the same
 * thread: every byte comes back in order. */
static void
test_much(void **state)
{
	enum { TOTAL = 8000000, PIECE = 50000 };
	struct site site = site_open();
	unsigned char *piece = malloc(PIECE);
	size_t sent = 0, back = 0, held = 0;
	char *echo = malloc(PIECE);
	struct handoff_client *client;
	const struct handoff_client_event *event;
	int conn;

	(void)state;
	client = fixture_open_connected(&site, &conn);
	while (back < TOTAL) {
		ssize_t n;

		for (size_t i = 0; i < PIECE; i++)
			piece[i] = (unsigned char)((sent + i) * 7 >> 3);
		if (sent < TOTAL &&
			handoff_client_send(client, piece, PIECE) == 0)
			sent += PIECE;
		if (held == 0) {
			n = recv(conn, echo, PIECE, MSG_DONTWAIT);
			held = n > 0 ? (size_t)n : 0;
		}
		if (held > 0) {
			n = send(conn, echo, held, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n > 0)
				memmove(echo, echo + n, held -= (size_t)n);
		}
		assert_int_equal(handoff_client_dispatch(client), 0);
		while (handoff_client_next(client, &event) > 0) {
			const unsigned char *p = event->data;

			assert_int_equal(event->type, HANDOFF_CLIENT_DATA);
			assert_string_equal(event->endpoint, site.address);
			for (size_t i = 0; i < event->len; i++, back++)
				if (p[i] != (unsigned char)(back * 7 >> 3))
					fail();
		}
	}
	assert_int_equal(back, sent);
	handoff_client_free(client);
	close(conn);
	site_close(&site);
	free(piece);
	free(echo);
}

/* A reset while much is unsent, noticed by sending: what the server had said
 * before is delivered first. */
static void
test_write_error_keeps_what_came(void **state)
{
	char path[80], address[HANDOFF_ADDRESS_MAX], *data = malloc(BIG);
	struct handoff_client_event event;
	struct handoff_client *client;
	struct site site;
	int conn;

	(void)state;
	snprintf(path, sizeof(path), "unix:%s/s", support_dir());
	site.fd = handoff__addr_listen(path, address, NULL);
	strcpy(site.address, address);
	client = fixture_open_connected(&site, &conn);
	fixture_write(conn, "the last");
	close(conn);
	fill_message(data, 0);
	assert_int_equal(handoff_client_send(client, data, BIG), 0);
	assert_int_equal(handoff_client_unsent(client), BIG);
	fixture_expect_data(client, "the last");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_non_null(strstr(event.text, "Broken pipe"));
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = fixture_accept(client, &site);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_int_equal(read_messages(client, conn, 0), 0);
	handoff_client_free(client);
	close(conn);
	close(site.fd);
	free(data);
}

/* Lost with messages unsent after a shutdown: they are still brought home. */
static void
test_lost_before_shutdown_is_done(void **state)
{
	struct site site = site_open();
	struct handoff_client_opts opts = fixture_opts(endpoints, &site, NULL);
	char *data = malloc(BIG);
	struct handoff_client *client;
	int conn, first;

	(void)state;
	opts.max_unsent = BIG * BIG_COUNT;
	client = fixture_open(&opts);
	conn = fixture_accept(client, &site);
	for (int i = 0; i < BIG_COUNT; i++) {
		fill_message(data, i);
		assert_int_equal(handoff_client_send(client, data, BIG), 0);
	}
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_true(handoff_client_unsent(client) > 0);
	assert_int_equal(handoff_client_shutdown(client), 0);
	fixture_reset(conn);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = fixture_accept(client, &site);
	first = read_messages(client, conn, BIG_COUNT - 1);
	assert_in_range(first, 0, BIG_COUNT - 1);
	fixture_read_end(client, conn);
	close(conn);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	handoff_client_free(client);
	site_close(&site);
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_half_sent_is_repeated_whole),
		handoff_test(test_unsent_bound),
		handoff_test(test_much),
		handoff_test(test_write_error_keeps_what_came),
		handoff_test(test_lost_before_shutdown_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
