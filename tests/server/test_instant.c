/* SPDX-License-Identifier: MIT */
/*
 * A process that dies between any two instructions of a turn: a child is
 * single-stepped and killed after the n-th instruction, for every n. The
 * survivor repairs what it leaves, and the client receives every byte once.
 * What the service has changed in the shared region, and what it has posted, is
 * that of the valid state; a post for it is taken once, and so its deadline is
 * met and its end told once.
 * HANDOFF_LONG=1 takes every n, which takes half a minute.
 */
#include "server/stepping.h"

#include "peer/pair.h"
#include "record/desk.h"
#include "record/handling.h"
#include "record/region.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define STEPS_MOST 45000 /* of all children of a test */
#define SECONDS    300
#define DESK       handoff__desk_number(1, 5)

/* What the client sends before the turn and after the death, and what it is
 * to have heard in the end. `stuffed`: the kernel takes no answer, or little,
 * before the death. */
struct scene {
	const char *first, *rest, *answer;
	bool stuffed, posted; /* posted: there is a post for it too */
	bool timed;           /* its deadline has passed */
};

static const struct scene scenes[] = {
	{"hello\n", "", "hello\n", false, false, false},
	{"hello\nwor", "ld\n", "hello\nworld\n", false, false, false},
	{"one\ntwo\nthree", "\n", "one\ntwo\nthree\n", true, false, false},
	{"hello\n", "", "post\nhello\n", false, true, false},
	{"", "", "tick\n", false, false, true},
};

/* Shared with the child: it is in its handler. */
static volatile int *inside;

/* Sends whole lines back, in few instructions. */
static int
whole_lines(struct handoff_conn *conn, void *arg)
{
	size_t len;
	const char *input = handoff_conn_input(conn, &len);

	(void)arg;
	*inside = 1;
	while (len > 0 && input[len - 1] != '\n')
		len--;
	handoff_conn_consume(conn, handoff_conn_write(conn, input, len));
	*inside = 0;
	return 0;
}

#define FAR 3000u /* in the region: on another line than the beginning */

/* Counts the bytes that it sends back in the connection's state, and at two
 * places of the shared region. */
static int
counted_lines(struct handoff_conn *conn, void *arg)
{
	uint64_t *state = handoff_conn_state(conn);
	const void *there;
	void *first, *second;
	size_t before, len;

	if (handoff_conn_shared(conn, 0, sizeof(uint64_t), &first) < 0 ||
		handoff_conn_shared(conn, FAR, sizeof(uint64_t), &second) < 0 ||
		handoff_conn_shared_read(conn, 8, 8, &there) < 0)
		return -EIO;
	handoff_conn_input(conn, &before);
	whole_lines(conn, arg);
	*inside = 1;
	handoff_conn_input(conn, &len);
	*state += before - len;
	*(uint64_t *)first += before - len;
	*(uint64_t *)second += before - len;
	*inside = 0;
	return 0;
}

static uint64_t
region_at(const struct fixture *f, size_t offset)
{
	const struct handoff__segment *commons =
		handoff__arena_commons(&f->arena);
	uint64_t value;

	memcpy(&value,
		commons->base + commons->geo.shared + HANDOFF__SHARED_HEAD +
			HANDOFF__UNDO_SIZE + offset,
		sizeof(value));
	return value;
}

