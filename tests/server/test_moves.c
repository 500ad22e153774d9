/* SPDX-License-Identifier: MIT */
/*
 * Handoffs at bad moments: handlers that run, clients that never pause, sockets
 * that are full, limits that are reached; and a server that is driven by poll
 * only.
 */
#include "server/duo.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 100000

static void
wait_for_holding(struct duo *duo, const struct host *host, unsigned wanted)
{
	for (int i = 0; atomic_load(&host->holding) != wanted; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		duo_turn(duo);
	}
}

/* The connection whose handler runs follows; the others do not wait. */
static void
running_handler_is_waited_for(void **state)
{
	struct duo duo;
	int busy, idle;

	duo_open(&duo, duo_model(state));
	busy = client_open(duo.a.address);
	idle = client_open(duo.a.address);
	client_line(&duo, busy, 1);
	client_line(&duo, idle, 1);
	atomic_store(&duo.a.hold, true);
	client_send(busy, "hello\n");
	wait_for_holding(&duo, &duo.a, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	client_line(&duo, idle, 2);
	assert_false(host_had(&duo.a, HANDOFF_SERVER_GAVE));
	atomic_store(&duo.a.hold, false);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, "moved 2 connections"));
	assert_non_null(strstr(duo.a.text, " 0 left behind"));
	client_expect(&duo, busy, "2 hello\n");
	client_line(&duo, busy, 3);
	close(busy);
	close(idle);
	duo_close(&duo);
}

/* Nothing moves to a standby that loads, and everything when it has. */
static void
standby_that_loads_is_waited_for(void **state)
{
	struct duo duo;
	int client;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.opts.give_timeout_ms = 50;
	duo.b.opts.loading = "loads its data";
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	client = client_open(duo.a.address);
	client_line(&duo, client, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	client_line(&duo, client, 2);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	assert_int_equal(duo.a.event.reason, HANDOFF_REASON_UNREADY);
	assert_non_null(strstr(duo.a.text, "loads its data"));
	assert_int_equal(handoff_server_loading(duo.b.server, NULL), 0);
	assert_int_equal(handoff_server_loading(NULL, NULL), -EINVAL);
	/* what is said meanwhile crosses it or not */
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	client_line(&duo, client, 3);
	close(client);
	duo_close(&duo);
}

/* Everything or nothing: a handler that does not return in time keeps all of
 * it, and they are served on; when it returns all move. */
static void
whole_give_waits_for_every_handler(void **state)
{
	struct duo duo;
	int busy, idle;

	duo_init(&duo, duo_model(state));
	duo.a.opts.give_timeout_ms = 300;
	duo.a.opts.whole = true;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	busy = client_open(duo.a.address);
	idle = client_open(duo.a.address);
	client_line(&duo, busy, 1);
	client_line(&duo, idle, 1);
	atomic_store(&duo.a.hold, true);
	client_send(busy, "hello\n");
	wait_for_holding(&duo, &duo.a, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_REFUSED);
	assert_int_equal(duo.a.event.reason, HANDOFF_REASON_HANDLER);
	assert_int_equal(duo.a.outcome.left, 1);
	assert_false(host_had(&duo.b, HANDOFF_SERVER_OWNER));
	/* Two that run and end one after the other. */
	client_send(idle, "hello\n");
	wait_for_holding(&duo, &duo.a, 2);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_turn(&duo);
	atomic_store(&duo.a.hold, false);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, "moved 2 connections"));
	client_expect(&duo, busy, "2 hello\n");
	client_expect(&duo, idle, "2 hello\n");
	client_line(&duo, busy, 3);
	client_line(&duo, idle, 3);
	close(busy);
	close(idle);
	duo_close(&duo);
}

static void
assert_one_left(const struct host *host, enum handoff_direction direction)
{
	const struct handoff_outcome *o = &host->outcome;

	assert_int_equal(o->direction, direction);
	assert_int_equal(o->reason, HANDOFF_REASON_NONE);
	assert_int_equal(o->connections, 0);
	assert_int_equal(o->listeners, 1);
	assert_int_equal(o->left, 1);
	for (int i = 0; i < HANDOFF_REASONS; i++)
		assert_int_equal(o->left_by[i], i == HANDOFF_REASON_HANDLER);
}

