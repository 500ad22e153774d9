/* SPDX-License-Identifier: MIT */
/*
 * The bulletin: lines arrive in order, at those they are for, and are dropped
 * only when that is allowed; garbage in it ends no reader.
 */
#include "support/support.h"

#include "record/bulletin.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FREE UINT64_MAX /* everything may be dropped */

static struct handoff__bulletin *
blank(void)
{
	struct handoff__bulletin *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	return b;
}

static void
say(struct handoff__bulletin *b, uint64_t to, const char *text)
{
	assert_int_equal(
		handoff__bulletin_add(b, 1, to, text, strlen(text), 7, 0), 0);
}

static void
hears(struct handoff__bulletin *b, uint64_t *at, uint64_t id, const char *text)
{
	char line[HANDOFF__LINE_MAX];
	size_t len = handoff__bulletin_read(b, at, id, line);

	assert_int_equal(len, strlen(text));
	assert_memory_equal(line, text, len);
}

static void
each_hears_what_is_for_it(void **state)
{
	struct handoff__bulletin *b = blank();
	uint64_t one = 0, two = 0, late;

	(void)state;
	hears(b, &one, 1, "");
	say(b, 0, "to all\n");
	say(b, 2, "to two\n");
	say(b, 0, "again\n");
	late = handoff__bulletin_head(b);
	say(b, 1, "to one\n");
	hears(b, &one, 1, "to all\n");
	hears(b, &one, 1, "again\n");
	hears(b, &one, 1, "to one\n");
	hears(b, &one, 1, "");
	hears(b, &two, 2, "to all\n");
	hears(b, &two, 2, "to two\n");
	hears(b, &two, 2, "again\n");
	hears(b, &two, 2, "");
	assert_int_equal(two, handoff__bulletin_head(b));
	hears(b, &late, 3, "");
	assert_int_equal(handoff__bulletin_oldest_us(b), 7);
	free(b);
}

static void
only_what_was_heard_makes_room(void **state)
{
	struct handoff__bulletin *b = blank();
	char text[HANDOFF__LINE_MAX];
	uint64_t at = 0;
	int n = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, text, 0, 1, FREE), -EMSGSIZE);
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, text, sizeof(text) + 1, 1, FREE),
		-EMSGSIZE);
	while (handoff__bulletin_add(b, 1, 0, text, sizeof(text), 1, 0) == 0)
		n++;
	assert_int_equal(n, HANDOFF__BULLETIN_SIZE / (sizeof(text) + 24));
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, text, sizeof(text), 1, at),
		-ENOBUFS);
	assert_int_equal(handoff__bulletin_read(b, &at, 1, text), sizeof(text));
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, text, sizeof(text), 1, at), 0);
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, text, sizeof(text), 1, at),
		-ENOBUFS);
	/* Who has not heard in time goes on with the oldest that is left. */
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, "end\n", 4, 1, FREE), 0);
	at = 0;
	for (n = 0; handoff__bulletin_read(b, &at, 1, text) > 4; n++)
		;
	assert_int_equal(n, HANDOFF__BULLETIN_SIZE / (sizeof(text) + 24));
	assert_memory_equal(text, "end\n", 4);
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, text, sizeof(text), 1, FREE), 0);
	at = 0;
	for (n = 0; handoff__bulletin_read(b, &at, 1, text) > 4; n++)
		;
	assert_int_equal(n, HANDOFF__BULLETIN_SIZE / (sizeof(text) + 24) - 1);
	free(b);
}

static void
lines_wrap(void **state)
{
	struct handoff__bulletin *b = blank();
	uint64_t at = 0;
	char text[300];

	(void)state;
	for (int i = 0; i < 3000; i++) {
		int len = snprintf(
			text, sizeof(text), "%d%*s\n", i, 1 + i * 7 % 250, "!");

		assert_int_equal(handoff__bulletin_add(
					 b, 1, 0, text, (size_t)len, 1, at),
			0);
		hears(b, &at, 1, text);
	}
	assert_true(at > 3 * HANDOFF__BULLETIN_SIZE);
	free(b);
}

