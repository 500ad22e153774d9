/* SPDX-License-Identifier: MIT */
/*
 * The move home through a layer: the handshake on the new connection is done
 * before the old one ends, which ends in order. The test plays both servers.
 */
#include "client/service.h"
#include "client/toy.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct toy_conn old;

static struct handoff_client *
begin(void)
{
	struct handoff_client *client;

	service_begin();
	memset(&toy_script, 0, sizeof(toy_script));
	service.opts.layer = &toy_layer;
	client = service_client();
	old = toy_accept(client, &service.home);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	return client;
}

static void
end(struct handoff_client *client)
{
	service_end(client);
	assert_int_equal(toy_script.open, 0);
}

/* READY has come, and the client has dialled; the handshake is not done. */
static struct toy_conn
dialled(struct handoff_client *client)
{
	return (struct toy_conn){service_go_home(client), toy_server()};
}

static void
finish(struct handoff_client *client, struct toy_conn *conn)
{
	while (!toy_is_open(conn->toy))
		assert_true(toy_receive(client, conn));
}

/* The old connection is in use until the handshake is done; then it ends, and
 * is read to its end before anything of the new one. */
static void
test_move_keeps_the_order(void **state)
{
	struct handoff_client *client = begin();
	struct handoff_client_event event;
	struct toy_conn new;

	(void)state;
	new = dialled(client);
	assert_int_equal(handoff_client_send(client, "first", 5), 0);
	toy_expect(client, &old, "first");
	toy_say(&old, "in between");
	fixture_expect_data(client, "in between");
	finish(client, &new);
	toy_say(&new, "from home");
	toy_expect_end(client, &old);
	assert_int_equal(handoff_client_send(client, "second", 6), 0);
	toy_expect(client, &new, "second");
	toy_say(&old, "from the old one");
	fixture_expect_data(client, "from the old one");
	fixture_expect_quiet(client);
	toy_say_end(&old);
	toy_close(&old);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_int_equal(event.err, 0);
	assert_false(client->drain_timer.armed);
	fixture_expect_data(client, "from home");
	fixture_expect_quiet(client);
	end(client);
	toy_close(&new);
}

/* What home says first comes with the end of its handshake. */
static void
test_home_speaks_first(void **state)
{
	struct handoff_client *client = begin();
	struct toy_conn new = dialled(client);
	char hello[4];

	(void)state;
	assert_int_equal(support_poll(new.fd, POLLIN), POLLIN);
	assert_int_equal(recv(new.fd, hello, sizeof(hello), 0), 4);
	toy_input(new.toy, hello, sizeof(hello));
	toy_say(&new, "first");
	toy_expect_end(client, &old);
	toy_say_end(&old);
	toy_close(&old);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	fixture_expect_data(client, "first");
	end(client);
	toy_close(&new);
}

/* What was queued before the switch goes to the old connection, then its end
 * goes, and the rest to the new one. */
static void
test_queued_goes_the_old_way(void **state)
{
	struct handoff_client *client = begin();
	char *want = malloc(BIG + 1);
	struct toy_conn new;

	(void)state;
	service_send_much(client);
	new = dialled(client);
	finish(client, &new);
	fixture_expect_quiet(client);
	assert_int_equal(handoff_client_send(client, "after", 5), 0);
	for (int i = 0; i < BIG_COUNT; i++) {
		memset(want, 'a' + i % 26, BIG);
		want[0] = '<';
		want[1] = (char)('A' + i);
		want[BIG - 1] = '>';
		want[BIG] = '\0';
		toy_expect(client, &old, want);
	}
	free(want);
	toy_expect_end(client, &old);
	toy_expect(client, &new, "after");
	toy_say_end(&old);
	toy_close(&old);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	end(client);
	toy_close(&new);
}

/* The old server ends its connection, but not the layer. */
static void
test_old_is_truncated(void **state)
{
	struct handoff_client *client = begin();
	struct handoff_client_event event;
	struct toy_conn new = dialled(client);

	(void)state;
	finish(client, &new);
	toy_expect_end(client, &old);
	toy_close(&old);
	event = fixture_expect(client, HANDOFF_CLIENT_MOVED);
	assert_int_equal(event.err, -ECONNABORTED);
	assert_non_null(strstr(event.text, "ended without an end"));
	end(client);
	toy_close(&new);
}

/* Home is not whom it should be: the client stays where it is, and says why. */
static void
test_home_is_not_trusted(void **state)
{
	struct handoff_client *client = begin();
	struct handoff_client_event event;
	struct toy_conn new;

	(void)state;
	toy_script.distrusts = true;
	new = dialled(client);
	finish(client, &new);
	event = fixture_expect(client, HANDOFF_CLIENT_RETRY);
	assert_int_equal(event.err, -EACCES);
	assert_non_null(strstr(event.text, "stays and goes home"));
	toy_close(&new);
	toy_script.distrusts = false;
	assert_int_equal(handoff_client_send(client, "stays", 5), 0);
	toy_expect(client, &old, "stays");
	new = toy_accept(client, &service.home);
	toy_expect_end(client, &old);
	toy_say_end(&old);
	toy_close(&old);
	fixture_expect(client, HANDOFF_CLIENT_MOVED);
	end(client);
	toy_close(&new);
}

/* The connection in use breaks during the handshake, which then serves as the
 * reconnect. */
static void
test_lost_during_the_handshake(void **state)
{
	struct handoff_client *client = begin();
	struct toy_conn new = dialled(client);

	(void)state;
	fixture_reset(old.fd);
	toy_free(old.toy);
	fixture_expect(client, HANDOFF_CLIENT_LOST);
	finish(client, &new);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	assert_int_equal(handoff_client_send(client, "on", 2), 0);
	toy_expect(client, &new, "on");
	end(client);
	toy_close(&new);
}

/* A handoff and a shutdown during the handshake: the connection stays. */
static void
test_handshake_is_cancelled(void **state)
{
	struct handoff_client *client = begin();
	struct toy_conn new = dialled(client);

	(void)state;
	service_publish(HANDOFF_NOTICE_MAINTENANCE, "alt", 0);
	fixture_expect(client, HANDOFF_CLIENT_HANDOFF);
	while (toy_receive(client, &new))
		;
	toy_close(&new);
	assert_int_equal(toy_script.open, 1);
	new = dialled(client);
	assert_int_equal(handoff_client_shutdown(client), 0);
	while (toy_receive(client, &new))
		;
	toy_close(&new);
	toy_expect_end(client, &old);
	toy_say_end(&old);
	fixture_expect(client, HANDOFF_CLIENT_CLOSED);
	toy_close(&old);
	end(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_move_keeps_the_order),
		handoff_test(test_home_speaks_first),
		handoff_test(test_queued_goes_the_old_way),
		handoff_test(test_old_is_truncated),
		handoff_test(test_home_is_not_trusted),
		handoff_test(test_lost_during_the_handshake),
		handoff_test(test_handshake_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
