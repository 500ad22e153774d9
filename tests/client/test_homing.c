/* SPDX-License-Identifier: MIT */
/*
 * The move home: make before break, nothing is lost, duplicated or reordered,
 * whatever breaks in the meantime. The test plays both servers.
 */
#include "client/service.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Make before break, and the order of what either side says. */
static void
test_move_keeps_the_order(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	assert_int_equal(handoff_client_send(client, "first", 5), 0);
	new = service_go_home(client);
	/* The new one speaks first, the old one is not yet through. */
	fixture_write(new, "from home");
	fixture_read(client, old, "first");
	fixture_read_end(client, old);
	assert_int_equal(handoff_client_send(client, "second", 6), 0);
	fixture_read(client, new, "second");
	fixture_expect_quiet(client);
	fixture_write(old, "from the old one");
	fixture_expect_data(client, "from the old one");
	fixture_expect_quiet(client);
	close(old);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_string_equal(event.endpoint, service.home.address);
	assert_non_null(strstr(event.text, "moved to "));
	assert_null(strstr(event.text, ";"));
	assert_false(client->drain_timer.armed);
	fixture_expect_data(client, "from home");
	fixture_expect_quiet(client);
	close(new);
	service_end(client);
}

/* What was queued before the switch goes to the old connection, all of it,
 * before anything goes to the new one. */
static void
test_queued_goes_the_old_way(void **state)
{
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	service_send_much(client);
	new = service_go_home(client);
	assert_int_equal(handoff_client_send(client, "after", 5), 0);
	fixture_expect_quiet(client);
	fixture_nothing(new);
	service_read_much(client, old, 0);
	fixture_read_end(client, old);
	fixture_read(client, new, "after");
	assert_int_equal(handoff_client_unsent(client), 0);
	close(old);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	close(new);
	service_end(client);
}

/* The old connection breaks while it is drained: what it did not take goes to
 * the new one, the half-sent message whole, nothing else twice. */
static void
test_old_breaks(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	size_t unsent;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	service_send_much(client);
	new = service_go_home(client);
	assert_int_equal(handoff_client_send(client, "after", 5), 0);
	unsent = handoff_client_unsent(client) - 5;
	assert_true(unsent > 0 && unsent % BIG != 0);
	fixture_reset(old);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_non_null(strstr(event.text, "broke before its end"));
	service_read_much(
		client, new, (int)(BIG_COUNT - (unsent + BIG - 1) / BIG));
	fixture_read(client, new, "after");
	fixture_expect_quiet(client);
	fixture_nothing(new);
	close(new);
	service_end(client);
}

/* The old server ends before it has taken everything. */
static void
test_old_ends_early(void **state)
{
	struct handoff_client *client;
	size_t unsent;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	service_send_much(client);
	new = service_go_home(client);
	unsent = handoff_client_unsent(client);
	assert_int_equal(shutdown(old, SHUT_WR), 0);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	service_read_much(
		client, new, (int)(BIG_COUNT - (unsent + BIG - 1) / BIG));
	close(old);
	close(new);
	service_end(client);
}

/* An old connection that does not end is cut in time; what had come over it
 * is delivered. */
static void
test_drain_timeout(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	service.opts.drain_timeout_ms = 3600000;
	client = service_connected(&old);
	service_send_much(client);
	new = service_go_home(client);
	fixture_write(old, "so far");
	fixture_expect_data(client, "so far");
	assert_true(client->drain_timer.armed);
	handoff__timer_arm(&client->loop, &client->drain_timer, 0);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_non_null(strstr(event.text, "did not end within 3600000 ms"));
	fixture_write(new, "welcome");
	fixture_expect_data(client, "welcome");
	assert_int_equal(handoff_client_send(client, "end", 3), 0);
	assert_int_equal(support_poll(new, POLLIN), POLLIN);
	close(old);
	close(new);
	service_end(client);
}

/* Data that waits in the kernel when the time is up is not thrown away. */
static void
test_drain_timeout_slow_reader(void **state)
{
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	service.opts.drain_timeout_ms = 1;
	client = service_connected(&old);
	fixture_write(old, "unread");
	new = service_go_home(client);
	while (!client->old->cut)
		assert_int_equal(handoff_client_wait(client, 100), 0);
	fixture_expect_data(client, "unread");
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	close(old);
	close(new);
	service_end(client);
}

/* Home is down: the connection stays and home is tried again, only
 * service.home. */
