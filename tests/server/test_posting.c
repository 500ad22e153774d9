/* SPDX-License-Identifier: MIT */
/*
 * Posts in the turns of a connection: what a handler posts exists with its
 * commit, what waits is taken once, by the hook or into the output, and a
 * handler that answers later is not asked meanwhile.
 */
#include "server/solo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned rung;

static void
count_rings(void *arg)
{
	(void)arg;
	rung++;
}

/* What the service of a test does next, and what it has seen. */
static struct {
	enum handoff_post_to to;
	uint64_t id, request;
	int result;  /* of post */
	int returns; /* of the handler after it has posted */
	int hook;    /* returned by the hook */
	int gaps, times, hooks;
	uint64_t from, number;
	bool consume; /* the hook consumes all input */
} plan;

static const struct handoff_post *
post_of(const void *data, size_t len)
{
	static struct handoff_post post;

	post = (struct handoff_post){.size = sizeof(post),
		.to = plan.to,
		.id = plan.id,
		.request = plan.request,
		.data = data,
		.len = len};
	return &post;
}

/* Posts each line, and answers "ok". */
static int
post_lines(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const void *input = handoff_conn_input(conn, &len);

	(void)arg;
	plan.times++;
	assert_null(handoff_conn_posted(conn));
	if (len == 0)
		return 0;
	plan.result = handoff_conn_post(conn, post_of(input, len));
	handoff_conn_write(conn, "ok\n", 3);
	handoff_conn_consume(conn, len);
	return plan.returns;
}

/* Frames what it gets. */
static int
frame(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *posted = handoff_conn_posted(conn);
	size_t len;

	(void)arg;
	plan.hooks++;
	assert_non_null(posted);
	plan.gaps += posted->gap;
	plan.from = posted->from;
	plan.number = posted->number;
	assert_true(handoff_conn_room(conn) >= SIZE / 2);
	if (posted->gap) {
		handoff_conn_write(conn, "<gap>", 5);
		return plan.hook;
	}
	handoff_conn_write(conn, "<", 1);
	handoff_conn_write(conn, posted->data, posted->len);
	handoff_conn_write(conn, ">", 1);
	if (plan.consume) {
		handoff_conn_input(conn, &len);
		handoff_conn_consume(conn, len);
	}
	return plan.hook;
}

static void
begin(struct fixture *f, handoff_handle_fn *handle, handoff_handle_fn *posted)
{
	memset(&plan, 0, sizeof(plan));
	plan.to = HANDOFF_POST_ALL;
	rung = 0;
	open_conn(f, handle, NULL);
	f->service.posted = posted;
	f->rec->kind = HANDOFF__CONNECTION;
	f->arena.posts.rang = count_rings;
}

static void
post_from_outside(struct fixture *f, const char *text, uint64_t request)
{
	struct handoff__post post = {.to = HANDOFF__POST_ONE,
		.id = 1,
		.request = request,
		.number = 7,
		.len = (uint32_t)strlen(text)};

	assert_int_equal(
		handoff__posts_add(&f->arena.posts, &post, text, 1), 0);
}

static void
what_is_posted_to_itself_comes_next(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, post_lines, NULL);
	client_says(&f, "hello\n");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	client_hears(&f, "ok\nhello\n", false);
	assert_int_equal(plan.result, 0);
	assert_int_equal(rung, 1);
	assert_int_equal(f.rec->activity, HANDOFF__AT_REST);
	f.service.posted = frame;
	client_says(&f, "again");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	client_hears(&f, "ok\n<again>", false);
	assert_int_equal(plan.from, 1);
	close_conn(&f);
}

