/* SPDX-License-Identifier: MIT */
/*
 * The bulletin that an older library has written: its lines are read in order
 * by those they are for, and nonsense in it ends no reader.
 */
#include "support/support.h"

#include "record/bulletin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct handoff__bulletin *
blank(void)
{
	struct handoff__bulletin *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	return b;
}

static void
put(struct handoff__bulletin *b, uint64_t at, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		b->ring[(at + i) % HANDOFF__BULLETIN_SIZE] =
			((const unsigned char *)data)[i];
}

/* As libraries of layout 5 did. */
static void
say(struct handoff__bulletin *b, uint64_t to, const char *text)
{
	struct {
		uint64_t to;
		int64_t at_us;
		uint32_t len, size;
	} line = {.to = to, .len = (uint32_t)strlen(text)};
	uint64_t head = b->head;

	line.size = (24 + line.len + 7) / 8 * 8;
	while (head + line.size - b->tail > HANDOFF__BULLETIN_SIZE) {
		uint32_t size;

		memcpy(&size, b->ring + (b->tail + 20) % HANDOFF__BULLETIN_SIZE,
			sizeof(size));
		b->tail += size;
	}
	put(b, head, &line, 24);
	put(b, head + 24, text, line.len);
	b->head = head + line.size;
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
	late = b->head;
	say(b, 1, "to one\n");
	hears(b, &one, 1, "to all\n");
	hears(b, &one, 1, "again\n");
	hears(b, &one, 1, "to one\n");
	hears(b, &one, 1, "");
	hears(b, &two, 2, "to all\n");
	hears(b, &two, 2, "to two\n");
	hears(b, &two, 2, "again\n");
	hears(b, &two, 2, "");
	assert_int_equal(two, b->head);
	hears(b, &late, 3, "");
	free(b);
}

/* Whoever has not read in time goes on with the oldest that is left. */
static void
lines_wrap(void **state)
{
	struct handoff__bulletin *b = blank();
	uint64_t at = 0, slow = 0;
	char text[300], first[300] = "";

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(
			text, sizeof(text), "%d%*s\n", i, 1 + i * 7 % 250, "!");
		say(b, 0, text);
		hears(b, &at, 1, text);
	}
	assert_true(at > 3 * HANDOFF__BULLETIN_SIZE);
	assert_true(handoff__bulletin_read(b, &slow, 1, first) > 0);
	assert_true(atoi(first) > 2000);
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
		if (round % 2) {
			at = (uint64_t)round * 8;
			atomic_store(&b->tail, at);
			atomic_store(&b->head, at + (uint64_t)round);
		}
		while (handoff__bulletin_read(b, &at, 1, text) > 0)
			;
		assert_int_equal(at, b->head);
	}
	free(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_hears_what_is_for_it),
		handoff_test(lines_wrap),
		handoff_test(nonsense_ends_no_reader),
	};

	return cmocka_run_group_tests_name("bulletin", tests, NULL, NULL);
}