/* Walked over twice: the second is the end. */
static void
assert_left_is_busy(struct handoff_server *server)
{
	const struct handoff_left *left;

	assert_int_equal(handoff_server_left(server, &left), 1);
	assert_int_equal(left->kind, HANDOFF_ENTRY_CONNECTION);
	assert_int_equal(left->reason, HANDOFF_REASON_HANDLER);
	assert_int_equal(left->id, 1);
	assert_string_equal(left->name, "");
	assert_null(left->entry);
	assert_int_equal(handoff_server_left(server, &left), 0);
	assert_int_equal(handoff_server_left(server, &left), 0);
}

static void
handler_past_the_deadline_is_left_and_follows(void **state)
{
	struct duo duo;
	unsigned before;
	int busy;

	duo_init(&duo, duo_model(state));
	duo.a.opts.give_timeout_ms = 50;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	busy = client_open(duo.a.address);
	client_line(&duo, busy, 1);
	atomic_store(&duo.a.hold, true);
	client_send(busy, "hello\n");
	wait_for_holding(&duo, &duo.a, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, " 1 left behind"));
	assert_one_left(&duo.a, HANDOFF_DIRECTION_OUT);
	assert_left_is_busy(duo.a.server);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_one_left(&duo.b, HANDOFF_DIRECTION_IN);
	assert_left_is_busy(duo.b.server);
	/* Its client is answered as soon as the handler returns, and from
	 * then on by the other. */
	atomic_store(&duo.a.hold, false);
	client_expect(&duo, busy, "2 hello\n");
	for (int i = 0; i < 20; i++)
		duo_turn(&duo);
	before = duo.a.handled;
	client_line(&duo, busy, 3);
	assert_int_equal(duo.a.handled, before);
	close(busy);
	duo_close(&duo);
}

/* The walk is of the last handoff whose event was pulled, and of no other. */
static void
walk_over_what_was_left_is_of_one_handoff(void **state)
{
	const struct handoff_left *left;
	struct duo duo;

	duo_open(&duo, duo_model(state));
	assert_int_equal(handoff_server_left(NULL, &left), -EINVAL);
	assert_int_equal(handoff_server_left(duo.a.server, NULL), -EINVAL);
	assert_int_equal(handoff_server_left(duo.a.server, &left), 0);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	assert_int_equal(handoff_server_left(duo.a.server, &left), -ESTALE);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_left(duo.b.server, &left), 0);
	/* It has ended, and its event is not pulled yet. */
	for (int i = 0; handoff_server_moving(duo.a.server); i++) {
		assert_in_range(i, 0, TURNS_MAX);
		duo_turn(&duo);
	}
	assert_int_equal(handoff_server_left(duo.a.server, &left), -ESTALE);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_left(duo.a.server, &left), 0);
	duo_close(&duo);
}

/* A client that asks and reads as fast as it can, in two threads. */
struct pipeliner {
	int fd;
	atomic_bool stop;
	atomic_size_t got;
};

static void *
keep_asking(void *arg)
{
	struct pipeliner *p = arg;
	char lines[7 * 1000 + 1] = "", *end = lines;

	for (int i = 0; i < 1000; i++)
		end = stpcpy(end, "hello!\n");
	while (!atomic_load(&p->stop) &&
		send(p->fd, lines, sizeof(lines) - 1, MSG_NOSIGNAL) > 0)
		;
	shutdown(p->fd, SHUT_WR);
	return NULL;
}

static void *
keep_reading(void *arg)
{
	struct pipeliner *p = arg;
	char data[65536];
	ssize_t n;

	while ((n = recv(p->fd, data, sizeof(data), 0)) > 0)
		atomic_fetch_add(&p->got, (size_t)n);
	return NULL;
}

/* Its thread is never without work: it must be called back all the same. */
static void
pipelining_client_moves(void **state)
{
	struct duo duo;
	struct pipeliner p = {.got = 0};
	pthread_t asking, reading;
	size_t before;

	duo_open(&duo, duo_model(state));
	p.fd = client_open(duo.a.address);
	assert_int_equal(pthread_create(&asking, NULL, keep_asking, &p), 0);
	assert_int_equal(pthread_create(&reading, NULL, keep_reading, &p), 0);
	for (int i = 0; atomic_load(&p.got) < 1000000; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		duo_turn(&duo);
	}
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, " 0 left behind"));
	before = atomic_load(&p.got);
	for (int i = 0; atomic_load(&p.got) < before + 1000000; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		duo_turn(&duo);
	}
	atomic_store(&p.stop, true);
	pthread_join(asking, NULL);
	for (int i = 0; pthread_tryjoin_np(reading, NULL) != 0; i++) {
		assert_in_range(i, 0, TURNS_MAX);
		duo_turn(&duo);
	}
	close(p.fd);
	duo_close(&duo);
}

