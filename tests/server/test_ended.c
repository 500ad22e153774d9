/* SPDX-License-Identifier: MIT */
/*
 * The service's hook for the end of a connection, and why a handler is called:
 * in single turns, and in servers of every model. Deaths are in
 * tests/system/test_ended.py.
 */
#include "server/duo.h"
#include "server/solo.h"

#include "record/handling.h"
#include "server/internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the hook has seen. */
static atomic_uint ended, ended_why;
static atomic_ullong ended_id;
static uint32_t ended_state;
static char ended_peer[HANDOFF_ADDRESS_MAX];
static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;

static void
hook(struct handoff_conn *conn, enum handoff_end_reason why, void *arg)
{
	size_t len;

	(void)arg;
	handoff_conn_input(conn, &len);
	assert_int_equal(len, 0);
	assert_int_equal(handoff_conn_write(conn, "late", 4), 0);
	assert_int_equal(handoff_conn_reason(conn), HANDOFF_CONN_ENDED);
	/* workers end connections at the same time */
	pthread_mutex_lock(&hook_lock);
	memcpy(&ended_state, handoff_conn_state(conn), sizeof(ended_state));
	ended_peer[0] = '\0';
	handoff_conn_peer(conn, ended_peer, sizeof(ended_peer));
	atomic_store(&ended_id, handoff_conn_id(conn));
	atomic_store(&ended_why, why);
	atomic_fetch_add(&ended, 1);
	pthread_mutex_unlock(&hook_lock);
}

/* The address and the state that it was called with last. */
static void
assert_last(const char *peer, uint32_t count)
{
	pthread_mutex_lock(&hook_lock);
	assert_string_equal(ended_peer, peer);
	if (count > 0)
		assert_int_equal(ended_state, count);
	pthread_mutex_unlock(&hook_lock);
}

static void
open_hooked(
	struct fixture *f, handoff_handle_fn *handle, handoff_handle_fn *open)
{
	open_conn(f, handle, open);
	f->service.ended = hook;
	atomic_store(&ended, 0);
}

static void
assert_ended(enum handoff_end_reason why)
{
	assert_int_equal(atomic_load(&ended), 1);
	assert_int_equal(atomic_load(&ended_why), why);
}

/* The client's end, in the turn that finds it; never again. */
static void
client_ends_it_once(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, echo, NULL);
	client_says(&f, "hello");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(atomic_load(&ended), 0);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_ended(HANDOFF_ENDED_CLIENT);
	/* a survivor of the process ends it, and no more */
	assert_int_equal(f.rec->activity, HANDOFF__PENDING);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_CLIENT);
	handoff__conn_ended(
		&f.view, f.fd, &f.service, HANDOFF__END_DEATH, false);
	assert_int_equal(atomic_load(&ended), 1);
	close_conn(&f);
}

/* Not when the last client of the linger ends, but when all is sent. */
static void
service_ends_it_before_it_lingers(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, lines, NULL);
	client_says(&f, "quit\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_LINGER);
	assert_ended(HANDOFF_ENDED_SERVICE);
	client_hears(&f, "QUIT\n", true);
	client_says(&f, "more\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_LINGER);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_SERVICE);
	assert_int_equal(atomic_load(&ended), 1);
	close_conn(&f);
}

static void
failed_handler_ends_it(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, lines, NULL);
	f.seen.fail = -5;
	client_says(&f, "one\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_ended(HANDOFF_ENDED_HANDLER);
	/* it is not asked again, whatever happens to this process */
	f.seen.fail = 0;
	f.seen.calls = 0;
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_HANDLER);
	assert_int_equal(f.seen.calls, 0);
	assert_int_equal(atomic_load(&ended), 1);
	close_conn(&f);
}

static void
nothing_ended_that_was_not_opened(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, lines, greet);
	handoff__conn_ended(
		&f.view, f.fd, &f.service, HANDOFF__END_STOP, false);
	assert_int_equal(atomic_load(&ended), 0);
	turn(&f, 0);
	handoff__conn_ended(
		&f.view, f.fd, &f.service, HANDOFF__END_STOP, false);
	assert_ended(HANDOFF_ENDED_STOP);
	close_conn(&f);
}

/* As a survivor finds it: the mark of the hook is set, and what it did is not
 * committed. */
static void
die_in_the_hook(struct fixture *f, unsigned deaths)
{
	handoff__record_flag(
		&f->view, HANDOFF__OPENED | HANDOFF__CLOSING | HANDOFF__ENDING |
				  HANDOFF__OVER |
				  HANDOFF__END_CLIENT << HANDOFF__END_SHIFT);
	for (unsigned i = 0; i < deaths; i++) {
		handoff__handler_enter(f->rec);
		assert_true(handoff__handler_died(f->rec));
	}
}