static void
lock_of_a_dead_writer_is_released(void **state)
{
	struct handoff__bulletin *b = blank();

	(void)state;
	atomic_store(&b->writer, 2);
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, "x\n", 2, 1, FREE), -EBUSY);
	handoff__bulletin_release(b, 1);
	assert_int_equal(
		handoff__bulletin_add(b, 1, 0, "x\n", 2, 1, FREE), -EBUSY);
	handoff__bulletin_release(b, 2);
	say(b, 0, "x\n");
	assert_int_equal(b->writer, 0);
	free(b);
}

static void
nonsense_ends_no_reader(void **state)
{
	struct handoff__bulletin *b = blank();
	unsigned short seed[3] = {1, 2, 3};

	(void)state;
	for (int round = 0; round < 2000; round++) {
		char text[HANDOFF__LINE_MAX] = "";
		uint64_t at = (uint64_t)jrand48(seed);

		for (size_t i = 0; i < sizeof(*b) / 4; i += 1 + i % 9)
			((uint32_t *)(void *)b)[i] = (uint32_t)jrand48(seed);
		atomic_store(&b->writer, 0);
		if (round % 2) {
			at = (uint64_t)round * 8;
			atomic_store(&b->tail, at);
			atomic_store(&b->head, at + (uint64_t)round);
		}
		while (handoff__bulletin_read(b, &at, 1, text) > 0)
			;
		assert_int_equal(at, handoff__bulletin_head(b));
		handoff__bulletin_add(b, 1, 0, text, 100, 1, FREE);
	}
	free(b);
}

static void *
speak(void *arg)
{
	char text[64];

	for (int i = 0; i < 4000; i++) {
		int len = snprintf(
			text, sizeof(text), "%d%*s\n", i, 1 + i % 40, "!");

		while (handoff__bulletin_add(
			       arg, 1, 0, text, (size_t)len, 1, FREE) < 0)
			;
	}
	return NULL;
}

/* A reader that is overtaken misses lines; what it reads is whole. */
static void
reader_beside_a_writer_reads_whole_lines(void **state)
{
	struct handoff__bulletin *b = blank();
	char text[HANDOFF__LINE_MAX], wanted[64];
	uint64_t at = 0;
	pthread_t thread;
	int last = -1;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, speak, b), 0);
	while (last < 3999) {
		size_t len = handoff__bulletin_read(b, &at, 1, text);
		int n;

		if (len == 0) {
			sched_yield();
			continue;
		}
		n = atoi(text);
		assert_true(n > last);
		last = n;
		assert_int_equal(len, snprintf(wanted, sizeof(wanted),
					      "%d%*s\n", n, 1 + n % 40, "!"));
		assert_memory_equal(text, wanted, len);
	}
	pthread_join(thread, NULL);
	free(b);
}

struct talk {
	struct handoff__bulletin *b;
	_Atomic uint64_t heard;
};

/* Every third line is for somebody else; what is not heard yet stays. */
static void *
speak_to_two(void *arg)
{
	struct talk *talk = arg;
	char text[64];

	for (int i = 0; i < 20000; i++) {
		int len = snprintf(text, sizeof(text), "%d\n", i);

		while (handoff__bulletin_add(talk->b, 1, i % 3 ? 1 : 2, text,
			       (size_t)len, 1, atomic_load(&talk->heard)) < 0)
			sched_yield();
	}
	return NULL;
}

static void
nothing_is_missed_beside_a_writer(void **state)
{
	struct talk talk = {.b = blank()};
	char text[HANDOFF__LINE_MAX];
	uint64_t at = 0;
	pthread_t thread;
	int next = 1;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, speak_to_two, &talk), 0);
	while (next < 20000) {
		if (handoff__bulletin_read(talk.b, &at, 1, text) > 0) {
			assert_int_equal(atoi(text), next);
			next += next % 3 == 1 ? 1 : 2;
		}
		atomic_store(&talk.heard, at);
	}
	pthread_join(thread, NULL);
	free(talk.b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_hears_what_is_for_it),
		handoff_test(only_what_was_heard_makes_room),
		handoff_test(lines_wrap),
		handoff_test(lock_of_a_dead_writer_is_released),
		handoff_test(nonsense_ends_no_reader),
		handoff_test(reader_beside_a_writer_reads_whole_lines),
		handoff_test(nothing_is_missed_beside_a_writer),
	};

	return cmocka_run_group_tests_name("bulletin", tests, NULL, NULL);
}