/* Output that its client does not read is sent by the other peer. */
static void
unsent_output_moves(void **state)
{
	struct duo duo;
	char *line = malloc(50001), *answer = malloc(50002);
	int fd, small = 32768;
	size_t got = 0;

	assert_non_null(line);
	assert_non_null(answer);
	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	memset(line, 'x', 50000);
	line[49999] = '\n';
	line[50000] = '\0';
	fd = client_open(duo.a.address);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (unsigned i = 0; i < 100; i++) {
		ssize_t n = send(fd, line, 50000, MSG_DONTWAIT);

		if (n < 50000)
			break;
		for (int t = 0; t < 5; t++)
			handoff_server_wait(duo.a.server, 0);
	}
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, "moved 1 connection"));
	/* Both have counted what was in the buffers. A thread may not have got
	 * to reading it. */
	if (duo_model(state) == HANDOFF_MODEL_LOOP)
		assert_true(
			duo.a.outcome.unsent > 0 && duo.a.outcome.unread > 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_int_equal(duo.b.outcome.unsent, duo.a.outcome.unsent);
	assert_int_equal(duo.b.outcome.unread, duo.a.outcome.unread);
	for (int i = 0; got < 50002; i++) {
		ssize_t n = recv(fd, answer, 50002 - got, MSG_DONTWAIT);

		assert_in_range(i, 0, TURNS_MAX);
		if (n > 0 && got == 0)
			assert_memory_equal(answer, "1 ", 2);
		for (ssize_t at = got == 0 ? 2 : 0; at < n; at++)
			assert_int_equal(answer[at],
				got + (size_t)at == 50001 ? '\n' : 'x');
		got += n > 0 ? (size_t)n : 0;
		duo_turn(&duo);
	}
	close(fd);
	free(line);
	free(answer);
	duo_close(&duo);
}

/* The owner is at its limit of connections: moving there is no accepting. */
static void
limit_does_not_stop_a_handoff(void **state)
{
	struct duo duo;
	int fds[4];

	duo_init(&duo, duo_model(state));
	duo.b.opts.max_connections = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	for (int i = 0; i < 3; i++) {
		fds[i] = client_open(duo.a.address);
		client_line(&duo, fds[i], 1);
	}
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text, "moved 3 connections"));
	fds[3] = client_open(duo.a.address);
	client_send(fds[3], "hello\n");
	for (int i = 0; i < 3; i++) {
		client_line(&duo, fds[i], 2);
		close(fds[i]);
	}
	client_expect(&duo, fds[3], "1 hello\n");
	close(fds[3]);
	duo_close(&duo);
}

/* A loop of the user's: waits for nothing but the two descriptors, and calls
 * dispatch only when they are readable. */
static void
poll_until(
	struct duo *duo, struct host *host, enum handoff_server_event_type type)
{
	struct host *hosts[2] = {&duo->a, &duo->b};
	struct pollfd fds[2];

	for (int i = 0; !host_had(host, type); i++) {
		int n;

		assert_in_range(i, 0, TURNS_MAX);
		for (int h = 0; h < 2; h++)
			fds[h] = (struct pollfd){
				.fd = hosts[h]->server
					      ? handoff_server_fd(
							hosts[h]->server)
					      : -1,
				.events = POLLIN};
		n = poll(fds, 2, 5000);
		if (n == 0)
			fail_msg("event %d: nothing is readable", (int)type);
		for (int h = 0; h < 2; h++) {
			assert_int_equal(fds[h].revents & ~POLLIN, 0);
			if (fds[h].revents)
				assert_int_equal(handoff_server_dispatch(
							 hosts[h]->server),
					0);
		}
	}
}

