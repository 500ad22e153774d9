/* SPDX-License-Identifier: MIT */
/*
 * The ring of posts, compared with a model of it: each connection gets what is
 * for it, once, in order; one that falls behind is told of what it has missed
 * and of nothing else; a writer that dies leaves its posts whole or none.
 */
#include "record/fixture.h"

#include "record/post.h"
#include "record/post_ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HERE  handoff__lock_name(1, 0)
#define RING  65536u
#define CONNS 12

struct post_fixture {
	struct handoff__arena arena;
	struct handoff__posts *posts;
	struct handoff__post_ring *ring;
	struct handoff__view views[CONNS + 1]; /* by id */
};

static void
open_posts(struct post_fixture *f)
{
	struct handoff__geometry geo;

	memset(f, 0, sizeof(*f));
	handoff__arena_init(&f->arena);
	assert_int_equal(handoff__geometry_make(&geo, 0, SIZE, SIZE), 0);
	assert_int_equal(handoff__geometry_extend(&geo, 0, RING, 0), 0);
	assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	f->posts = &f->arena.posts;
	f->posts->self = HERE;
	f->ring = f->posts->ring;
	for (uint64_t id = 1; id <= CONNS; id++) {
		uint32_t segment, slot;

		assert_int_equal(handoff__arena_alloc(&f->arena, 1,
					 record_always, NULL, &segment, &slot),
			0);
		handoff__view_make(
			&f->views[id], f->arena.segments[segment], slot);
		f->views[id].rec->kind = HANDOFF__CONNECTION;
		handoff__record_set_id(f->views[id].rec,
			handoff__board_number(
				handoff__arena_board(&f->arena), true));
		handoff__posts_enter(&f->arena, id, segment, slot);
	}
}

static void
close_posts(struct post_fixture *f)
{
	handoff__arena_fini(&f->arena);
}

static int
post_to(struct post_fixture *f, enum handoff__post_to to, uint64_t id,
	const char *text)
{
	struct handoff__post post = {
		.to = (uint16_t)to, .id = id, .len = (uint32_t)strlen(text)};

	return handoff__posts_add(f->posts, &post, text, 1);
}

/* The next post for it is this; "": there is none; NULL: it has missed some. */
static void
gets(struct post_fixture *f, uint64_t *at, uint64_t id, uint64_t tag,
	const char *text)
{
	struct handoff__post_reader reader = {.id = id, .tag = tag};
	struct handoff__post post;
	char data[SIZE];
	int rc = handoff__posts_find(f->posts, &reader, at, &post);

	if (!text || !text[0]) {
		assert_int_equal(rc, text ? 0 : -ENOENT);
		return;
	}
	assert_int_equal(rc, 1);
	assert_int_equal(post.len, strlen(text));
	assert_true(handoff__posts_copy(f->posts, *at, &post, data));
	assert_memory_equal(data, text, post.len);
	*at += post.size;
}

/* Its number is of another service directory, and any: higher than all here,
 * or lower. */
static void
one_from_another_host_gets_what_is_posted_since(void **state)
{
	static const uint64_t ids[] = {
		UINT64_C(7) << HANDOFF__ORIGIN_SHIFT | 5, 3};
	struct post_fixture f;
	uint64_t at;

	(void)state;
	for (int i = 0; i < 2; i++) {
		open_posts(&f);
		if (i == 1)
			handoff__board_begin(handoff__arena_board(&f.arena), 9);
		assert_int_equal(post_to(&f, HANDOFF__POST_ALL, 0, "old"), 0);
		at = handoff__posts_head(f.ring);
		if (i == 0)
			assert_int_equal(handoff__posts_exists(f.posts, ids[i]),
				-ENOENT);
		handoff__posts_enter(&f.arena, ids[i], 0, 20);
		assert_int_equal(handoff__posts_exists(f.posts, ids[i]), 0);
		assert_int_equal(post_to(&f, HANDOFF__POST_ALL, 0, "all"), 0);
		assert_int_equal(
			post_to(&f, HANDOFF__POST_ONE, ids[i], "one"), 0);
		assert_int_equal(
			post_to(&f, HANDOFF__POST_OTHERS, ids[i], "no"), 0);
		gets(&f, &at, ids[i], 0, "all");
		gets(&f, &at, ids[i], 0, "one");
		gets(&f, &at, ids[i], 0, "");
		close_posts(&f);
	}
}

