/* SPDX-License-Identifier: MIT */
/*
 * Records for a given geometry: of an entry that comes from another host, whose
 * service may have another version and other buffers.
 */
#include "record/fixture.h"

#include <errno.h>

#define WORD handoff__owner_elsewhere(5)

static struct handoff__geometry
geometry(uint32_t state_size, uint32_t version, uint32_t rx, uint32_t tx,
	uint32_t pass)
{
	struct handoff__geometry geo;

	assert_int_equal(handoff__geometry_make(&geo, state_size, rx, tx), 0);
	assert_int_equal(handoff__geometry_extend(&geo, pass, 0, 0), 0);
	geo.state_version = version;
	return geo;
}

/* The segment that a record was allocated in; -ENOSPC. */
static int
fit(struct handoff__arena *arena, struct handoff__geometry geo)
{
	uint32_t segment = UINT32_MAX, slot = UINT32_MAX;
	int err = handoff__arena_alloc_fit(
		arena, &geo, WORD, record_always, NULL, &segment, &slot);

	if (err < 0) {
		assert_int_equal(segment, UINT32_MAX);
		return err;
	}
	assert_int_equal(
		handoff__arena_record(arena, segment, slot)->owner, WORD);
	return (int)segment;
}

static uint32_t
count(const struct handoff__arena *arena, struct handoff__geometry geo)
{
	return handoff__arena_count_fit(arena, &geo, UINT32_MAX);
}

static void
open_three(struct handoff__arena *arena)
{
	struct handoff__geometry geos[] = {
		geometry(64, 1, SIZE, SIZE, 0),
		geometry(64, 2, 4 * SIZE, 2 * SIZE, 0),
		geometry(80, 2, 4 * SIZE, 4 * SIZE, SIZE),
	};

	handoff__arena_init(arena);
	for (int i = 0; i < 3; i++)
		assert_int_equal(handoff__arena_grow(arena, &geos[i]), 0);
	arena->version = 1;
}

static void
state_is_exact_and_buffers_suffice(void **state)
{
	struct handoff__arena arena;

	(void)state;
	open_three(&arena);
	assert_int_equal(fit(&arena, geometry(64, 1, SIZE, SIZE, 0)), 0);
	assert_int_equal(
		fit(&arena, geometry(64, 1, 2 * SIZE, SIZE, 0)), -ENOSPC);
	assert_int_equal(fit(&arena, geometry(64, 2, SIZE, SIZE, 0)), 1);
	assert_int_equal(
		fit(&arena, geometry(64, 2, 4 * SIZE, 2 * SIZE, 0)), 1);
	assert_int_equal(
		fit(&arena, geometry(64, 2, SIZE, 4 * SIZE, 0)), -ENOSPC);
	assert_int_equal(
		fit(&arena, geometry(64, 2, SIZE, SIZE, SIZE)), -ENOSPC);
	assert_int_equal(fit(&arena, geometry(80, 2, SIZE, SIZE, SIZE)), 2);
	assert_int_equal(fit(&arena, geometry(80, 2, SIZE, SIZE, 0)), 2);
	assert_int_equal(
		fit(&arena, geometry(80, 2, SIZE, SIZE, 2 * SIZE)), -ENOSPC);
	assert_int_equal(fit(&arena, geometry(79, 2, SIZE, SIZE, 0)), -ENOSPC);
	assert_int_equal(fit(&arena, geometry(80, 1, SIZE, SIZE, 0)), -ENOSPC);
	handoff__arena_fini(&arena);
}

static void
records_that_fit_are_counted(void **state)
{
	struct handoff__geometry small = geometry(64, 1, SIZE, SIZE, 0);
	struct handoff__arena arena;

	(void)state;
	open_three(&arena);
	assert_int_equal(count(&arena, small), HANDOFF__SLOTS);
	assert_int_equal(handoff__arena_count_fit(&arena, &small, 10), 10);
	assert_int_equal(handoff__arena_count_fit(&arena, &small, 0), 0);
	assert_int_equal(count(&arena, geometry(64, 3, SIZE, SIZE, 0)), 0);
	for (uint32_t left = HANDOFF__SLOTS; left > 0; left--) {
		assert_int_equal(count(&arena, small), left);
		assert_int_equal(fit(&arena, small), 0);
	}
	assert_int_equal(fit(&arena, small), -ENOSPC);
	assert_int_equal(count(&arena, small), 0);
	/* another peer has freed one, without our hearing of it */
	handoff__owner_set(&handoff__arena_record(&arena, 0, 700)->owner, 0);
	assert_int_equal(count(&arena, small), 1);
	assert_int_equal(fit(&arena, small), 0);
	/* a second segment like the first counts too */
	assert_int_equal(handoff__arena_grow(&arena, &small), 0);
	assert_int_equal(count(&arena, small), HANDOFF__SLOTS);
	assert_int_equal(fit(&arena, small), 3);
	handoff__arena_fini(&arena);
}

/* The other way of allocating does not look at sizes: it takes the program's
 * own version. */
static void
records_of_our_version_are_had_from_anywhere(void **state)
{
	struct handoff__arena arena;
	uint32_t segment, slot;

	(void)state;
	open_three(&arena);
	arena.version = 2;
	assert_int_equal(handoff__arena_alloc(&arena, 1, record_always, NULL,
				 &segment, &slot),
		0);
	assert_int_equal(segment, 1);
	arena.version = 3;
	assert_int_equal(handoff__arena_alloc(&arena, 1, record_always, NULL,
				 &segment, &slot),
		-ENOSPC);
	handoff__arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(state_is_exact_and_buffers_suffice),
		handoff_test(records_that_fit_are_counted),
		handoff_test(records_of_our_version_are_had_from_anywhere),
	};

	return cmocka_run_group_tests_name("fit", tests, NULL, NULL);
}
