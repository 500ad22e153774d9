/* SPDX-License-Identifier: MIT */
/*
 * A service's last words before the server ends a connection, and the hook for
 * one that has left the process: in single calls, in servers of every model,
 * and for a service that is wrapped.
 */
#include "server/duo.h"
#include "server/solo.h"

#include "record/handling.h"
#include "server/internal.h"
#include "wrap/toy.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	atomic_uint words, ended, left;
	atomic_ullong left_id;
	int returns;
} seen;

static void
reset(void)
{
	atomic_store(&seen.words, 0);
	atomic_store(&seen.ended, 0);
	atomic_store(&seen.left, 0);
	seen.returns = 0;
}

static int
say_bye(struct handoff_conn *conn, void *arg)
{
	(void)arg;
	assert_int_equal(handoff_conn_reason(conn), HANDOFF_CONN_FAREWELL);
	atomic_fetch_add(&seen.words, 1);
	handoff_conn_write(conn, "bye\n", 4);
	return seen.returns;
}

static void
count_ended(struct handoff_conn *conn, enum handoff_end_reason why, void *arg)
{
	(void)conn;
	(void)arg;
	assert_true(why == HANDOFF_ENDED_STOP || why == HANDOFF_ENDED_CLIENT);
	atomic_fetch_add(&seen.ended, 1);
}

static void
count_left(uint64_t id, void *arg)
{
	(void)arg;
	atomic_store(&seen.left_id, id);
	atomic_fetch_add(&seen.left, 1);
}

/* Single calls. */

static void
open_solo(struct fixture *f, handoff_handle_fn *open)
{
	reset();
	open_conn(f, lines, open);
	f->service.farewell = say_bye;
}

static void
farewell(struct fixture *f)
{
	uint32_t flags;

	handoff__conn_farewell(&f->view, f->fd, &f->service);
	assert_true(handoff__record_ok(&f->view));
	flags = handoff__record_commit(f->rec)->flags;
	assert_true(flags & HANDOFF__CLOSING);
	assert_int_equal(flags & HANDOFF__TRANSIENT, 0);
	turn(f, 0);
}

/* After what was said before, and one commit with the end. */
static void
last_words_are_the_last(void **state)
{
	struct fixture f;
	uint32_t sequence;

	(void)state;
	open_solo(&f, NULL);
	client_says(&f, "one\nmore");
	turn(&f, EPOLLIN);
	sequence = handoff__record_sequence(f.rec);
	handoff__conn_farewell(&f.view, f.fd, &f.service);
	assert_int_equal(handoff__record_sequence(f.rec), sequence + 1);
	assert_int_equal(
		(handoff__record_commit(f.rec)->flags & HANDOFF__END) >>
			HANDOFF__END_SHIFT,
		HANDOFF_ENDED_STOP);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_LINGER);
	client_hears(&f, "ONE\nbye\n", true);
	close_conn(&f);
}

static void
words_that_fail_are_unsaid(void **state)
{
	static const int failures[] = {-EPROTO, HANDOFF_LATER, -EAGAIN};
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		open_solo(&f, NULL);
		seen.returns = failures[i];
		farewell(&f);
		assert_int_equal(atomic_load(&seen.words), 1);
		client_hears(&f, "", true);
		close_conn(&f);
	}
}

static void
some_have_no_last_words(void **state)
{
	struct fixture f;

	(void)state;
	open_solo(&f, greet); /* which has not run */
	farewell(&f);
	assert_int_equal(atomic_load(&seen.words), 0);
	close_conn(&f);
	open_solo(&f, NULL);
	f.service.farewell = NULL;
	farewell(&f);
	close_conn(&f);
	open_solo(&f, NULL);
	handoff__handler_enter(f.rec);
	assert_true(handoff__handler_died(f.rec));
	farewell(&f);
	assert_int_equal(atomic_load(&seen.words), 0);
	close_conn(&f);
	open_solo(&f, NULL); /* the loop fetches its session */
	handoff__record_flag(
		&f.view, HANDOFF__OPENED | (uint32_t)HANDOFF__RESUMING);
	farewell(&f);
	assert_int_equal(atomic_load(&seen.words), 0);
	close_conn(&f);
	open_solo(&f, greet);
	turn(&f, 0);
	farewell(&f);
	assert_int_equal(atomic_load(&seen.words), 1);
	client_hears(&f, "welcome\nbye\n", true);
	close_conn(&f);
}

static int
post_bye(struct handoff_conn *conn, void *arg)
{
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ALL,
		.data = "x",
		.len = 1};

	assert_int_equal(handoff_conn_post(conn, &post), 0);
	return say_bye(conn, arg);
}

static void
last_words_may_be_posted(void **state)
{
	struct fixture f;

	(void)state;
	open_solo(&f, NULL);
	f.service.farewell = post_bye;
	farewell(&f);
	assert_true(handoff__posts_head(f.view.seg->ring) > 0);
	close_conn(&f);
	open_solo(&f, NULL);
	f.service.farewell = post_bye;
	seen.returns = -EPROTO;
	farewell(&f);
	assert_int_equal(handoff__posts_head(f.view.seg->ring), 0);
	close_conn(&f);
}

