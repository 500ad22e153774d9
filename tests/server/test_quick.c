/* SPDX-License-Identifier: MIT */
/*
 * The fastest possible threads: they finish all their work before the server's
 * thread continues. epoll_ctl and pthread_create are wrapped: on request they
 * return only after that.
 */
#include "server/duo.h"

#include "server/internal.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static pthread_t server_thread;
static sem_t done;
static atomic_bool waits; /* the wrappers do, for `done` */
static atomic_int new_set, new_fd, armed_set;

struct start {
	void *(*fn)(void *);
	void *arg;
};

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *ev);
int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg);

static void
await_done(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 5;
	sem_timedwait(&done, &end);
}

/* The first that is added is a new connection; the next thing that a worker
 * does with its set is at the end of its turn. */
int
__wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *ev)
{
	bool mine = pthread_equal(pthread_self(), server_thread);
	int rc;

	if (waits && mine && op == EPOLL_CTL_ADD) {
		new_set = set;
		new_fd = fd;
		rc = __real_epoll_ctl(set, op, fd, ev);
		await_done();
		return rc;
	}
	if (waits && !mine && op == EPOLL_CTL_MOD && fd == new_fd) {
		armed_set = set;
		sem_post(&done);
	}
	return __real_epoll_ctl(set, op, fd, ev);
}

static void *
run(void *arg)
{
	struct start start = *(struct start *)arg;
	void *result;

	free(arg);
	result = start.fn(start.arg);
	if (waits)
		sem_post(&done);
	return result;
}

int
__wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr,
	void *(*fn)(void *), void *arg)
{
	struct start *start = malloc(sizeof(*start));
	int err;

	if (!start)
		return ENOMEM;
	*start = (struct start){fn, arg};
	err = __real_pthread_create(id, attr, run, start);
	if (err == 0 && waits)
		await_done();
	return err;
}

static void
open_server(struct duo *duo, enum handoff_model model, handoff_handle_fn *open)
{
	server_thread = pthread_self();
	sem_init(&done, 0, 0);
	armed_set = -1;
	duo_init(duo, model);
	duo->a.service.open = open;
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
	assert_true(handoff_server_fd(duo->a.server) >= 0); /* makes a set */
}

static void
expect_no_connection(struct duo *duo)
{
	const struct handoff__roster *roster = &duo->a.server->pair.roster;

	for (int i = 0; i < 100 && roster->connections > 0; i++)
		duo_turn(duo);
	assert_int_equal(roster->connections, 0);
}

/* A worker ends a connection before the server knows that it has one. */
static void
first_turn_is_over_at_once(void **state)
{
	struct duo duo;

	(void)state;
	open_server(&duo, DUO_WORKERS, NULL);
	close(client_open(duo.a.address));
	waits = true;
	for (int i = 0; i < 100 && armed_set < 0; i++)
		duo_turn(&duo);
	waits = false;
	assert_int_equal(armed_set, new_set);
	expect_no_connection(&duo);
	duo_close(&duo);
}

static sem_t go_on;

static int
begin_slowly(struct handoff_conn *conn, void *arg)
{
	(void)conn;
	(void)arg;
	sem_post(&done);
	sem_wait(&go_on);
	return 0;
}

static enum handoff__activity
activity_of_connection(const struct duo *duo)
{
	struct handoff__roster *roster = &duo->a.server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(roster, e)) != NULL)
		if (e->kind == HANDOFF__CONNECTION)
			return handoff__record_activity(e->view.rec);
	fail_msg("there is no connection");
	return HANDOFF__AT_REST;
}

/* A worker is in the first turn before the server is done with accepting: a
 * survivor must find that. */
static void
first_turn_has_begun_at_once(void **state)
{
	struct duo duo;
	int fd;

	(void)state;
	sem_init(&go_on, 0, 0);
	open_server(&duo, DUO_WORKERS, begin_slowly);
	fd = client_open(duo.a.address);
	client_send(fd, "hello\n");
	waits = true;
	for (int i = 0; i < 100 && duo.a.server->pair.roster.connections == 0;
		i++)
		duo_turn(&duo);
	waits = false;
	assert_int_equal(activity_of_connection(&duo), HANDOFF__IN_TURN);
	sem_post(&go_on);
	client_expect(&duo, fd, "1 hello\n");
	close(fd);
	expect_no_connection(&duo);
	duo_close(&duo);
}

/* The connection is due for a turn and has an event; the thread that the event
 * starts gives it back before the turn would have been. */
static void
thread_of_one_that_is_due_is_over_at_once(void **state)
{
	struct duo duo;
	int fd;

	(void)state;
	open_server(&duo, HANDOFF_MODEL_THREAD, NULL);
	fd = client_open(duo.a.address);
	duo_turn(&duo);
	assert_true(handoff_server_say(duo.a.server, 0, "all") >= 0);
	close(fd);
	waits = true;
	expect_no_connection(&duo);
	waits = false;
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(first_turn_is_over_at_once),
		handoff_test(first_turn_has_begun_at_once),
		handoff_test(thread_of_one_that_is_due_is_over_at_once),
	};

	return cmocka_run_group_tests_name("quick", tests, NULL, NULL);
}