static void
each_gets_what_is_for_it(void **state)
{
	struct post_fixture f;
	uint64_t one = 0, two = 0, three = 0;

	(void)state;
	open_posts(&f);
	gets(&f, &one, 1, 0, "");
	assert_int_equal(post_to(&f, HANDOFF__POST_ALL, 0, "all"), 0);
	assert_int_equal(post_to(&f, HANDOFF__POST_ONE, 2, "two"), 0);
	assert_int_equal(post_to(&f, HANDOFF__POST_OTHERS, 2, "not two"), 0);
	assert_int_equal(post_to(&f, HANDOFF__POST_TAG, 7, "seven"), 0);
	gets(&f, &one, 1, 0, "all");
	gets(&f, &one, 1, 0, "not two");
	gets(&f, &one, 1, 0, "");
	gets(&f, &two, 2, 8, "all");
	gets(&f, &two, 2, 8, "two");
	gets(&f, &two, 2, 8, "");
	gets(&f, &three, 3, 7, "all");
	gets(&f, &three, 3, 7, "not two");
	gets(&f, &three, 3, 7, "seven");
	gets(&f, &three, 3, 7, "");
	assert_int_equal(one, handoff__posts_head(f.ring));
	assert_int_equal(three, one);
	/* a connection that came later gets none of them */
	three = 0;
	gets(&f, &three, CONNS + 1, 7, "");
	close_posts(&f);
}

static void
boxes_know_the_connections(void **state)
{
	struct post_fixture f;
	uint32_t segment, slot;

	(void)state;
	open_posts(&f);
	assert_int_equal(handoff__posts_exists(f.posts, 0), -ENOENT);
	assert_int_equal(handoff__posts_exists(f.posts, CONNS + 1), -ENOENT);
	assert_int_equal(handoff__posts_exists(f.posts, 3), 0);
	assert_true(handoff__posts_where(f.ring, 3, &segment, &slot));
	assert_ptr_equal(
		handoff__arena_record(&f.arena, segment, slot), f.views[3].rec);
	/* it has moved: the end of its old record is not its end */
	handoff__posts_move(&f.arena, 3, 0, 100);
	handoff__arena_clear(&f.arena, segment, slot);
	assert_int_equal(handoff__posts_exists(f.posts, 3), 0);
	handoff__posts_leave(f.posts, 3, 0, 100);
	assert_int_equal(handoff__posts_exists(f.posts, 3), -ENOENT);
	assert_false(handoff__posts_where(f.ring, 3, &segment, &slot));
	/* ending clears it */
	assert_true(handoff__posts_where(f.ring, 4, &segment, &slot));
	handoff__arena_clear(&f.arena, segment, slot);
	assert_int_equal(handoff__posts_exists(f.posts, 4), -ENOENT);
	close_posts(&f);
}

/* Boxes of connections that were never said to have ended are taken again, and
 * where there is none the connection is served all the same. */
static void
boxes_run_out(void **state)
{
	struct post_fixture f;
	struct handoff__board *board;
	uint64_t at, id;

	(void)state;
	open_posts(&f);
	board = handoff__arena_board(&f.arena);
	/* connection 5 ends in silence */
	f.views[5].rec->id = 0;
	for (int i = 0; i < 20; i++) {
		id = 5 + (uint64_t)i * HANDOFF__POST_BOXES;
		atomic_store(&board->next_id, id + 1);
		f.views[6].rec->id = id;
		handoff__posts_enter(&f.arena, id, 0, 5);
	}
	assert_int_equal(atomic_load(&f.ring->boxless), 0);
	/* now all are alive */
	for (int i = 0; i < 20; i++) {
		id = 1 + (uint64_t)(i + 20) * HANDOFF__POST_BOXES;
		atomic_store(&board->next_id, id + 1);
		handoff__posts_enter(&f.arena, id, 0, 2000);
	}
	assert_int_equal(atomic_load(&f.ring->boxless), 1);
	assert_int_equal(handoff__posts_exists(f.posts, id), 0);
	at = handoff__posts_head(f.ring);
	assert_int_equal(post_to(&f, HANDOFF__POST_ONE, id, "hello"), 0);
	gets(&f, &at, id, 0, "hello");
	close_posts(&f);
}