/* Servers. */

static void
hook_up(struct duo *duo, enum handoff_model model)
{
	reset();
	duo_init(duo, model);
	for (int i = 0; i < 2; i++) {
		struct host *host = i == 0 ? &duo->a : &duo->b;

		host->service.farewell = say_bye;
		host->service.ended = count_ended;
		host->service.left = count_left;
	}
}

static void
open_one(struct duo *duo)
{
	assert_int_equal(host_open(&duo->a, NULL), 0);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_OWNER);
}

static void
stop_says_it(struct duo *duo)
{
	int fd;

	open_one(duo);
	fd = client_open(duo->a.address);
	client_line(duo, fd, 1);
	assert_int_equal(handoff_server_stop(duo->a.server), 0);
	client_expect(duo, fd, "bye\n");
	client_expect(duo, fd, "");
	close(fd);
	duo_expect(duo, &duo->a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(atomic_load(&seen.words), 1);
	assert_int_equal(atomic_load(&seen.left), 1);
	assert_int_equal(atomic_load(&seen.left_id), 1);
	duo_close(duo);
}

static void
stop_of_the_last_one_says_it(void **state)
{
	struct duo duo;

	hook_up(&duo, duo_model(state));
	stop_says_it(&duo);
	assert_int_equal(atomic_load(&seen.ended), 1);
}

static void
server_with_children_says_it(void **state)
{
	struct duo duo;

	(void)state;
	support_not_in_valgrind();
	hook_up(&duo, HANDOFF_MODEL_FORK);
	stop_says_it(&duo);
}

/* What goes to the standby has left, and nothing was said. */
static void
connection_that_moves_has_left(void **state)
{
	struct duo duo;
	int fd;

	hook_up(&duo, duo_model(state));
	open_one(&duo);
	assert_int_equal(host_open(&duo.b, &duo.a), 0);
	duo_expect(&duo, &duo.b, HANDOFF_SERVER_STANDBY);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_JOINED);
	fd = client_open(duo.a.address);
	client_line(&duo, fd, 1);
	assert_int_equal(atomic_load(&seen.left), 0);
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(atomic_load(&seen.left), 1);
	assert_int_equal(atomic_load(&seen.left_id), 1);
	client_line(&duo, fd, 2);
	close(fd);
	for (int i = 0; i < 1000 && atomic_load(&seen.left) == 1; i++)
		duo_turn(&duo);
	assert_int_equal(atomic_load(&seen.left), 2);
	assert_int_equal(atomic_load(&seen.words), 0);
	duo_close(&duo);
}

static void
expect_frame(struct duo *duo, int fd, char type, const char *text)
{
	unsigned char frame[TOY_HEAD + 64];
	size_t want = TOY_HEAD + strlen(text), len = 0;
	uint32_t size;

	for (int i = 0; len < want && i < 1000; i++) {
		ssize_t n = recv(fd, frame + len, want - len, MSG_DONTWAIT);

		len += n > 0 ? (size_t)n : 0;
		if (n < 0)
			duo_turn(duo);
	}
	assert_int_equal(len, want);
	assert_int_equal(toy_parse(frame, &size), type);
	assert_int_equal(size, strlen(text));
	toy_mask(frame + TOY_HEAD, size);
	assert_memory_equal(frame + TOY_HEAD, text, size);
}

/* Of the inner service, in a frame, and then those of the outer one. */
static void
wrapped_service_has_the_last_but_one(void **state)
{
	unsigned char frame[TOY_HEAD + 6];
	struct duo duo;
	struct toy toy;
	int fd;

	hook_up(&duo, duo_model(state));
	toy_init(&toy, &duo.a.service, 4096);
	duo.a.opts.service = &toy.service;
	open_one(&duo);
	fd = client_open(duo.a.address);
	toy_head(frame, 'd', 6);
	memcpy(frame + TOY_HEAD, "hello\n", 6);
	toy_mask(frame + TOY_HEAD, 6);
	assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
	expect_frame(&duo, fd, 'd', "1 hello\n");
	assert_int_equal(handoff_server_stop(duo.a.server), 0);
	expect_frame(&duo, fd, 'd', "bye\n");
	expect_frame(&duo, fd, 'b', "");
	client_expect(&duo, fd, "");
	close(fd);
	duo_expect(&duo, &duo.a, HANDOFF_SERVER_STOPPED);
	assert_int_equal(atomic_load(&seen.ended), 1);
	assert_int_equal(atomic_load(&seen.left), 1);
	duo_close(&duo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(last_words_are_the_last),
		handoff_test(words_that_fail_are_unsaid),
		handoff_test(some_have_no_last_words),
		handoff_test(last_words_may_be_posted),
		each_model(stop_of_the_last_one_says_it),
		handoff_test(server_with_children_says_it),
		each_model(connection_that_moves_has_left),
		each_model(wrapped_service_has_the_last_but_one),
	};

	return cmocka_run_group_tests_name("farewell", tests, NULL, NULL);
}
