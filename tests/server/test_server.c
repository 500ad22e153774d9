/* SPDX-License-Identifier: MIT */
/*
 * A server and its standby by public calls: service, maintenance, home again,
 * stop. Each in both models.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS 8

/* Each test of a list is run in both models. */
static void
lines_are_served(void **state)
{
	struct duo duo;
	int fd;

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_LISTENING);
	assert_memory_equal(duo.a.address, "127.0.0.1:", 10);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_string_equal(duo.a.text, "owner: serves lines (generation 1)");
	assert_int_equal(duo.a.generation, 1);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	client_line(&duo, fd, 2);
	client_send(fd, "quit\n");
	client_expect(&duo, fd, "3 quit\n");
	client_expect(&duo, fd, "");
	close(fd);
	duo_close(&duo);
}

/* Its turns were worked on at a desk. */
static void
answered_connection_has_no_pages(void **state)
{
	struct handoff__roster_entry *e = NULL;
	struct duo duo;
	int fds[8];

	duo_open(&duo, duo_model(state));
	for (int i = 0; i < 8; i++)
		fds[i] = client_open(duo.a.address);
	for (unsigned n = 1; n <= 3; n++) {
		for (int i = 0; i < 8; i++)
			client_line(&duo, fds[i], n);
	}
	while ((e = handoff__roster_next(&duo.a.server->pair.roster, e))) {
		if (e->kind == HANDOFF__CONNECTION)
			assert_int_equal(e->view.rec->touched, 0);
	}
	/* So there is nothing to give back, and nobody wakes for it. */
	assert_false(duo.a.server->sweep.armed);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	duo_close(&duo);
}

static void
standby_waits_for_its_owner(void **state)
{
	struct duo duo;
	int fd;

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.b, NULL), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_WAITING);
	assert_int_equal(handoff_server_maintenance(duo.b.server), -ENOTCONN);
	assert_int_equal(host_open(&duo.a, &duo.b), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	assert_non_null(strstr(duo.a.text, "joined: alt (pid "));
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_non_null(strstr(duo.b.text, "standby: server (pid "));
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(duo.b.handled, 0);
	close(fd);
	duo_close(&duo);
}

/* Everything moved. */
static void
assert_outcome(const struct host *host, enum handoff_direction direction,
	unsigned connections, unsigned listeners)
{
	const struct handoff_outcome *o = &host->outcome;

	assert_int_equal(o->direction, direction);
	assert_int_equal(o->reason, HANDOFF_REASON_NONE);
	assert_int_equal(o->id, host->generation);
	assert_int_equal(o->connections, connections);
	assert_int_equal(o->listeners, listeners);
	assert_int_equal(o->left, 0);
	assert_int_equal(o->closed, 0);
	for (int i = 0; i < HANDOFF_REASONS; i++)
		assert_int_equal(o->left_by[i], 0);
}

/* Connections and their state go there, and new ones with the listener. */
static void
maintenance_moves_everything(void **state)
{
	struct duo duo;
	const struct handoff_left *left;
	int fds[CLIENTS], late;
	unsigned before;

	duo_open(&duo, duo_model(state));
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = client_open(duo.a.address);
		client_line(&duo, fds[i], 1);
	}
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	assert_int_equal(duo.b.generation, 2);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.a.text,
		"gave: moved 8 connections, 1 listener to alt (pid "));
	assert_non_null(strstr(duo.a.text, " 0 left behind"));
	assert_outcome(&duo.a, HANDOFF_DIRECTION_OUT, CLIENTS, 1);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_outcome(&duo.b, HANDOFF_DIRECTION_IN, CLIENTS, 1);
	assert_int_equal(duo.a.outcome.cause, HANDOFF_CAUSE_MAINTENANCE);
	assert_int_equal(duo.b.outcome.cause, HANDOFF_CAUSE_MAINTENANCE);
	assert_true(duo.a.outcome.took_us > 0);
	assert_int_equal(duo.b.outcome.took_us, duo.a.outcome.took_us);
	assert_int_equal(handoff_server_left(duo.a.server, &left), 0);
	before = duo.a.handled;
	for (int i = 0; i < CLIENTS; i++)
		client_line(&duo, fds[i], 2);
	late = client_open(duo.a.address);
	client_line(&duo, late, 1);
	assert_int_equal(duo.a.handled, before);
	assert_true(duo.b.handled >= CLIENTS + 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), -EPERM);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	close(late);
	duo_close(&duo);
}

