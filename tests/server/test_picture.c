/* SPDX-License-Identifier: MIT */
/*
 * Pictures of an arena whose segments have states of different sizes, as
 * after an upgrade: each record is copied in the size of its own segment.
 */
#include "support/support.h"

#include "server/picture.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER  4096u
#define RECORDS 20u /* of each segment */

struct fixture {
	struct handoff__arena arena;
	struct handoff__roster roster;
	struct handoff__picture picture;
};

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

/* Of the state of a record, known by its id. */
static unsigned char
state_byte(uint64_t id, uint32_t at)
{
	return (unsigned char)(id * 37 + at * 11 + 1);
}

static void
fill(struct fixture *f, uint32_t version, uint64_t id)
{
	uint32_t segment, slot;
	struct handoff__view view;
	unsigned char *state;

	f->arena.version = version;
	assert_int_equal(handoff__arena_alloc(
				 &f->arena, 1, always, NULL, &segment, &slot),
		0);
	assert_int_equal(segment, version - 1);
	handoff__view_make(&view, f->arena.segments[segment], slot);
	view.rec->id = id;
	view.rec->kind = HANDOFF__CONNECTION;
	handoff__record_use_state(&view, view.seg->geo.state_size);
	state = handoff__record_state(&view, 0);
	for (uint32_t i = 0; i < view.seg->geo.state_size; i++)
		state[i] = state_byte(id, i);
}

/* Segments with states of versions 1, 2 and so on. */
static void
open_fixture(struct fixture *f, const uint32_t *sizes, uint32_t n)
{
	uint64_t id = 0;

	handoff__arena_init(&f->arena);
	for (uint32_t i = 0; i < n; i++) {
		struct handoff__geometry geo;

		assert_int_equal(
			handoff__geometry_make(&geo, sizes[i], BUFFER, BUFFER),
			0);
		geo.state_version = i + 1;
		assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	}
	handoff__roster_init(
		&f->roster, &f->arena, sizeof(struct handoff__roster_entry));
	for (uint32_t r = 0; r < RECORDS; r++) {
		for (uint32_t i = 0; i < n; i++)
			fill(f, i + 1, ++id);
	}
	assert_int_equal(handoff__picture_take(&f->picture, &f->roster), 0);
}

static void
close_fixture(struct fixture *f)
{
	handoff__picture_free(&f->picture);
	handoff__roster_fini(&f->roster);
	handoff__arena_fini(&f->arena);
}

static void
assert_shot(const struct handoff__shot *shot, const uint32_t *sizes)
{
	uint32_t version = shot->state_version;

	assert_int_equal(shot->snap.kind, HANDOFF__CONNECTION);
	assert_int_equal(shot->fd, -1);
	assert_false(shot->snap.unstable);
	assert_int_equal(shot->state_size, sizes[version - 1]);
	if (shot->state_size == 0)
		assert_null(shot->state);
	for (uint32_t i = 0; i < shot->state_size; i++)
		assert_int_equal(shot->state[i], state_byte(shot->snap.id, i));
}

static void
shoot(const uint32_t *sizes, uint32_t n)
{
	struct fixture f;
	unsigned char seen[64 * RECORDS] = {0};

	open_fixture(&f, sizes, n);
	assert_int_equal(f.picture.count, n * RECORDS);
	for (uint32_t i = 0; i < f.picture.count; i++) {
		assert_shot(&f.picture.shots[i], sizes);
		assert_in_range(f.picture.shots[i].snap.id, 1, n * RECORDS);
		assert_int_equal(seen[f.picture.shots[i].snap.id]++, 0);
	}
	close_fixture(&f);
}

static void
states_of_all_sizes_are_whole(void **state)
{
	static const uint32_t grown[] = {4, 3000}, shrunk[] = {3000, 4},
			      none_first[] = {0, 100}, none_last[] = {100, 0},
			      all[] = {17, HANDOFF__STATE_MAX, 0, 16, 1};

	(void)state;
	shoot(grown, 2);
	shoot(shrunk, 2);
	shoot(none_first, 2);
	shoot(none_last, 2);
	shoot(all, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(states_of_all_sizes_are_whole),
	};

	return cmocka_run_group_tests_name("picture", tests, NULL, NULL);
}