/* Both are of the same transactions, and nobody holds the region. */
static void
region_agrees(const struct fixture *f)
{
	uint32_t sequence = handoff__record_sequence(f->rec);
	const uint64_t *state = handoff__record_state(&f->view, sequence & 1);

	assert_int_equal(region_at(f, 0), *state);
	assert_int_equal(region_at(f, FAR), *state);
	assert_int_equal(
		handoff__region_settle(&f->arena, 1, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_FREE);
}

#define RECEIVER 2u /* of its posts: a connection that takes none */

/* The same, and posts its count. */
static int
posted_lines(struct handoff_conn *conn, void *arg)
{
	const uint64_t *state = handoff_conn_state(conn);
	uint64_t before = *state;
	struct handoff_post post = {.size = sizeof(post),
		.to = HANDOFF_POST_ONE,
		.id = RECEIVER,
		.data = state,
		.len = sizeof(*state)};
	int err = counted_lines(conn, arg);

	return err < 0 || *state == before ? err
					   : handoff_conn_post(conn, &post);
}

/* Up to where posts were checked, and the last count in them. */
static uint64_t posts_at, posts_count;

/* Every count was posted, once, up to that of the valid state. */
static void
posts_agree(const struct fixture *f)
{
	uint32_t sequence = handoff__record_sequence(f->rec);
	const uint64_t *state = handoff__record_state(&f->view, sequence & 1);
	struct handoff__post_reader reader = {.id = RECEIVER};
	struct handoff__post post;
	uint64_t count;

	assert_int_equal(handoff__lock_holder(&f->view.seg->ring->lock), 0);
	if (f->service.handle != posted_lines)
		return;
	while (handoff__posts_find(&f->arena.posts, &reader, &posts_at, &post) >
		0) {
		assert_true(handoff__posts_copy(
			&f->arena.posts, posts_at, &post, &count));
		assert_true(count > posts_count);
		posts_count = count;
		posts_at += post.size;
	}
	assert_int_equal(posts_count, *state);
}

/* The hook, in few instructions. */
static int
take_post(struct handoff_conn *conn, void *arg)
{
	const struct handoff_posted *posted = handoff_conn_posted(conn);

	(void)arg;
	*inside = 1;
	handoff_conn_write(conn, posted->data, posted->len);
	*inside = 0;
	return 0;
}

/* Meets its deadline, and sets the next one. */
static int
tick(struct handoff_conn *conn, void *arg)
{
	if (handoff_conn_reason(conn) != HANDOFF_CONN_DEADLINE)
		return whole_lines(conn, arg);
	*inside = 1;
	handoff_conn_write(conn, "tick\n", 5);
	handoff_conn_deadline(conn, 1000000);
	*inside = 0;
	return 0;
}

static void
pass_deadline(struct fixture *f)
{
	struct handoff__commit *valid =
		handoff__commit_of(f->rec, handoff__record_sequence(f->rec));

	valid->flags |= HANDOFF__OPENED;
	valid->deadline = 1;
	f->rec->extra.deadline_ms[0] = 1;
	f->rec->touched |= HANDOFF__TIMED;
}

static void
post_to_it(struct fixture *f)
{
	struct handoff__post post = {
		.to = HANDOFF__POST_ONE, .id = 1, .len = 5};

	assert_int_equal(
		handoff__posts_add(&f->arena.posts, &post, "post\n", 1), 0);
}

/* Bytes that are not of the stream fill the socket; returns how many. */
static size_t
stuff(struct fixture *f)
{
	static const char zeros[4096];
	size_t stuffed = 0;
	ssize_t n;

	while ((n = send(f->fd, zeros, sizeof(zeros),
			MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		stuffed += (size_t)n;
	assert_int_equal(errno, EAGAIN);
	f->rec->tx_base -= stuffed;
	return stuffed;
}

/* Nothing that belongs to the connection is in these buffers. */
static void
scribble(const struct handoff__view *at)
{
	memset(at->rx, '-', 200);
	memset(at->tx, '-', 200);
}

/* The shortest handler here has some 110 instructions: shorter steps hit it. */
#define HANDLER_LEAST 100

/* In the handler, of all deaths; by how the region was left. */
static unsigned deaths_seen, settled[HANDOFF__SETTLED_UNDONE + 1];

/* What a survivor does; the desk is somebody else's then. */
static void
inherit(struct fixture *f)
{
	struct handoff__roster_entry e = {.view = f->view, .fd = f->fd};
	struct handoff__survival survival = {0};
	struct handoff__view at = f->view;
	bool marked = handoff__handling(f->rec) & HANDOFF__HANDLING;

	/* The mark brackets the handler, and the turn the mark. */
	assert_true(marked || !*inside);
	assert_true(!marked || f->rec->activity == HANDOFF__IN_TURN);
	*inside = 0;
	settled[handoff__region_settle(&f->arena, 1, HANDOFF__LOCK_ANY)]++;
	region_agrees(f);
	handoff__posts_recover(&f->arena, 1, HANDOFF__LOCK_ANY);
	posts_agree(f);
	if (turn_desk)
		handoff__desk_buffers(&at, turn_desk);
	assert_null(handoff__entry_repair(&e, &survival));
	assert_null(handoff__entry_blame(&e, &survival));
	assert_int_equal(survival.in_handler, marked);
	assert_int_equal(handoff__handling(f->rec), marked);
	deaths_seen += marked;
	assert_int_equal(handoff__desk_of(f->rec), 0);
	assert_true(handoff__record_ok(&f->view));
	if (turn_desk)
		scribble(&at);
}

/* The service goes on, in this process, until the client has its answer. */
static void
finish(struct fixture *f, const struct scene *scene, size_t stuffed)
{
	size_t expected = stuffed + strlen(scene->answer), got = 0;
	char data[4096];

	client_says(f, scene->rest);
	while (got < expected) {
		struct pollfd p = {.fd = f->client, .events = POLLIN};
		ssize_t n;

		turn(f, EPOLLIN | EPOLLOUT);
		if (poll(&p, 1, 1) == 0)
			continue;
		n = recv(f->client, data, sizeof(data), MSG_DONTWAIT);
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(data[i],
				got < stuffed ? 0
					      : scene->answer[got - stuffed]);
	}
	assert_int_equal(got, expected);
	turn(f, EPOLLIN);
	assert_int_equal(f->rec->activity, HANDOFF__AT_REST);
	assert_int_equal(handoff__handling(f->rec), 0);
	assert_int_equal(handoff__record_unread(f->rec), 0);
	assert_int_equal(handoff__record_unsent(f->rec), 0);
	assert_int_equal(recv(f->client, data, 1, MSG_DONTWAIT), -1);
	region_agrees(f);
	posts_agree(f);
}

/* One life and death; returns how many instructions there were. */
static unsigned
play(struct fixture *f, const struct scene *scene, unsigned most)
{
	size_t stuffed = scene->stuffed ? stuff(f) : 0;
	unsigned n;

	scribble(&f->view);
	if (scene->posted)
		post_to_it(f);
	if (scene->timed)
		pass_deadline(f);
	client_says(f, scene->first);
	if (!scene->timed)
		assert_true(support_poll(f->fd, POLLIN) & POLLIN);
	n = die_after(f, most);
	inherit(f);
	finish(f, scene, stuffed);
	if (scene->timed)
		assert_true(handoff__conn_left_ms(f->rec) > 0);
	return n;
}

static void
play_with(const struct scene *scene, handoff_handle_fn *handler,
	handoff_handle_fn *posted)
{
	const char *asked = getenv("HANDOFF_LONG");
	struct fixture f;
	unsigned all, step;

	alarm(SECONDS);
	inside = mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(inside != MAP_FAILED);
	deaths_seen = 0;
	memset(settled, 0, sizeof(settled));
	posts_at = posts_count = 0;
	open_conn(&f, handler, NULL);
	f.service.posted = posted;
	handoff__board_number(handoff__arena_board(&f.arena), true);
	handoff__posts_enter(&f.arena, RECEIVER, 0, RECEIVER);
	handoff__arena_name(&f.arena, handoff__lock_name(1, 0));
	handoff__region_claim(&f.arena, handoff__region_stamp_of(2 * FAR, 0));
	use_tcp(&f);
	/* The first has pages to touch. */
	play(&f, scene, UINT_MAX);
	all = play(&f, scene, UINT_MAX);
	assert_true(all > 300);
	step = 1 + (unsigned)((uint64_t)all * all / 2 / STEPS_MOST);
	if (asked && strcmp(asked, "1") == 0)
		step = 1;
	for (unsigned n = 1; n < all; n += step)
		play(&f, scene, n);
	/* Long steps, as under a sanitizer, may pass over the handler. */
	assert_true(deaths_seen > 0 || step > HANDLER_LEAST);
	for (int how = 1; handler != whole_lines && step == 1 &&
			  how <= HANDOFF__SETTLED_UNDONE;
		how++)
		assert_true(settled[how] > 0);
	munmap((void *)(uintptr_t)inside, sizeof(*inside));
	close_conn(&f);
}

static void
play_all(const struct scene *scene, handoff_handle_fn *handler)
{
	play_with(scene, handler, NULL);
}

static void
all_is_handled(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[0], whole_lines);
}

static void
input_is_left(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[1], whole_lines);
}

static void
output_is_left(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[2], whole_lines);
}

static void
region_is_changed(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[1], counted_lines);
}