static void
ready_silent_brings_everything_back(void **state)
{
	struct duo duo;
	unsigned before;
	int fd;

	duo_open(&duo, duo_model(state));
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
		duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
		client_line(&duo, fd, 2 * i);
		assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
		duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
		assert_int_equal(duo.a.generation, 2 * i + 1);
		duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
		assert_memory_equal(duo.a.text, "took: moved 1 conn", 18);
		before = duo.b.handled;
		client_line(&duo, fd, 2 * i + 1);
		assert_int_equal(duo.b.handled, before);
	}
	assert_int_equal(handoff_server_ready(duo.a.server, true), -EALREADY);
	close(fd);
	duo_close(&duo);
}

/* Listeners at once; connections when their clients come, or when asked. */
static void
ready_leaves_connections_to_their_clients(void **state)
{
	struct duo duo;
	unsigned before;
	int old, new;

	duo_open(&duo, duo_model(state));
	old = client_open(duo.a.address);
	client_line(&duo, old, 1);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.a.server, false), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	before = duo.a.handled;
	client_line(&duo, old, 2);
	assert_int_equal(duo.a.handled, before);
	before = duo.b.handled;
	new = client_open(duo.a.address);
	client_line(&duo, new, 1);
	assert_int_equal(duo.b.handled, before);
	/* The rest, from the side that still has it. */
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_int_equal(handoff_server_ready(duo.b.server, true), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_GAVE);
	assert_non_null(strstr(duo.b.text, "gave: moved 1 connection,"));
	client_line(&duo, old, 3);
	assert_int_equal(duo.b.handled, before);
	close(old);
	close(new);
	duo_close(&duo);
}

/* Lines that are half there, unread, or asked for while they move. */
static void
unfinished_lines_move(void **state)
{
	struct duo duo;
	int half, unread;

	duo_open(&duo, duo_model(state));
	half = client_open(duo.a.address);
	unread = client_open(duo.a.address);
	client_line(&duo, half, 1);
	client_line(&duo, unread, 1);
	client_send(half, "one half ");
	for (int i = 0; i < 10; i++)
		duo_turn(&duo);
	client_send(unread, "first\nsecond\n");
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_expect(&duo, unread, "2 first\n3 second\n");
	client_send(half, "and the other\n");
	client_expect(&duo, half, "2 one half and the other\n");
	close(half);
	close(unread);
	duo_close(&duo);
}

static void
moves_are_refused_with_a_sentence(void **state)
{
	struct duo duo;

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(handoff_server_maintenance(duo.a.server), -ENOTCONN);
	assert_non_null(strstr(
		handoff_server_errmsg(duo.a.server), "no standby is attached"));
	assert_int_equal(handoff_server_ready(duo.a.server, false), -EALREADY);
	assert_non_null(
		strstr(handoff_server_errmsg(duo.a.server), "serves already"));
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(handoff_server_ready(duo.b.server, false), -EPERM);
	assert_non_null(strstr(handoff_server_errmsg(duo.b.server),
		"serves already: nothing to bring home"));
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	assert_int_equal(handoff_server_maintenance(duo.a.server), -EBUSY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	duo_close(&duo);
}

/* What its threads were doing goes on over there. */
static void
stop_hands_over(void **state)
{
	struct duo duo;
	int fds[CLIENTS];

	duo_open(&duo, duo_model(state));
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = client_open(duo.a.address);
		client_line(&duo, fds[i], 1);
	}
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(duo.a.event.closed, 0);
	assert_int_equal(duo.a.event.moved, CLIENTS);
	assert_int_equal(duo.a.event.passing, 0);
	/* That was the last. */
	assert_int_equal(handoff_server_wait(duo.a.server, 0), -ESHUTDOWN);
	assert_int_equal(handoff_server_dispatch(duo.a.server), -ESHUTDOWN);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	/* It had said so, and nothing was left to take over. */
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LEFT);
	assert_false(duo.b.event.died);
	assert_null(duo.b.event.outcome);
	for (int i = 0; i < CLIENTS; i++) {
		client_line(&duo, fds[i], 2);
		close(fds[i]);
	}
	duo_close(&duo);
}