/* Posts to others fill the ring several times. */
static void
fill(struct post_fixture *f, enum handoff__post_to to, uint64_t id)
{
	char text[1001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 200; i++)
		assert_int_equal(post_to(f, to, id, text), 0);
}

static void
only_what_was_for_it_is_missed(void **state)
{
	struct post_fixture f;
	uint64_t one = 0, two = 0, three = 0, four = 0;

	(void)state;
	open_posts(&f);
	post_to(&f, HANDOFF__POST_ONE, 1, "lost");
	fill(&f, HANDOFF__POST_ONE, 3);
	gets(&f, &two, 2, 0, "");
	gets(&f, &one, 1, 0, NULL);
	gets(&f, &one, 1, 0, "");
	gets(&f, &three, 3, 0, NULL);
	three = handoff__posts_head(f.ring);
	fill(&f, HANDOFF__POST_TAG, 5);
	post_to(&f, HANDOFF__POST_ONE, 2, "kept");
	gets(&f, &two, 2, 6, "kept");
	gets(&f, &two, 2, 6, "");
	gets(&f, &three, 3, 5, NULL);
	gets(&f, &four, 4, 0, "");
	one = two;
	fill(&f, HANDOFF__POST_OTHERS, 9);
	gets(&f, &one, 1, 0, NULL);
	close_posts(&f);
}

/* What an operator says may be dropped, and nobody is told. */
static void
lossy_posts_are_not_missed(void **state)
{
	struct post_fixture f;
	struct handoff__post line = {.to = HANDOFF__POST_ALL,
		.flags = HANDOFF__POST_LOSSY,
		.len = 4};
	uint64_t one = 0;

	(void)state;
	open_posts(&f);
	assert_int_equal(handoff__posts_add(f.posts, &line, "line", 1), 0);
	fill(&f, HANDOFF__POST_ONE, 3);
	assert_int_equal(handoff__posts_add(f.posts, &line, "line", 1), 0);
	gets(&f, &one, 1, 0, "line");
	gets(&f, &one, 1, 0, "");
	close_posts(&f);
}

/* Many tags: each is told exactly, as far as the table goes. */
static void
tags_are_told_apart(void **state)
{
	struct post_fixture f;
	uint64_t before;

	(void)state;
	open_posts(&f);
	for (uint64_t tag = 1; tag <= 500; tag++)
		post_to(&f, HANDOFF__POST_TAG, tag, "gone");
	before = handoff__posts_head(f.ring);
	fill(&f, HANDOFF__POST_ONE, 3);
	for (uint64_t tag = 1; tag <= 1000; tag++) {
		uint64_t at = tag <= 500 ? 0 : before;

		gets(&f, &at, 2, tag, tag <= 500 ? NULL : "");
	}
	close_posts(&f);
}

static void
limits_are_kept(void **state)
{
	struct post_fixture f;
	struct handoff__staged *staged = NULL;
	struct handoff__post post = {.to = HANDOFF__POST_ALL, .len = 100};
	char data[100] = "";
	int n = 0, err;

	(void)state;
	open_posts(&f);
	assert_int_equal(f.posts->most, SIZE);
	while ((err = handoff__posts_stage(f.posts, &staged, &post, data)) == 0)
		n++;
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(
		n, handoff__posts_batch(f.posts) / handoff__post_size(100));
	free(staged);
	close_posts(&f);
}

/* A transaction of connection 1 that posts; as far as it gets. */
static struct handoff__staged *
stage(struct post_fixture *f, const char *text)
{
	struct handoff__staged *staged = NULL;
	struct handoff__post post = {
		.to = HANDOFF__POST_ALL, .len = (uint32_t)strlen(text)};

	assert_int_equal(
		handoff__posts_stage(f->posts, &staged, &post, text), 0);
	return staged;
}

