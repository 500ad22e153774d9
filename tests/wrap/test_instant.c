/* SPDX-License-Identifier: MIT */
/*
 * A process that dies between any two instructions of a turn of a wrapped
 * service: what the outer one has decoded and the inner one has done is all
 * true, or none of it, and the client receives every byte once.
 * HANDOFF_LONG=1 takes every fifth of them.
 */
#include "server/stepping.h"
#include "wrap/wrapped.h"

#include "peer/pair.h"
#include "record/handling.h"
#include "record/region.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEPS_MOST  150000 /* of all children of a test */
#define PLAYS_LEAST 24u
#define SECONDS     900
#define RECEIVER    2u /* of its posts: a connection that takes none */
#define WAIT_MS     1000

/* What the inner service does with a line. */
static bool asks;

/* In a handler, of all deaths. */
static unsigned deaths_seen;

/* Counts a line in its state, in the region and by a post, all alike. */
static int
count_line(struct handoff_conn *conn)
{
	uint64_t *state = handoff_conn_state(conn);
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = RECEIVER,
		.data = state,
		.len = sizeof(*state)};
	void *at;

	if (handoff_conn_shared(conn, 0, sizeof(uint64_t), &at) < 0)
		return -EIO;
	++*(uint64_t *)at;
	++*state;
	return handoff_conn_post(conn, &post);
}

static int
ask(struct handoff_conn *conn)
{
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = handoff_conn_id(conn),
		.data = "yes",
		.len = 3,
		.request = handoff_conn_request(conn)};
	int err = handoff_conn_post(conn, &post);

	return err < 0 ? err : HANDOFF_LATER;
}

/* One line a call, as it is. */
static int
handle(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);
	int err;

	(void)arg;
	if (!end)
		return 0;
	if (asks)
		return ask(conn);
	err = count_line(conn);
	if (err < 0)
		return err;
	len = (size_t)(end - input) + 1;
	handoff_conn_write(conn, input, len);
	return handoff_conn_consume(conn, len);
}

/* The answer, and the line. */
static int
take(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);
	const char *end = memchr(input, '\n', len);

	(void)arg;
	if (!end || handoff_conn_posted(conn)->len != 3)
		return -EBADMSG;
	if (count_line(conn) < 0)
		return -EIO;
	len = (size_t)(end - input) + 1;
	handoff_conn_write(conn, input, len);
	return handoff_conn_consume(conn, len);
}

static uint64_t
state_of(const struct wrapped *w)
{
	const struct handoff__commit *c = handoff__record_commit(w->f.rec);
	const char *state = handoff__record_state(
		&w->f.view, handoff__record_sequence(w->f.rec) & 1);
	uint64_t count = 0;

	if (c->state_len > 48)
		memcpy(&count, state + 48, sizeof(count));
	return count;
}

static uint64_t
region_of(const struct wrapped *w)
{
	void *at;

	assert_int_equal(
		handoff__region_at(w->f.view.seg->commons, 0, 8, &at), 0);
	return *(uint64_t *)at;
}

/* Each count once, up to that of the state. */
static void
posts_agree(const struct wrapped *w)
{
	struct handoff__post_reader reader = {.id = RECEIVER};
	struct handoff__post post;
	uint64_t at = 0, count, last = 0;

	while (handoff__posts_find(&w->f.arena.posts, &reader, &at, &post) >
		0) {
		assert_true(handoff__posts_copy(
			&w->f.arena.posts, at, &post, &count));
		assert_int_equal(count, ++last);
		at += post.size;
	}
	assert_int_equal(last, state_of(w));
}

static void
agree(const struct wrapped *w)
{
	assert_int_equal(region_of(w), state_of(w));
	posts_agree(w);
	assert_true(handoff__record_ok(&w->f.view));
}

