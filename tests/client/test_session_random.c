/* SPDX-License-Identifier: MIT */
/*
 * A client and a server of sessions whose connections break at random, at any
 * byte, before and after the answer to a resume; READY comes at random too, and
 * the server is busy now and then. Every byte comes back once and in order, and
 * it all ends in an orderly way. So through a layer in the session.
 */
#include "client/echo.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct echo echo;

struct life {
	struct handoff_client *client;
	size_t sent, got;
	bool shut, closed;
	unsigned moved, resumed;
};

static unsigned char
byte_at(size_t at)
{
	return (unsigned char)(at * 2654435761u >> 13);
}

static void
say(struct life *life, size_t all)
{
	unsigned char data[1500];
	size_t len = 1 + echo_random(&echo, sizeof(data));

	if (life->shut || handoff_client_room(life->client) < len)
		return;
	len = len < all - life->sent ? len : all - life->sent;
	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(life->sent + i);
	assert_int_equal(handoff_client_send(life->client, data, len), 0);
	life->sent += len;
	if (life->sent < all)
		return;
	life->shut = true;
	assert_int_equal(handoff_client_shutdown(life->client), 0);
}

static void
hear(struct life *life)
{
	const struct handoff_client_event *event;
	const unsigned char *data;

	/* not always all that there is */
	while (echo_random(&echo, 8) > 0 &&
		handoff_client_next(life->client, &event) > 0) {
		assert_int_not_equal(event->type, HANDOFF_CLIENT_NEW);
		life->closed |= event->type == HANDOFF_CLIENT_CLOSED;
		life->moved += event->type == HANDOFF_CLIENT_MOVED;
		life->resumed += event->type == HANDOFF_CLIENT_RESUMED;
		if (event->type != HANDOFF_CLIENT_DATA)
			continue;
		data = event->data;
		assert_in_range(event->len, 1, life->sent - life->got);
		for (size_t i = 0; i < event->len; i++)
			assert_int_equal(data[i], byte_at(life->got + i));
		life->got += event->len;
	}
}

static void
wait_for_work(struct life *life)
{
	struct pollfd p[2 + ECHO_CONNS];
	size_t n = echo_poll(&echo, p);

	p[n] = (struct pollfd){handoff_client_fd(life->client), POLLIN, 0};
	assert_true(poll(p, n + 1, 5000) > 0);
}

/* Something happens to them. */
static void
disturb(void)
{
	switch (echo_random(&echo, 16)) {
	case 0:
		echo_break(&echo);
		return;
	case 1:
		service_publish(HANDOFF_NOTICE_READY, "main", 0);
		return;
	case 2:
		echo.busy = echo_random(&echo, 3);
		return;
	default:
		return;
	}
}

static void
live(uint32_t seed, bool layered, struct life *sum)
{
	enum { ALL = 60000 };
	struct life life = {0};

	echo_begin(&echo, seed);
	service.endpoints[0] = echo.site.address;
	service.opts.layer = layered ? &toy_layer : NULL;
	echo.toy = layered ? toy_server() : NULL;
	life.client = service_client();
	while (!life.closed) {
		wait_for_work(&life);
		/* it ends some time */
		if (echo.resumes < 60)
			disturb();
		echo_serve(&echo);
		if (echo_random(&echo, 4) > 0)
			assert_int_equal(
				handoff_client_dispatch(life.client), 0);
		hear(&life);
		say(&life, ALL);
	}
	assert_int_equal(life.got, ALL);
	assert_int_equal(echo.sessions, 1);
	if (layered)
		assert_true(echo.reply_ended);
	else
		assert_int_equal(echo.flow.rx_taken, ALL + 1);
	sum->moved += life.moved;
	sum->resumed += life.resumed;
	handoff_client_free(life.client);
	assert_int_equal(toy_script.open, 0);
	assert_int_equal(toy_script.begins, layered ? seed : 0);
	echo_end(&echo);
}

static void
live_all(bool layered)
{
	int lives = getenv("HANDOFF_LONG") ? 1000 : 60;
	struct life sum = {0};

	memset(&toy_script, 0, sizeof(toy_script));
	service_begin();
	service.opts.nendpoints = 1;
	service.opts.session = true;
	service.opts.max_unsent = 4096;
	service.opts.max_delay_ms = 1;
	for (int i = 1; i <= lives; i++)
		live((uint32_t)i, layered, &sum);
	service_end(NULL);
	print_message("%d lives: moved %u times, resumed %u times\n", lives,
		sum.moved, sum.resumed);
	/* all of it happens */
	assert_true(sum.moved > (unsigned)lives);
	assert_true(sum.resumed > (unsigned)lives);
}

static void
test_random(void **state)
{
	(void)state;
	live_all(false);
}

/* The layer's bytes are those of the session: no new handshake, whatever
 * breaks. */
static void
test_random_through_a_layer(void **state)
{
	(void)state;
	live_all(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_random),
		handoff_test(test_random_through_a_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