static void
errors_are_told_at_once(void **state)
{
	static const struct {
		enum handoff_post_to to;
		uint64_t id, request;
		size_t len;
		int err;
	} cases[] = {
		{HANDOFF_POST_ONE, 2, 0, 1, -ENOENT},
		{HANDOFF_POST_ONE, 0, 0, 1, -ENOENT},
		{HANDOFF_POST_ONE, 1, 0, 0, -EINVAL},
		{HANDOFF_POST_ONE, 1, 0, SIZE + 1, -EMSGSIZE},
		{HANDOFF_POST_TAG, 0, 0, 1, -EINVAL},
		{HANDOFF_POST_ALL, 0, 5, 1, -EINVAL},
		{(enum handoff_post_to)4, 0, 0, 1, -EINVAL},
		{HANDOFF_POST_ALL, 0, 0, SIZE, 0},
	};
	static const char data[SIZE + 1];
	struct handoff_post post;
	struct handoff_conn txn;
	struct fixture f;

	(void)state;
	begin(&f, post_lines, NULL);
	handoff__txn_begin(&txn, &f.view);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		plan.to = cases[i].to;
		plan.id = cases[i].id;
		plan.request = cases[i].request;
		assert_int_equal(
			handoff_conn_post(&txn, post_of(data, cases[i].len)),
			cases[i].err);
	}
	post = *post_of(data, 1);
	post.size = 8;
	assert_int_equal(handoff_conn_post(&txn, &post), -EINVAL);
	post.size = sizeof(post);
	post.data = NULL;
	assert_int_equal(handoff_conn_post(&txn, &post), -EINVAL);
	free(txn.staged);
	close_conn(&f);
}

static int
post_a_million(struct handoff_conn *conn, void *arg)
{
	int err = 0;

	(void)arg;
	while (plan.times < 1000000 && err == 0) {
		err = handoff_conn_post(conn, post_of("x", 1));
		plan.times += err == 0;
	}
	plan.result = err;
	return handoff_conn_consume(conn, 1);
}

/* Bounded, and what was accepted is posted. */
static void
million_is_too_many(void **state)
{
	struct fixture f;
	char data[4096];
	int got = 0;

	(void)state;
	begin(&f, post_a_million, NULL);
	client_says(&f, "x");
	turn(&f, EPOLLIN);
	assert_int_equal(plan.result, -ENOBUFS);
	assert_int_equal(plan.times, HANDOFF__POSTS_SIZE / 4 / 72);
	for (ssize_t n; got < plan.times; got += (int)n) {
		n = recv(f.client, data, sizeof(data), MSG_DONTWAIT);
		if (n <= 0)
			turn(&f, EPOLLIN);
		n = n > 0 ? n : 0;
	}
	assert_int_equal(got, plan.times);
	close_conn(&f);
}

static void
handler_that_fails_posts_nothing(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, post_lines, NULL);
	plan.returns = -EPROTO;
	client_says(&f, "hello");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(plan.result, 0);
	assert_int_equal(handoff__posts_head(f.view.seg->ring), 0);
	assert_int_equal(handoff__lock_holder(&f.view.seg->ring->lock), 0);
	assert_int_equal(rung, 0);
	close_conn(&f);
}

/* Another process holds the lock: the transaction is undone and runs again. */
static void
held_ring_is_tried_again(void **state)
{
	struct fixture f;
	struct handoff__lock *lock;

	(void)state;
	begin(&f, post_lines, NULL);
	lock = &f.view.seg->ring->lock;
	assert_int_equal(
		handoff__lock_take(lock, handoff__lock_name(2, 0), 0), 0);
	client_says(&f, "hello");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_RETRY);
	client_hears(&f, "", false);
	assert_int_equal(handoff__record_unread(f.rec), 5);
	handoff__lock_release(lock);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_hears(&f, "ok\nhello", false);
	close_conn(&f);
}

static void
hook_takes_what_comes(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, echo, frame);
	post_from_outside(&f, "one", 0);
	post_from_outside(&f, "two", 0);
	assert_true(handoff__conn_pending(&f.view, &f.service));
	client_says(&f, "hi");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	client_hears(&f, "<one><two>hi", false);
	assert_int_equal(plan.from, 0);
	assert_int_equal(plan.number, 7);
	assert_false(handoff__conn_pending(&f.view, &f.service));
	close_conn(&f);
}

/* Many are taken a few a turn, so that others get theirs. */
static void
many_posts_take_several_turns(void **state)
{
	struct fixture f;
	char expected[100 * 3 + 1] = "";

	(void)state;
	begin(&f, echo, frame);
	for (int i = 0; i < 100; i++) {
		post_from_outside(&f, "x", 0);
		memcpy(expected + 3 * i, "<x>", 4);
	}
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_AGAIN);
	assert_true(plan.hooks < 100);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	assert_int_equal(plan.hooks, 100);
	client_hears(&f, expected, false);
	close_conn(&f);
}