static void
post_exists_with_its_commit(void **state)
{
	struct post_fixture f;
	struct handoff__record *rec;
	struct handoff__staged *staged;
	uint64_t at = 0;
	uint32_t sequence;

	(void)state;
	open_posts(&f);
	rec = f.views[1].rec;
	for (int stop = 0; stop < 5; stop++) {
		sequence = handoff__record_sequence(rec);
		staged = stage(&f, "text");
		if (stop == 0) {
			/* with the lock alone */
			handoff__lock_take(&f.ring->lock, HERE, 0);
		} else {
			assert_int_equal(handoff__posts_prepare(f.posts, staged,
						 0, 0, 1, sequence + 1),
				0);
			gets(&f, &at, 2, 0, "");
		}
		if (stop == 2 || stop == 3)
			rec->sequence++;
		if (stop == 3)
			atomic_store(&f.ring->head, f.ring->intent.head);
		if (stop == 4)
			handoff__posts_withdraw(f.posts);
		handoff__posts_recover(&f.arena, 2, HANDOFF__LOCK_ANY);
		if (stop < 4)
			assert_int_not_equal(
				handoff__lock_holder(&f.ring->lock), 0);
		handoff__posts_recover(&f.arena, 1, HANDOFF__LOCK_ANY);
		assert_int_equal(handoff__lock_holder(&f.ring->lock), 0);
		gets(&f, &at, 2, 0, stop == 2 || stop == 3 ? "text" : "");
		gets(&f, &at, 2, 0, "");
		free(staged);
	}
	close_posts(&f);
}

static void
repeats_are_dropped(void **state)
{
	struct post_fixture f;
	struct handoff__post post = {.to = HANDOFF__POST_ALL, .len = 1};
	int64_t now = 1;

	(void)state;
	open_posts(&f);
	post.source = 42;
	for (post.number = 5; post.number < 8; post.number++) {
		assert_int_equal(
			handoff__posts_add(f.posts, &post, "x", now), 0);
		assert_int_equal(
			handoff__posts_add(f.posts, &post, "x", now), 1);
	}
	post.number = 3;
	assert_int_equal(handoff__posts_add(f.posts, &post, "x", now), 1);
	for (post.source = 100; post.source < 99 + HANDOFF__POST_SOURCES;
		post.source++)
		assert_int_equal(
			handoff__posts_add(f.posts, &post, "x", ++now), 0);
	/* the table is full, and its sources are still in use */
	assert_int_equal(handoff__posts_add(f.posts, &post, "x", now), -ENOSPC);
	now += HANDOFF__POST_SOURCE_US;
	assert_int_equal(handoff__posts_add(f.posts, &post, "x", now), 0);
	assert_int_equal(handoff__posts_add(f.posts, &post, "x", now), 1);
	close_posts(&f);
}

/* Dead between the two: the intent counts, and twice is once. */
static void
intent_of_an_outsider_is_carried_out(void **state)
{
	struct post_fixture f;
	struct handoff__post post = {
		.to = HANDOFF__POST_ALL, .len = 4, .source = 9, .number = 1};
	uint64_t at = 0, head;

	(void)state;
	open_posts(&f);
	assert_int_equal(handoff__posts_add(f.posts, &post, "text", 1), 0);
	head = handoff__posts_head(f.ring);
	handoff__lock_take(&f.ring->lock, HERE, 0);
	atomic_store(&f.ring->head, 0);
	memset(f.ring->sources, 0, sizeof(f.ring->sources));
	atomic_store(&f.ring->intent.armed, HANDOFF__POST_AT_ONCE);
	handoff__posts_recover(&f.arena, 1, 0);
	assert_int_equal(handoff__posts_head(f.ring), head);
	gets(&f, &at, 1, 0, "text");
	assert_int_equal(handoff__posts_add(f.posts, &post, "text", 1), 1);
	close_posts(&f);
}