static void
inherit(struct wrapped *w)
{
	struct handoff__roster_entry e = {.view = w->f.view, .fd = w->f.fd};
	struct handoff__survival survival = {0};

	handoff__region_settle(&w->f.arena, 1, HANDOFF__LOCK_ANY);
	handoff__posts_recover(&w->f.arena, 1, HANDOFF__LOCK_ANY);
	assert_null(handoff__entry_repair(&e, &survival));
	assert_null(handoff__entry_blame(&e, &survival));
	deaths_seen += survival.in_handler;
	/* what the dead one had asked it will not be told */
	handoff__record_unflag(&w->f.view, HANDOFF__WAITING);
	agree(w);
}

/* Turns until so many bytes have come. */
static size_t
receive(struct wrapped *w, unsigned char *data, size_t want)
{
	size_t got = 0;

	for (int i = 0; got < want && i < WAIT_MS; i++) {
		struct pollfd p = {.fd = w->f.client, .events = POLLIN};
		ssize_t n;

		turn(&w->f, EPOLLIN | EPOLLOUT);
		if (poll(&p, 1, 1) == 0)
			continue;
		n = recv(w->f.client, data + got, want - got, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	}
	return got;
}

/* Three lines, each in a frame of its own. */
static void
hear(struct wrapped *w)
{
	static const char *const lines[] = {"one\n", "two\n", "three\n"};
	unsigned char data[3 * TOY_HEAD + 14];
	size_t at = 0;
	uint32_t len;

	assert_int_equal(receive(w, data, sizeof(data)), sizeof(data));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(toy_parse(data + at, &len), 'd');
		assert_int_equal(len, strlen(lines[i]));
		toy_mask(data + at + TOY_HEAD, len);
		assert_memory_equal(data + at + TOY_HEAD, lines[i], len);
		at += TOY_HEAD + len;
	}
	assert_int_equal(recv(w->f.client, data, 1, MSG_DONTWAIT), -1);
}

/* One life and death; returns how many instructions there were. */
static unsigned
play(unsigned most)
{
	struct wrapped w;
	unsigned n;

	wrapped_init(&w, handle);
	w.inner.posted = take;
	w.inner.shared_size = 4096;
	w.toy.hold = 64;
	wrapped_open(&w);
	handoff__board_number(handoff__arena_board(&w.f.arena), true);
	handoff__posts_enter(&w.f.arena, RECEIVER, 0, RECEIVER);
	handoff__region_claim(&w.f.arena, handoff__region_stamp_of(4096, 0));
	use_tcp(&w.f);
	wrapped_says(&w, 'd', "one\ntwo\nthr");
	assert_true(support_poll(w.f.fd, POLLIN) & POLLIN);
	n = die_after(&w.f, most);
	inherit(&w);
	wrapped_says(&w, 'd', "ee\n");
	hear(&w);
	agree(&w);
	assert_int_equal(state_of(&w), 3);
	assert_int_equal(handoff__record_unread(w.f.rec), 0);
	wrapped_close(&w);
	return n;
}

static void
play_all(bool later)
{
	const char *asked = getenv("HANDOFF_LONG");
	unsigned all, step;

	support_not_in_valgrind();
	alarm(SECONDS);
	asks = later;
	deaths_seen = 0;
	all = play(UINT_MAX);
	assert_true(all > 1000);
	step = 1 + (unsigned)((uint64_t)all * all / 2 / STEPS_MOST);
	if (asked && strcmp(asked, "1") == 0)
		step = 5;
	/* the handler is a small part of what a sanitizer makes of a turn */
	if (step > all / PLAYS_LEAST)
		step = all / PLAYS_LEAST;
	for (unsigned n = 1; n < all; n += step)
		play(n);
	assert_true(deaths_seen > 0);
}

static void
transaction_is_whole(void **state)
{
	(void)state;
	play_all(false);
}

static void
answer_comes_once(void **state)
{
	(void)state;
	play_all(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(transaction_is_whole),
		handoff_test(answer_comes_once),
	};

	return cmocka_run_group_tests_name("instant", tests, on_no_desk, NULL);
}