static void
hook_that_fails_ends_it(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, echo, frame);
	post_from_outside(&f, "one", 0);
	plan.hook = -EPROTO;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_HANDLER);
	client_hears(&f, "", false);
	close_conn(&f);
	/* nothing will ever make room for it */
	begin(&f, echo, frame);
	post_from_outside(&f, "one", 0);
	plan.hook = -EAGAIN;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	close_conn(&f);
}

/* A client that reads nothing: the post waits for room. */
static void
post_waits_for_room(void **state)
{
	char text[2 * SIZE / 3];
	struct fixture f;
	size_t got = 0;

	(void)state;
	begin(&f, echo, NULL);
	shrink(&f);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 20; i++)
		post_from_outside(&f, text, 0);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	assert_true(f.result.want & EPOLLOUT);
	while (got < 20 * (sizeof(text) - 1)) {
		char data[SIZE];
		ssize_t n = recv(f.client, data, sizeof(data), MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else
			turn(&f, EPOLLOUT);
	}
	client_hears(&f, "", false);
	assert_int_equal(turns(&f), HANDOFF__TURN_WAIT);
	close_conn(&f);
}

/* The ring has gone on without it. */
static void
overflow(struct fixture *f)
{
	static char text[SIZE];

	memset(text, 'x', sizeof(text) - 1);
	for (unsigned i = 0; i < 2 * HANDOFF__POSTS_SIZE / SIZE; i++)
		post_from_outside(f, text, 0);
}

static void
one_that_misses_posts_is_ended_or_told(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, echo, frame);
	overflow(&f);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_POSTS);
	close_conn(&f);
	begin(&f, echo, frame);
	f.service.post_gaps = true;
	overflow(&f);
	turn(&f, 0);
	assert_int_equal(plan.gaps, 1);
	close_conn(&f);
	/* only the hook can be told */
	begin(&f, echo, NULL);
	f.service.post_gaps = true;
	overflow(&f);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	close_conn(&f);
}

/* Asks somebody for each input, and waits for the answer. */
static int
ask(struct handoff_conn *conn, void *arg)
{
	size_t len;

	(void)arg;
	plan.times++;
	plan.id = handoff_conn_request(conn);
	handoff_conn_input(conn, &len);
	handoff_conn_write(conn, "undone", 6);
	handoff_conn_consume(conn, len);
	memset(handoff_conn_state(conn), 'x', 4);
	assert_int_equal(handoff_conn_post(conn,
				 &(struct handoff_post){
					 .size = sizeof(struct handoff_post),
					 .to = HANDOFF_POST_OTHERS,
					 .id = 1,
					 .data = "ask",
					 .len = 3}),
		0);
	return HANDOFF_LATER;
}

static void
answer_comes_later(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, ask, frame);
	plan.consume = true;
	client_says(&f, "question");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(plan.times, 1);
	assert_int_equal(rung, 1);
	assert_int_not_equal(handoff__posts_head(f.view.seg->ring), 0);
	assert_int_equal(f.result.want, EPOLLIN);
	assert_int_equal(f.rec->activity, HANDOFF__PENDING);
	assert_int_equal(handoff__record_unread(f.rec), 8);
	assert_int_equal(
		*(char *)handoff__record_state(&f.view, f.rec->sequence & 1),
		0);
	/* more input, the end of it, and other posts do not ask again */
	client_says(&f, "s");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	plan.consume = false;
	post_from_outside(&f, "news", 0);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_hears(&f, "<news>", false);
	post_from_outside(&f, "stale", plan.id + 1);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(f.result.want, 0);
	client_hears(&f, "", false);
	assert_int_equal(plan.times, 1);
	plan.consume = true;
	post_from_outside(&f, "answer", plan.id);
	f.service.handle = echo;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_END);
	client_hears(&f, "<answer>", false);
	assert_int_equal(f.seen.calls, 1);
	assert_int_equal(f.seen.eofs, 1);
	close_conn(&f);
}

/* Its answer did not help: the handler is asked again, with the same number. */
static void
hook_that_consumes_nothing_asks_again(void **state)
{
	struct fixture f;
	uint64_t request;

	(void)state;
	begin(&f, ask, frame);
	client_says(&f, "question");
	turn(&f, EPOLLIN);
	request = plan.id;
	post_from_outside(&f, "answer", request);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	assert_int_equal(plan.times, 2);
	assert_int_equal(plan.id, request);
	/* a new owner knows nothing of the question */
	handoff__record_unflag(&f.view, HANDOFF__WAITING);
	assert_true(handoff__conn_pending(&f.view, &f.service));
	turn(&f, 0);
	assert_int_equal(plan.times, 3);
	/* or the hook keeps it waiting */
	plan.hook = HANDOFF_LATER;
	post_from_outside(&f, "wait", request);
	turn(&f, 0);
	assert_int_equal(plan.times, 3);
	client_hears(&f, "<answer>", false);
	close_conn(&f);
}