static void
test_home_is_down(void **state)
{
	const struct handoff_client_event *next;
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	site_close(&service.home);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	service_expect_homing(client);
	for (int i = 0; i < 4; i++) {
		event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
		assert_string_equal(event.endpoint, service.home.address);
		assert_non_null(strstr(event.text, "Connection refused"));
	}
	fixture_write(old, "meanwhile");
	do
		assert_int_equal(handoff_client_wait(client, 1000), 0);
	while (handoff_client_next(client, &next) == 0 ||
		next->type == HANDOFF_CLIENT_RETRY);
	assert_int_equal(next->type, HANDOFF_CLIENT_DATA);
	assert_true(client->home_backoff.failures >= 4);
	site_reopen(&service.home);
	new = fixture_accept(client, &service.home);
	close(old);
	do
		assert_int_equal(handoff_client_wait(client, 1000), 0);
	while (handoff_client_next(client, &next) == 0 ||
		next->type == HANDOFF_CLIENT_RETRY);
	assert_int_equal(next->type, HANDOFF_CLIENT_MOVED);
	service_publish(HANDOFF_NOTICE_READY, "main", 3600000);
	service_expect_homing(client);
	assert_int_equal(client->home_backoff.failures, 0);
	close(new);
	service_end(client);
}

/* From wherever a client is, READY brings it to the first endpoint. */
static void
test_home_from_elsewhere(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	site_close(&service.home);
	client = service_client();
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	old = fixture_accept(client, &service.other);
	event = fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_string_equal(event.endpoint, service.other.address);
	site_reopen(&service.home);
	new = service_go_home(client);
	close(old);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_string_equal(event.endpoint, service.home.address);
	close(new);
	service_end(client);
}

/* The new connection breaks while the old one is drained: that is dealt with
 * after it, and nothing spins until then. */
static void
test_new_breaks_while_draining(void **state)
{
	struct handoff_client_event event;
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	new = service_go_home(client);
	fixture_read_end(client, old);
	assert_int_equal(handoff_client_send(client, "lost", 4), 0);
	fixture_read(client, new, "lost");
	fixture_write(new, "unread");
	fixture_reset(new);
	fixture_expect_quiet(client);
	assert_int_equal(handoff_client_send(client, "kept", 4), 0);
	fixture_expect_quiet(client);
	fixture_write(old, "old end");
	close(old);
	fixture_expect_data(client, "old end");
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	fixture_expect_data(client, "unread");
	event = fixture_expect(client, HANDOFF_CLIENT_LOST);
	assert_non_null(strstr(event.text, "Connection reset by peer"));
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_string_equal(event.endpoint, service.other.address);
	new = fixture_accept(client, &service.other);
	fixture_read(client, new, "kept");
	close(new);
	service_end(client);
}

static void
test_shutdown_while_draining(void **state)
{
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	client = service_connected(&old);
	service_send_much(client);
	new = service_go_home(client);
	assert_int_equal(handoff_client_send(client, "after", 5), 0);
	assert_int_equal(handoff_client_shutdown(client), 0);
	service_read_much(client, old, 0);
	fixture_read_end(client, old);
	fixture_read(client, new, "after");
	fixture_read_end(client, new);
	fixture_write(new, "2");
	close(new);
	fixture_write(old, "1");
	close(old);
	fixture_expect_data(client, "1");
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	fixture_expect_data(client, "2");
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	fixture_expect_quiet(client);
	service_end(client);
}

/* READY for the next generation comes while the old connection of this one is
 * still drained: it is followed, after it. */
static void
test_second_ready_while_draining(void **state)
{
	struct handoff_client *client;
	int conn[3];

	(void)state;
	service_begin();
	client = service_connected(&conn[0]);
	conn[1] = service_go_home(client);
	service_publish(HANDOFF_NOTICE_MAINTENANCE, "alt", 0);
	fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	service_publish(HANDOFF_NOTICE_READY, "main", 0);
	service_expect_homing(client);
	while (client->timer.armed)
		assert_int_equal(handoff_client_wait(client, 1000), 0);
	fixture_expect_quiet(client);
	close(conn[0]);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	conn[2] = fixture_accept(client, &service.home);
	assert_int_equal(handoff_client_send(client, "third", 5), 0);
	close(conn[1]);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	fixture_read(client, conn[2], "third");
	close(conn[2]);
	service_end(client);
}

/* Over a Unix socket and with the notices it works the same. */
static void
test_move_over_unix_sockets(void **state)
{
	struct handoff_client *client;
	int old, new;

	(void)state;
	service_begin();
	service_home_is_local();
	client = service_connected(&old);
	assert_int_equal(handoff_client_send(client, "one", 3), 0);
	new = service_go_home(client);
	assert_int_equal(handoff_client_send(client, "two", 3), 0);
	fixture_read(client, old, "one");
	fixture_read_end(client, old);
	fixture_read(client, new, "two");
	close(old);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	close(new);
	service_end(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_move_keeps_the_order),
		handoff_test(test_queued_goes_the_old_way),
		handoff_test(test_old_breaks),
		handoff_test(test_old_ends_early),
		handoff_test(test_drain_timeout),
		handoff_test(test_drain_timeout_slow_reader),
		handoff_test(test_home_is_down),
		handoff_test(test_home_from_elsewhere),
		handoff_test(test_new_breaks_while_draining),
		handoff_test(test_shutdown_while_draining),
		handoff_test(test_second_ready_while_draining),
		handoff_test(test_move_over_unix_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