static void
nonsense_ends_no_reader(void **state)
{
	struct post_fixture f;
	unsigned short seed[3] = {1, 2, 3};
	struct handoff__post_reader reader = {.id = 3, .tag = 5};
	struct handoff__post post;

	(void)state;
	open_posts(&f);
	for (int round = 0; round < 2000; round++) {
		char text[200] = "";
		uint64_t at = (uint64_t)jrand48(seed), walk = at;
		bool missed = false;

		for (size_t i = 0; i < RING / 4; i += 1 + i % 9)
			((uint32_t *)(void *)f.posts->bytes)[i] =
				(uint32_t)jrand48(seed);
		atomic_store(&f.ring->all, UINT64_MAX);
		if (round % 2) {
			at = walk = (uint64_t)round * 8;
			atomic_store(&f.ring->tail, at);
			atomic_store(&f.ring->head, at + (uint64_t)round);
		} else {
			atomic_store(&f.ring->head, (uint64_t)jrand48(seed));
			atomic_store(&f.ring->tail, (uint64_t)jrand48(seed));
		}
		while (handoff__posts_walk(f.posts, &walk, &post, &missed))
			;
		for (int rc = 1; rc != 0;) {
			rc = handoff__posts_find(f.posts, &reader, &at, &post);
			if (rc > 0)
				at += post.size;
		}
		assert_int_equal(at, handoff__posts_head(f.ring));
		post_to(&f, HANDOFF__POST_ALL, 0, text);
		f.ring->intent.head = (uint64_t)jrand48(seed);
		f.ring->intent.slot = (uint32_t)jrand48(seed);
		f.ring->intent.source_index = (uint32_t)jrand48(seed);
		atomic_store(&f.ring->intent.armed, 1 + (uint32_t)round % 2);
		handoff__lock_take(&f.ring->lock, HERE, 0);
		handoff__posts_recover(&f.arena, 1, 0);
		assert_int_equal(handoff__lock_holder(&f.ring->lock), 0);
	}
	close_posts(&f);
}

static void *
post_many(void *arg)
{
	char text[64];

	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "%d%*s", i, 1 + i % 40, "!");
		if (post_to(arg, HANDOFF__POST_ALL, 0, text) < 0)
			abort();
	}
	return NULL;
}

/* A reader that is overtaken is told; what it reads is whole. */
static void
reader_beside_a_writer_reads_whole_posts(void **state)
{
	struct handoff__post_reader reader = {.id = 2};
	struct post_fixture f;
	uint64_t at = 0;
	pthread_t thread;
	int last = -1;
	bool missed = false;

	(void)state;
	open_posts(&f);
	assert_int_equal(pthread_create(&thread, NULL, post_many, &f), 0);
	while (last < 19999) {
		struct handoff__post post;
		char data[SIZE], wanted[64];
		int rc = handoff__posts_find(f.posts, &reader, &at, &post), n;

		missed |= rc < 0;
		if (rc == 0)
			sched_yield();
		if (rc <= 0 || !handoff__posts_copy(f.posts, at, &post, data))
			continue;
		data[post.len] = '\0';
		n = atoi(data);
		assert_true(missed ? n > last : n == last + 1);
		missed = false;
		last = n;
		snprintf(wanted, sizeof(wanted), "%d%*s", n, 1 + n % 40, "!");
		assert_string_equal(data, wanted);
		at += post.size;
	}
	pthread_join(thread, NULL);
	close_posts(&f);
}

/* The model: a list of all posts ever, and what each connection has taken. */
#define POSTS 4000

struct told {
	enum handoff__post_to to;
	uint64_t id, end;
	int number;
};

static bool
model_for(const struct told *t, uint64_t id, uint64_t tag)
{
	switch (t->to) {
	case HANDOFF__POST_ONE:
		return t->id == id;
	case HANDOFF__POST_OTHERS:
		return t->id != id;
	case HANDOFF__POST_TAG:
		return t->id == tag;
	default:
		return true;
	}
}

static uint64_t
tag_of(uint64_t id)
{
	return id % 4;
}

/* Takes up to `most` posts of connection `id`, and compares. */
static void
model_take(struct post_fixture *f, const struct told *told, int count,
	uint64_t id, uint64_t *at, int *next, int most)
{
	struct handoff__post_reader reader = {.id = id, .tag = tag_of(id)};
	struct handoff__post post;

	while (most-- > 0) {
		int rc = handoff__posts_find(f->posts, &reader, at, &post);
		int wanted = *next, number;
		char data[SIZE];
		bool missed = false;

		for (; wanted < count; wanted++) {
			if (!model_for(&told[wanted], id, tag_of(id)))
				continue;
			if (told[wanted].end > f->ring->tail)
				break;
			missed = true;
		}
		assert_int_equal(rc, missed ? -ENOENT : wanted < count);
		*next = wanted;
		if (rc == 0)
			return;
		if (rc < 0)
			continue;
		assert_true(handoff__posts_copy(f->posts, *at, &post, data));
		memcpy(&number, data, sizeof(number));
		assert_int_equal(number, told[wanted].number);
		*at += post.size;
		++*next;
	}
}