static void
hook_runs_again_after_a_death(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, echo, NULL);
	die_in_the_hook(&f, 1);
	/* what is not tried alone is not tried */
	handoff__conn_ended(
		&f.view, f.fd, &f.service, HANDOFF__END_SUSPECT, false);
	assert_int_equal(atomic_load(&ended), 0);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_ended(HANDOFF_ENDED_CLIENT);
	close_conn(&f);
}

static void
hook_that_killed_two_does_not_run(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, echo, NULL);
	die_in_the_hook(&f, 2);
	handoff__conn_ended(
		&f.view, f.fd, &f.service, HANDOFF__END_POISON, false);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(atomic_load(&ended), 0);
	close_conn(&f);
}

/* What the handler has done to two processes is no fault of the hook. */
static void
hook_runs_after_a_poison(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, echo, NULL);
	for (int i = 0; i < 2; i++) {
		handoff__handler_enter(f.rec);
		assert_true(handoff__handler_died(f.rec));
	}
	handoff__conn_ended(
		&f.view, f.fd, &f.service, HANDOFF__END_POISON, false);
	assert_ended(HANDOFF_ENDED_POISON);
	close_conn(&f);
}

/* Ends at once, with what is unsent. */
static int
abort_all(struct handoff_conn *conn, void *arg)
{
	size_t len;

	(void)arg;
	handoff_conn_input(conn, &len);
	handoff_conn_write(conn, "unsent", 6);
	handoff_conn_abort(conn);
	return handoff_conn_consume(conn, len);
}

static void
abort_sends_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_hooked(&f, abort_all, NULL);
	client_says(&f, "hello");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_SERVICE);
	assert_ended(HANDOFF_ENDED_SERVICE);
	client_hears(&f, "", false);
	/* what a survivor does */
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	close_conn(&f);
}

static enum handoff_conn_reason reasons[8];
static unsigned nreasons;

static int
note_reason(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	if (nreasons < 8)
		reasons[nreasons++] = handoff_conn_reason(conn);
	return 0;
}

/* A buffer full of output for each byte, if there is room for it. */
static int
answer_much(struct handoff_conn *conn, void *arg)
{
	char answer[SIZE] = {0};

	note_reason(conn, arg);
	if (handoff_conn_room(conn) < SIZE)
		return 0;
	handoff_conn_write(conn, answer, SIZE);
	return handoff_conn_consume(conn, 1);
}

static void
handler_knows_why_it_runs(void **state)
{
	struct fixture f;
	char data[SIZE];

	(void)state;
	nreasons = 0;
	open_conn(&f, note_reason, note_reason);
	turn(&f, 0);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	client_ends_sending(&f);
	turn(&f, EPOLLIN);
	assert_in_range(nreasons, 3, 4);
	assert_int_equal(reasons[0], HANDOFF_CONN_OPEN);
	assert_int_equal(reasons[1], HANDOFF_CONN_INPUT);
	assert_int_equal(reasons[2], HANDOFF_CONN_END);
	close_conn(&f);

	open_conn(&f, answer_much, NULL);
	shrink(&f);
	client_says(&f, "abcd");
	nreasons = 0;
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	assert_int_equal(reasons[0], HANDOFF_CONN_INPUT);
	/* asked again when all output is sent */
	for (int i = 0; reasons[nreasons - 1] != HANDOFF_CONN_ROOM; i++) {
		assert_in_range(i, 0, 100);
		assert_true(f.result.want & EPOLLOUT);
		recv(f.client, data, sizeof(data), MSG_DONTWAIT);
		nreasons = 1;
		turn(&f, EPOLLOUT);
	}
	close_conn(&f);
}

/* Whole servers. */

static void
duo_hooked(struct duo *duo, enum handoff_model model)
{
	duo_init(duo, model);
	duo->a.service.ended = duo->b.service.ended = hook;
	atomic_store(&ended, 0);
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo->b, &duo->a), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_JOINED);
}

static void
duo_wait_ended(struct duo *duo, unsigned count)
{
	for (int i = 0; i < 1000 && atomic_load(&ended) < count; i++)
		duo_turn(duo);
	assert_int_equal(atomic_load(&ended), count);
}