/* Waits for a minute, and then answers itself. */
static int
ask_in_time(struct handoff_conn *conn, void *arg)
{
	size_t len;

	if (handoff_conn_reason(conn) != HANDOFF_CONN_DEADLINE) {
		assert_int_equal(handoff_conn_deadline(conn, 60000), 0);
		return ask(conn, arg);
	}
	handoff_conn_input(conn, &len);
	handoff_conn_consume(conn, len);
	handoff_conn_write(conn, "late", 4);
	return 0;
}

static void
deadline_ends_the_wait(void **state)
{
	struct fixture f;
	uint32_t number;

	(void)state;
	begin(&f, ask_in_time, frame);
	client_says(&f, "question");
	turn(&f, EPOLLIN);
	assert_int_equal(plan.times, 1);
	number = handoff__record_commit(f.rec)->deadline;
	assert_in_range(number, 1, 2);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_hears(&f, "", false);
	f.rec->extra.deadline_ms[number - 1] = 1;
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	client_hears(&f, "late", false);
	assert_false(handoff__record_commit(f.rec)->flags & HANDOFF__WAITING);
	/* the answer to it is stale now */
	post_from_outside(&f, "answer", plan.id);
	turn(&f, 0);
	client_hears(&f, "", false);
	assert_int_equal(plan.times, 1);
	close_conn(&f);
}

static void
later_needs_a_hook(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, ask, NULL);
	client_says(&f, "question");
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_END);
	assert_int_equal(f.result.err, EINVAL);
	close_conn(&f);
}

/* All the input that fits may wait, and a client that goes ends it. */
static void
waiting_is_not_too_much_input(void **state)
{
	struct fixture f;
	char data[SIZE + 1];

	(void)state;
	begin(&f, ask, frame);
	memset(data, 'x', SIZE);
	data[SIZE] = '\0';
	client_says(&f, data);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(turn(&f, 0), HANDOFF__TURN_WAIT);
	assert_int_equal(f.result.want, 0);
	close(f.client);
	f.client = -1;
	turn(&f, EPOLLHUP);
	plan.consume = true;
	post_from_outside(&f, "answer", plan.id);
	assert_int_equal(turns(&f), HANDOFF__TURN_END);
	close_conn(&f);
}

static void
one_that_waits_is_told_that_its_client_is_gone(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, ask, frame);
	client_says(&f, "x");
	client_ends_sending(&f);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	assert_int_equal(turn(&f, EPOLLIN), HANDOFF__TURN_WAIT);
	close(f.client);
	f.client = -1;
	assert_int_equal(turn(&f, EPOLLHUP), HANDOFF__TURN_END);
	assert_int_equal(f.result.end, HANDOFF__END_CLIENT);
	close_conn(&f);
}

#define TESTS                                                                  \
	handoff_test(what_is_posted_to_itself_comes_next),                     \
		handoff_test(errors_are_told_at_once),                         \
		handoff_test(million_is_too_many),                             \
		handoff_test(handler_that_fails_posts_nothing),                \
		handoff_test(held_ring_is_tried_again),                        \
		handoff_test(hook_takes_what_comes),                           \
		handoff_test(many_posts_take_several_turns),                   \
		handoff_test(hook_that_fails_ends_it),                         \
		handoff_test(post_waits_for_room),                             \
		handoff_test(one_that_misses_posts_is_ended_or_told),          \
		handoff_test(answer_comes_later),                              \
		handoff_test(hook_that_consumes_nothing_asks_again),           \
		handoff_test(deadline_ends_the_wait),                          \
		handoff_test(later_needs_a_hook),                              \
		handoff_test(waiting_is_not_too_much_input),                   \
		handoff_test(one_that_waits_is_told_that_its_client_is_gone)

int
main(void)
{
	const struct CMUnitTest tests[] = {TESTS};

	return cmocka_run_group_tests_name("posting", tests, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "posting on a desk", tests, on_a_desk, NULL);
}