static void
stop_of_a_standby_changes_nothing(void **state)
{
	struct duo duo;
	int fd;

	duo_open(&duo, duo_model(state));
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(handoff_server_stop(duo.b.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STOPPED);
	handoff_server_free(duo.b.server);
	duo.b.server = NULL;
	client_line(&duo, fd, 2);
	close(fd);
	duo_close(&duo);
}

/* Nobody is there to go on: what is to be said is said, and then the end. */
static void
stop_alone_ends_connections(void **state)
{
	struct duo duo;
	char address[HANDOFF_ADDRESS_MAX];
	int busy, idle, fd;

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	memcpy(address, duo.a.address, sizeof(address));
	busy = client_open(address);
	idle = client_open(address);
	client_line(&duo, busy, 1);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	client_expect(&duo, busy, "");
	client_expect(&duo, idle, "");
	close(busy);
	close(idle);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(duo.a.event.moved, 0);
	assert_int_equal(duo.a.event.passing, 0);
	/* Its clients have gone: it does not wait for its deadline. */
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	duo.a.listen[0] = address;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	fd = client_open(address);
	client_line(&duo, fd, 1);
	close(fd);
	duo_close(&duo);
}

static void
same_file(int a, int b)
{
	struct stat sa, sb;

	assert_int_equal(fstat(a, &sa), 0);
	assert_int_equal(fstat(b, &sb), 0);
	assert_int_equal(sa.st_ino, sb.st_ino);
}

static void
extras_are_handed_over_by_name(void **state)
{
	struct duo duo;
	struct handoff_extra extras[2] = {
		{.name = "log", .fd = -1}, {.name = "lock", .fd = -1}};

	duo_init(&duo, duo_model(state));
	extras[0].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	extras[1].fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	duo.a.opts.extras = extras;
	duo.a.opts.nextras = 2;
	duo.a.opts.extra_size = sizeof(extras[0]);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_OWNER);
	for (int i = 0; i < 2; i++) {
		int here = handoff_server_extra(duo.a.server, extras[i].name);
		int there = handoff_server_extra(duo.b.server, extras[i].name);

		assert_int_not_equal(here, extras[i].fd);
		assert_int_not_equal(here, there);
		same_file(here, extras[i].fd);
		same_file(there, extras[i].fd);
		/* The caller keeps its own. */
		assert_int_equal(close(extras[i].fd), 0);
	}
	assert_int_equal(handoff_server_extra(duo.b.server, "other"), -ENOENT);
	assert_int_equal(handoff_server_extra(duo.b.server, NULL), -EINVAL);
	duo_close(&duo);
}

static void
more_than_the_most_wait_in_the_backlog(void **state)
{
	struct duo duo;
	int fds[4];
	char byte;

	duo_init(&duo, duo_model(state));
	duo.a.opts.max_connections = 2;
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	for (int i = 0; i < 4; i++) {
		fds[i] = client_open(duo.a.address);
		client_send(fds[i], "hello\n");
	}
	client_expect(&duo, fds[0], "1 hello\n");
	client_expect(&duo, fds[1], "1 hello\n");
	for (int i = 0; i < 20; i++)
		duo_turn(&duo);
	for (int i = 2; i < 4; i++) {
		assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), -1);
		close(fds[i - 2]);
		client_expect(&duo, fds[i], "1 hello\n");
	}
	close(fds[2]);
	close(fds[3]);
	duo_close(&duo);
}

static void
count_and_clear(int fd, void *arg)
{
	eventfd_t value;

	assert_int_equal(eventfd_read(fd, &value), 0);
	++*(unsigned *)arg;
}