static void
posts_are_made(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[0], posted_lines);
}

static void
posts_are_taken(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[3], whole_lines);
}

static void
posts_are_taken_by_the_hook(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_with(&scenes[3], whole_lines, take_post);
}

static void
deadline_is_met(void **state)
{
	(void)state;
	support_not_in_valgrind();
	play_all(&scenes[4], tick);
}

/* The hook for the end counts its calls in the state. */
static void
count_end(struct handoff_conn *conn, enum handoff_end_reason reason, void *arg)
{
	uint64_t *state = handoff_conn_state(conn);

	(void)arg;
	assert_int_equal(reason, HANDOFF_ENDED_CLIENT);
	++*state;
}

/* A connection that ends in a child that dies; returns how many instructions
 * there were. */
static unsigned
end_once(unsigned most)
{
	struct handoff__survival survival = {0};
	struct handoff__roster_entry e;
	struct fixture f;
	unsigned n;

	open_conn(&f, whole_lines, NULL);
	f.service.ended = count_end;
	use_tcp(&f);
	client_ends_sending(&f);
	assert_true(support_poll(f.fd, POLLIN) & POLLIN);
	n = die_after(&f, most);
	e = (struct handoff__roster_entry){.view = f.view, .fd = f.fd};
	assert_null(handoff__entry_repair(&e, &survival));
	assert_null(handoff__entry_blame(&e, &survival));
	for (int i = 0; f.result.outcome != HANDOFF__TURN_END; i++) {
		assert_in_range(i, 0, 5);
		turn(&f, EPOLLIN);
	}
	assert_int_equal(*(uint64_t *)handoff__record_state(
				 &f.view, handoff__record_sequence(f.rec) & 1),
		1);
	assert_true(handoff__record_commit(f.rec)->flags & HANDOFF__ENDED);
	close_conn(&f);
	return n;
}