static void
ring_agrees_with_its_model(void **state)
{
	static struct told told[POSTS];
	unsigned short seed[3] = {7, 8, 9};
	uint64_t at[CONNS + 1] = {0};
	int next[CONNS + 1] = {0}, count;
	struct post_fixture f;

	(void)state;
	open_posts(&f);
	for (count = 0; count < POSTS;) {
		struct told *t = &told[count];
		uint64_t reader = 1 + (uint64_t)nrand48(seed) % CONNS;
		char data[400] = "";
		struct handoff__post post = {
			.len = 4 + (uint32_t)nrand48(seed) % 396};

		t->to = (enum handoff__post_to)(nrand48(seed) % 4);
		t->id = 1 + (uint64_t)nrand48(seed) % CONNS;
		t->number = count;
		memcpy(data, &count, sizeof(count));
		post.to = (uint16_t)t->to;
		post.id = t->id;
		assert_int_equal(
			handoff__posts_add(f.posts, &post, data, 1), 0);
		t->end = handoff__posts_head(f.ring);
		count++;
		/* some take little, and fall behind */
		if (nrand48(seed) % 3 == 0)
			model_take(&f, told, count, reader, &at[reader],
				&next[reader], (int)reader);
	}
	for (uint64_t id = 1; id <= CONNS; id++) {
		model_take(&f, told, count, id, &at[id], &next[id], POSTS);
		assert_int_equal(at[id], handoff__posts_head(f.ring));
	}
	close_posts(&f);
}

/* A session's record is found by the number of the session, wherever that
 * began, and ends for its number too. */
static void
session_is_found_by_its_number(void **state)
{
	struct post_fixture f;
	struct handoff__view *first, *second;
	uint32_t segment, slot;
	struct handoff__segment *seg;

	(void)state;
	open_posts(&f);
	seg = f.arena.segments[0];
	first = &f.views[3];
	second = &f.views[7];
	assert_int_equal(handoff__record_number(first->rec), 3);
	atomic_store(&second->rec->extra.session, 3);
	assert_int_equal(handoff__record_number(second->rec), 7);
	handoff__record_flag(second, HANDOFF__SESSION);
	assert_int_equal(handoff__record_number(second->rec), 3);
	handoff__posts_move(&f.arena, 3, 0, 6);
	assert_true(handoff__posts_where(f.ring, 3, &segment, &slot));
	assert_int_equal(slot, 6);
	assert_ptr_equal(handoff__segment_record(seg, slot), second->rec);
	/* the record of its first connection goes: the session stays */
	handoff__arena_clear(&f.arena, 0, 2);
	assert_int_equal(handoff__posts_exists(f.posts, 3), 0);
	assert_int_equal(post_to(&f, HANDOFF__POST_ONE, 3, "hello"), 0);
	assert_true(handoff__record_posts_wait(second));
	assert_int_equal(post_to(&f, HANDOFF__POST_ONE, 7, "nobody"), 0);
	/* another connection that hashes to the same box does not evict it */
	handoff__posts_enter(&f.arena, 3 + 1024, 0, 2);
	assert_int_equal(handoff__posts_exists(f.posts, 3), 0);
	handoff__arena_clear(&f.arena, 0, 6);
	assert_int_equal(handoff__posts_exists(f.posts, 3), -ENOENT);
	assert_int_equal(handoff__posts_exists(f.posts, 7), -ENOENT);
	close_posts(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_gets_what_is_for_it),
		handoff_test(one_from_another_host_gets_what_is_posted_since),
		handoff_test(boxes_know_the_connections),
		handoff_test(boxes_run_out),
		handoff_test(only_what_was_for_it_is_missed),
		handoff_test(lossy_posts_are_not_missed),
		handoff_test(tags_are_told_apart),
		handoff_test(limits_are_kept),
		handoff_test(post_exists_with_its_commit),
		handoff_test(repeats_are_dropped),
		handoff_test(intent_of_an_outsider_is_carried_out),
		handoff_test(nonsense_ends_no_reader),
		handoff_test(reader_beside_a_writer_reads_whole_posts),
		handoff_test(ring_agrees_with_its_model),
		handoff_test(session_is_found_by_its_number),
	};

	return cmocka_run_group_tests_name("post", tests, NULL, NULL);
}