static void
address_of(int fd, char *text, size_t size,
	int (*fn)(int fd, struct sockaddr *sa, socklen_t *len))
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	assert_int_equal(fn(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(text, size, "127.0.0.1:%u", ntohs(in.sin_port));
}

/* A move is no end, and the peer that has the connection runs the hook. */
static void
moved_connections_have_not_ended(void **state)
{
	struct duo duo;
	char own[HANDOFF_ADDRESS_MAX];
	int fds[3];

	duo_hooked(&duo, duo_model(state));
	for (int i = 0; i < 3; i++) {
		fds[i] = client_open(duo.a.address);
		client_line(&duo, fds[i], 1);
	}
	assert_int_equal(handoff_server_maintenance(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_GAVE);
	client_line(&duo, fds[0], 2);
	assert_int_equal(atomic_load(&ended), 0);
	address_of(fds[0], own, sizeof(own), getsockname);
	close(fds[0]);
	duo_wait_ended(&duo, 1);
	assert_int_equal(atomic_load(&ended_why), HANDOFF_ENDED_CLIENT);
	assert_int_equal(atomic_load(&ended_id), 1);
	assert_last(own, 2);
	client_send(fds[1], "quit\n");
	client_expect(&duo, fds[1], "2 quit\n");
	client_expect(&duo, fds[1], "");
	duo_wait_ended(&duo, 2);
	assert_int_equal(atomic_load(&ended_why), HANDOFF_ENDED_SERVICE);
	close(fds[1]);
	/* the stop of the last one closes what is left */
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(atomic_load(&ended), 2);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_LEFT);
	assert_int_equal(handoff_server_stop(duo.b.server), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STOPPED);
	duo_wait_ended(&duo, 3);
	assert_int_equal(atomic_load(&ended_why), HANDOFF_ENDED_STOP);
	assert_int_equal(atomic_load(&ended_id), 3);
	close(fds[2]);
	duo_close(&duo);
	assert_int_equal(atomic_load(&ended), 3);
}

/* Without a stop, and without a peer that goes on. */
static void
free_ends_what_is_left(void **state)
{
	struct duo duo;
	int fd;

	(void)state;
	duo_init(&duo, HANDOFF_MODEL_LOOP);
	duo.a.service.ended = hook;
	atomic_store(&ended, 0);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	handoff_server_free(duo.a.server);
	duo.a.server = NULL;
	assert_ended(HANDOFF_ENDED_STOP);
	close(fd);
}

/* The address of a client that has reset the connection is still known. */
static void
address_outlives_a_reset(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	struct duo duo;
	char own[HANDOFF_ADDRESS_MAX];
	int fd;

	duo_hooked(&duo, duo_model(state));
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	address_of(fd, own, sizeof(own), getsockname);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	duo_wait_ended(&duo, 1);
	assert_int_equal(atomic_load(&ended_why), HANDOFF_ENDED_ERROR);
	assert_last(own, 0);
	duo_close(&duo);
}

static int
tell_addresses(struct handoff_conn *conn, void *arg)
{
	char peer[HANDOFF_ADDRESS_MAX], local[HANDOFF_ADDRESS_MAX], line[300];
	size_t len;

	(void)arg;
	handoff_conn_input(conn, &len);
	assert_int_equal(handoff_conn_peer(conn, peer, sizeof(peer)), 0);
	assert_int_equal(handoff_conn_local(conn, local, sizeof(local)), 0);
	assert_int_equal(handoff_conn_peer(conn, line, 5), -ENOBUFS);
	assert_int_equal(handoff_conn_local(conn, NULL, 0), -EINVAL);
	snprintf(line, sizeof(line), "%s %s\n", peer, local);
	handoff_conn_write(conn, line, strlen(line));
	if (len > 6)
		handoff_conn_abort(conn);
	return handoff_conn_consume(conn, len);
}

/* After an abort the client gets a reset, although the standby has a copy. */
static void
addresses_are_told(void **state)
{
	struct duo duo;
	char own[HANDOFF_ADDRESS_MAX], line[300], data[16];
	ssize_t n = -1;
	int fd;

	duo_init(&duo, duo_model(state));
	duo.a.service.handle = duo.b.service.handle = tell_addresses;
	duo.a.service.ended = duo.b.service.ended = hook;
	atomic_store(&ended, 0);
	assert_int_equal(host_open(&duo.a, NULL), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_OWNER);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	fd = client_open(duo.a.address);
	address_of(fd, own, sizeof(own), getsockname);
	snprintf(line, sizeof(line), "%s %s\n", own, duo.a.address);
	client_send(fd, "hello\n");
	client_expect(&duo, fd, line);
	while (duo.a.server->pair.roster.uncovered > 0)
		duo_turn(&duo);
	client_send(fd, "reset it\n");
	duo_wait_ended(&duo, 1);
	assert_last(own, 0);
	for (int i = 0; i < 1000 && n < 0; i++) {
		duo_turn(&duo);
		n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && errno == ECONNRESET)
			break;
	}
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest turns[] = {
		handoff_test(client_ends_it_once),
		handoff_test(service_ends_it_before_it_lingers),
		handoff_test(failed_handler_ends_it),
		handoff_test(nothing_ended_that_was_not_opened),
		handoff_test(hook_runs_again_after_a_death),
		handoff_test(hook_that_killed_two_does_not_run),
		handoff_test(hook_runs_after_a_poison),
		handoff_test(abort_sends_nothing),
		handoff_test(handler_knows_why_it_runs),
	};
	const struct CMUnitTest servers[] = {
		each_model(moved_connections_have_not_ended),
		handoff_test(free_ends_what_is_left),
		each_model(address_outlives_a_reset),
		each_model(addresses_are_told),
	};

	return cmocka_run_group_tests_name("ended", turns, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "ended on a desk", turns, on_a_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "ended servers", servers, NULL, NULL);
}