static void
end_is_told_once(void **state)
{
	const char *asked = getenv("HANDOFF_LONG");
	unsigned all, step;

	(void)state;
	support_not_in_valgrind();
	alarm(SECONDS);
	inside = mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(inside != MAP_FAILED);
	all = end_once(UINT_MAX);
	assert_true(all > 300);
	step = 1 + (unsigned)((uint64_t)all * all / 2 / (STEPS_MOST / 3));
	if (asked && strcmp(asked, "1") == 0)
		step = 1;
	for (unsigned n = 1; n < all; n += step)
		end_once(n);
	munmap((void *)(uintptr_t)inside, sizeof(*inside));
}

static int
on_the_desk(void **state)
{
	(void)state;
	turn_desk = DESK;
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(deadline_is_met),
		handoff_test(end_is_told_once),
		handoff_test(all_is_handled),
		handoff_test(input_is_left),
		handoff_test(output_is_left),
		handoff_test(region_is_changed),
		handoff_test(posts_are_made),
		handoff_test(posts_are_taken),
		handoff_test(posts_are_taken_by_the_hook),
	};

	return cmocka_run_group_tests_name("instant", tests, on_no_desk, NULL) +
	       cmocka_run_group_tests_name(
		       "instant on a desk", tests, on_the_desk, NULL);
}