static void
descriptors_of_the_user_are_watched(void **state)
{
	struct duo duo;
	unsigned seen = 0;
	int fds[9];

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	for (int i = 0; i < 9; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_equal(handoff_server_watch(duo.a.server, fds[i],
					 count_and_clear, &seen),
			i < 8 ? 0 : -ENOSPC);
	}
	assert_int_equal(
		handoff_server_watch(duo.a.server, -1, count_and_clear, &seen),
		-EINVAL);
	assert_int_equal(
		handoff_server_watch(duo.a.server, fds[0], NULL, &seen),
		-EINVAL);
	eventfd_write(fds[3], 1);
	eventfd_write(fds[7], 1);
	for (int i = 0; i < 10; i++)
		duo_turn(&duo);
	assert_int_equal(seen, 2);
	duo_close(&duo);
	for (int i = 0; i < 9; i++)
		close(fds[i]);
}

/* The oldest events are dropped, and what is pulled is in order. */
static void
events_are_kept_up_to_a_number(void **state)
{
	struct duo duo;
	const struct handoff_server_event *ev;
	uint64_t last = 0;
	unsigned n = 0;

	duo_open(&duo, duo_model(state));
	for (int i = 0; i < 60; i++) {
		assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
		duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
		assert_int_equal(handoff_server_ready(duo.a.server, true), 0);
		duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	}
	while (handoff_server_next(duo.b.server, &ev) == 1) {
		assert_true(ev->generation >= last);
		last = ev->generation;
		n++;
	}
	assert_int_equal(n, HANDOFF__RING_SIZE);
	assert_int_equal(last, 121);
	assert_int_equal(handoff_server_next(duo.b.server, &ev), 0);
	duo_close(&duo);
}

/* Without a turn there is nothing else that would wake a loop of the user's. */
static void
descriptor_tells_of_events(void **state)
{
	const struct handoff_server_event *event = NULL;
	struct pollfd fd = {.events = POLLIN};
	struct duo duo;

	duo_init(&duo, duo_model(state));
	assert_int_equal(host_open(&duo.a, NULL), 0);
	fd.fd = handoff_server_fd(duo.a.server);
	assert_int_equal(poll(&fd, 1, 5000), 1);
	while (handoff_server_next(duo.a.server, &event) == 1)
		;
	assert_non_null(event);
	assert_int_equal(event->type, HANDOFF_SERVER_OWNER);
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	assert_int_equal(poll(&fd, 1, 5000), 1);
	duo_close(&duo);
}

static void
null_is_refused(void **state)
{
	const struct handoff_server_event *ev;

	(void)state;
	assert_int_equal(handoff_server_fd(NULL), -EINVAL);
	assert_int_equal(handoff_server_dispatch(NULL), -EINVAL);
	assert_int_equal(handoff_server_wait(NULL, 0), -EINVAL);
	assert_int_equal(handoff_server_next(NULL, &ev), -EINVAL);
	assert_int_equal(handoff_server_maintenance(NULL), -EINVAL);
	assert_int_equal(handoff_server_ready(NULL, true), -EINVAL);
	assert_int_equal(handoff_server_stop(NULL), -EINVAL);
	assert_int_equal(handoff_server_extra(NULL, "x"), -EINVAL);
	assert_int_equal(
		handoff_server_watch(NULL, 0, count_and_clear, NULL), -EINVAL);
	assert_int_equal(handoff_server_signals(NULL), -EINVAL);
	assert_int_equal(handoff_server_reopen(NULL), -EINVAL);
	assert_non_null(handoff_server_errmsg(NULL));
	handoff_server_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		each_model(lines_are_served),
		handoff_test(answered_connection_has_no_pages),
		{"answered_connection_has_no_pages (workers)",
			answered_connection_has_no_pages, duo_setup_workers,
			support_teardown, NULL},
		each_model(standby_waits_for_its_owner),
		each_model(maintenance_moves_everything),
		each_model(ready_silent_brings_everything_back),
		each_model(ready_leaves_connections_to_their_clients),
		each_model(unfinished_lines_move),
		each_model(moves_are_refused_with_a_sentence),
		each_model(stop_hands_over),
		each_model(stop_of_a_standby_changes_nothing),
		each_model(stop_alone_ends_connections),
		each_model(extras_are_handed_over_by_name),
		each_model(more_than_the_most_wait_in_the_backlog),
		each_model(descriptors_of_the_user_are_watched),
		each_model(events_are_kept_up_to_a_number),
		each_model(descriptor_tells_of_events),
		handoff_test(null_is_refused),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