/* A line is answered while only poll is waited on. */
static void
poll_line(struct duo *duo, int fd)
{
	struct pollfd fds[3] = {{.fd = fd, .events = POLLIN},
		{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	char answer[64];

	if (duo->a.server)
		fds[1].fd = handoff_server_fd(duo->a.server);
	if (duo->b.server)
		fds[2].fd = handoff_server_fd(duo->b.server);
	client_send(fd, "hello\n");
	for (int i = 0; recv(fd, answer, sizeof(answer), MSG_DONTWAIT) < 0;
		i++) {
		assert_in_range(i, 0, TURNS_MAX);
		if (poll(fds, 3, 5000) == 0)
			fail_msg("a line: nothing is readable");
		if (fds[1].revents)
			handoff_server_dispatch(duo->a.server);
		if (fds[2].revents)
			handoff_server_dispatch(duo->b.server);
	}
}

static void
poll_is_all_it_takes(void **state)
{
	struct duo duo;
	int fds[20];

	duo_open(&duo, duo_model(state));
	for (int i = 0; i < 20; i++) {
		fds[i] = client_open(duo.a.address);
		poll_line(&duo, fds[i]);
	}
	for (int round = 0; round < 3; round++) {
		assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
		poll_until(&duo, &duo.a, HANDOFF_SERVER_GAVE);
		for (int i = 0; i < 20; i++)
			poll_line(&duo, fds[i]);
		assert_int_equal(
			handoff_server_ready(duo.a.server, round % 2), 0);
		poll_until(&duo, &duo.a, HANDOFF_SERVER_GAVE);
		for (int i = 0; i < 20; i++)
			poll_line(&duo, fds[i]);
	}
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	poll_until(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	for (int i = 0; i < 20; i++)
		poll_line(&duo, fds[i]);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	duo_close(&duo);
}

/* Connections that a stop ends are ended at once, not when something else
 * happens to make the descriptor readable. */
static void
stop_needs_no_further_event(void **state)
{
	struct duo duo;
	struct pollfd fds[2];
	char byte;
	int fd;

	duo_init(&duo, duo_model(state));
	duo.a.opts.stop_timeout_ms = 60000;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	for (int i = 0; i < 10; i++)
		duo_turn(&duo);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	fds[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	fds[1] = (struct pollfd){
		.fd = handoff_server_fd(duo.a.server), .events = POLLIN};
	for (int i = 0; fds[0].revents == 0; i++) {
		assert_in_range(i, 0, 1000);
		if (poll(fds, 2, 300) == 0)
			fail_msg("nothing is readable");
		if (fds[1].revents)
			handoff_server_dispatch(duo.a.server);
	}
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	duo_close(&duo);
}

/* A quiet server costs nothing: its descriptor is not readable. */
static void
quiet_server_is_quiet(void **state)
{
	struct duo duo;
	struct pollfd fds[2];
	int fd;

	duo_open(&duo, duo_model(state));
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	client_send(fd, "half a line");
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 20; i++)
			duo_turn(&duo);
		fds[0] = (struct pollfd){.events = POLLIN,
			.fd = handoff_server_fd(duo.a.server)};
		fds[1] = (struct pollfd){.events = POLLIN,
			.fd = handoff_server_fd(duo.b.server)};
		assert_int_equal(poll(fds, 2, 10), 0);
		if (round == 0) {
			handoff_server_maintenance(duo.a.server);
			duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
		}
	}
	close(fd);
	duo_close(&duo);
}

/* A service that has closed, and a client that goes on talking for ever. */
static void
talker_does_not_outlive_its_service(void **state)
{
	struct duo duo;
	int fd, err = 0;
	char byte;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	fd = client_open(duo.a.address);
	client_send(fd, "quit\n");
	client_expect(&duo, fd, "1 quit\n");
	client_expect(&duo, fd, "");
	/* The alarm of the test ends this if nothing else does. */
	while (err == 0) {
		if (send(fd, "bla", 3, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			err = errno;
		poll(NULL, 0, 20);
		handoff_server_wait(duo.a.server, 0);
	}
	assert_true(err == EPIPE || err == ECONNRESET);
	(void)!recv(fd, &byte, 1, MSG_DONTWAIT);
	close(fd);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		thread_and_workers(running_handler_is_waited_for),
		handoff_test(standby_that_loads_is_waited_for),
		thread_and_workers(whole_give_waits_for_every_handler),
		thread_and_workers(
			handler_past_the_deadline_is_left_and_follows),
		handoff_test(walk_over_what_was_left_is_of_one_handoff),
		thread_and_workers(pipelining_client_moves),
		each_model(unsent_output_moves),
		each_model(limit_does_not_stop_a_handoff),
		each_model(poll_is_all_it_takes),
		each_model(stop_needs_no_further_event),
		each_model(quiet_server_is_quiet),
		handoff_test(talker_does_not_outlive_its_service),
	};

	return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
