/* SPDX-License-Identifier: MIT */
/*
 * The arena: sizes, and allocation by one and by two peers.
 */
#include "record/fixture.h"

#include "record/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
even_only(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	return slot % 2 == 0;
}

/* A second peer's arena on the segments of the first. */
static void
open_other(struct handoff__arena *other, const struct handoff__arena *arena)
{
	handoff__arena_init(other);
	for (uint32_t i = 0; i < arena->count; i++) {
		const struct handoff__segment *seg = arena->segments[i];
		int fd = fcntl(seg->fd, F_DUPFD_CLOEXEC, 0);

		assert_int_equal(handoff__arena_add(other, i, fd,
					 seg->geo.state_size, NULL),
			0);
	}
}

static int
alloc_any(struct handoff__arena *arena, uint32_t owner)
{
	uint32_t segment, slot;

	return handoff__arena_alloc(
		arena, owner, record_always, NULL, &segment, &slot);
}

static void
sizes_are_powers_of_two_of_at_least_a_page(void **state)
{
	static const uint32_t sizes[][2] = {{0, 4096}, {1, 4096}, {4096, 4096},
		{4097, 8192}, {65536, 65536}, {65537, 131072},
		{HANDOFF__BUFFER_MAX, HANDOFF__BUFFER_MAX}};
	struct handoff__geometry geo;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(
			handoff__geometry_make(&geo, 0, sizes[i][0], SIZE), 0);
		assert_int_equal(geo.rx_size, sizes[i][1]);
		assert_int_equal(geo.tx_size, SIZE);
		assert_int_equal(
			handoff__geometry_make(&geo, 0, SIZE, sizes[i][0]), 0);
		assert_int_equal(geo.tx_size, sizes[i][1]);
		assert_int_equal(geo.rx_size, SIZE);
	}
}

static void
sizes_past_the_limits_are_refused(void **state)
{
	struct handoff__geometry geo;
	uint32_t too_much = HANDOFF__BUFFER_MAX + 1;

	(void)state;
	assert_int_equal(
		handoff__geometry_make(&geo, HANDOFF__STATE_MAX, SIZE, SIZE),
		0);
	assert_int_equal(handoff__geometry_make(
				 &geo, HANDOFF__STATE_MAX + 1, SIZE, SIZE),
		-EINVAL);
	assert_int_equal(
		handoff__geometry_make(&geo, 0, too_much, SIZE), -EINVAL);
	assert_int_equal(
		handoff__geometry_make(&geo, 0, SIZE, too_much), -EINVAL);
	assert_int_equal(
		handoff__geometry_make(&geo, UINT32_MAX, SIZE, SIZE), -EINVAL);
	assert_int_equal(
		handoff__geometry_make(&geo, 0, UINT32_MAX, UINT32_MAX),
		-EINVAL);
}

/* Only the first segment has them, and all refer to it. */
static void
commons_are_in_one_segment(void **state)
{
	struct handoff__arena arena;
	struct handoff__geometry geo;

	(void)state;
	handoff__arena_init(&arena);
	assert_null(handoff__arena_commons(&arena));
	assert_int_equal(handoff__geometry_make(&geo, 0, SIZE, SIZE), 0);
	assert_int_equal(handoff__geometry_extend(&geo, 1, 5000, 100), 0);
	assert_int_equal(geo.pass_size, SIZE);
	assert_int_equal(geo.posts_size, 2 * SIZE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(arena.segments[i]->commons, arena.segments[0]);
	assert_int_equal(arena.segments[0]->geo.size,
		geo.shared + HANDOFF__SHARED_HEAD + HANDOFF__UNDO_SIZE + SIZE);
	assert_int_equal(arena.segments[1]->geo.size, geo.groups);
	assert_int_equal(
		handoff__geometry_extend(&geo, 0, 0, HANDOFF__SHARED_MAX + 1),
		-EINVAL);
	handoff__arena_fini(&arena);
}

/* Segments of now and later, and not of another process after a fork. */
static void
each_segment_knows_who_maps_it(void **state)
{
	struct handoff__arena arena;
	struct handoff__geometry geo;

	(void)state;
	handoff__arena_init(&arena);
	assert_int_equal(handoff__geometry_make(&geo, 0, SIZE, SIZE), 0);
	assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	assert_int_equal(arena.segments[0]->self, 0);
	handoff__arena_name(&arena, handoff__lock_name(2, 7));
	assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			arena.segments[i]->self, handoff__lock_name(2, 7));
	handoff__arena_fini(&arena);
	assert_int_equal(arena.self, handoff__lock_name(2, 7));
}

/* A record's ring to its pair follows its other buffers. */
static void
ring_to_a_pair_is_its_own(void **state)
{
	struct handoff__arena arena;
	struct handoff__geometry geo;
	struct handoff__view a, b;

	(void)state;
	handoff__arena_init(&arena);
	assert_int_equal(handoff__geometry_make(&geo, 40, SIZE, SIZE), 0);
	assert_int_equal(handoff__geometry_extend(&geo, SIZE, 0, 0), 0);
	assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	handoff__view_make(&a, arena.segments[0], 6);
	handoff__view_make(&b, arena.segments[0], 7);
	assert_ptr_equal(handoff__record_pass(&a), a.tx + SIZE);
	assert_ptr_equal(
		handoff__record_pass(&a) + HANDOFF__PASS_HEAD + SIZE, b.rx);
	handoff__arena_fini(&arena);
}

/* Headers, records and buffers: apart, and inside of the segment. */
static void
nothing_overlaps(void **state)
{
	static const uint32_t states[] = {
		0, 1, 16, 17, 1000, HANDOFF__STATE_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct handoff__geometry geo;
		uint64_t states_end = sizeof(struct handoff__record) +
				      2 * ((states[i] + 15ull) & ~15ull);

		assert_int_equal(
			handoff__geometry_make(&geo, states[i], SIZE, 2 * SIZE),
			0);
		assert_true(geo.stride >= states_end);
		assert_int_equal(geo.stride % 64, 0);
		assert_true(
			geo.buffers >= SIZE + (uint64_t)geo.slots * geo.stride);
		assert_int_equal(geo.buffers % SIZE, 0);
		assert_int_equal(geo.buffer_stride, 2 * SIZE + 2 * SIZE);
		assert_true(geo.size >=
			    geo.buffers + geo.slots * geo.buffer_stride);
	}
}

static void
every_record_is_had_once(void **state)
{
	struct handoff__arena arena;
	unsigned char seen[HANDOFF__SLOTS] = {0};

	(void)state;
	record_arena(&arena, 0);
	for (int i = 0; i < HANDOFF__SLOTS; i++) {
		uint32_t n = record_alloc(&arena, 1);

		assert_in_range(n, 0, HANDOFF__SLOTS - 1);
		assert_int_equal(seen[n]++, 0);
	}
	assert_int_equal(alloc_any(&arena, 1), -ENOSPC);
	assert_int_equal(alloc_any(&arena, 2), -ENOSPC);
	handoff__arena_fini(&arena);
}

static void
growing_gives_new_records(void **state)
{
	struct handoff__arena arena;

	(void)state;
	record_arena(&arena, 0);
	for (int i = 0; i < HANDOFF__SLOTS; i++)
		record_alloc(&arena, 1);
	assert_int_equal(
		handoff__arena_grow(&arena, &arena.segments[0]->geo), 0);
	assert_int_equal(arena.count, 2);
	assert_int_equal(record_alloc(&arena, 1), HANDOFF__SLOTS);
	handoff__arena_fini(&arena);
}

static void
segments_are_limited(void **state)
{
	struct handoff__arena arena;
	struct handoff__geometry geo;
	int fd;

	(void)state;
	record_arena(&arena, 0);
	geo = arena.segments[0]->geo;
	while (arena.count < HANDOFF__SEGMENTS_MAX)
		assert_int_equal(handoff__arena_grow(&arena, &geo), 0);
	assert_int_equal(handoff__arena_grow(&arena, &geo), -ENOSPC);
	fd = fcntl(arena.segments[0]->fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(
		handoff__arena_add(&arena, HANDOFF__SEGMENTS_MAX, fd, 0, NULL),
		-EBADMSG);
	assert_int_equal(arena.count, HANDOFF__SEGMENTS_MAX);
	handoff__arena_fini(&arena);
}

static void
vacated_record_is_had_again(void **state)
{
	struct handoff__arena arena;
	uint32_t slot = 517;

	(void)state;
	record_arena(&arena, 0);
	for (int i = 0; i < HANDOFF__SLOTS; i++)
		record_alloc(&arena, 1);
	atomic_store(&handoff__arena_record(&arena, 0, slot)->owner, 0);
	handoff__arena_vacate(&arena, 0, slot);
	assert_int_equal(record_alloc(&arena, 2), slot);
	assert_int_equal(alloc_any(&arena, 1), -ENOSPC);
	handoff__arena_fini(&arena);
}

/* The other peer may have freed it without our hearing of it. */
static void
freed_record_is_found_before_all_is_full(void **state)
{
	struct handoff__arena arena;

	(void)state;
	record_arena(&arena, 0);
	for (int i = 0; i < HANDOFF__SLOTS; i++)
		record_alloc(&arena, 1);
	atomic_store(&handoff__arena_record(&arena, 0, 1000)->owner, 0);
	assert_int_equal(record_alloc(&arena, 1), 1000);
	handoff__arena_fini(&arena);
}

/* A record may be free while the caller still has something in its place. */
static void
records_the_caller_still_uses_are_left_alone(void **state)
{
	struct handoff__arena arena;
	uint32_t segment, slot;

	(void)state;
	record_arena(&arena, 0);
	for (int i = 0; i < HANDOFF__SLOTS / 2; i++) {
		assert_int_equal(handoff__arena_alloc(&arena, 1, even_only,
					 NULL, &segment, &slot),
			0);
		assert_int_equal(slot % 2, 0);
	}
	assert_int_equal(handoff__arena_alloc(
				 &arena, 1, even_only, NULL, &segment, &slot),
		-ENOSPC);
	/* And are had as soon as they are no longer in use. */
	for (int i = 0; i < HANDOFF__SLOTS / 2; i++)
		assert_int_equal(record_alloc(&arena, 1) % 2, 1);
	handoff__arena_fini(&arena);
}

static void
record_is_cleared_when_it_is_had(void **state)
{
	struct handoff__arena arena;
	struct handoff__record *rec;
	uint32_t stride, slot;
	struct handoff__view view;
	unsigned char *bytes;

	(void)state;
	record_arena(&arena, 100);
	stride = arena.segments[0]->geo.stride;
	slot = record_alloc(&arena, 2);
	rec = handoff__arena_record(&arena, 0, slot);
	bytes = (unsigned char *)rec;
	memset(bytes, 0xee, stride);
	atomic_store(&rec->owner, 0);
	handoff__arena_vacate(&arena, 0, slot);
	assert_int_equal(record_alloc(&arena, 2), slot);
	for (uint32_t i = sizeof(rec->owner); i < sizeof(*rec); i++)
		assert_int_equal(bytes[i], 0);
	/* Of its states only what is taken into use. */
	handoff__view_make(&view, arena.segments[0], slot);
	handoff__record_use_state(&view, 60);
	for (uint32_t i = 0; i < 112; i++)
		assert_int_equal(bytes[sizeof(*rec) + i], i < 60 ? 0 : 0xee);
	handoff__arena_fini(&arena);
}

/* What the kernel says of the mapping (proc(5), VmFlags). */
static bool
has_flag(const void *mapping, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool inside = false, has = false;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)mapping >= from &&
				 (uintptr_t)mapping < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			has = strstr(line, flag) != NULL;
	}
	fclose(file);
	return has;
}

static void
arena_is_in_no_core_dump(void **state)
{
	struct handoff__arena arena, other;

	(void)state;
	support_not_in_valgrind();
	support_not_emulated("it ignores madvise(MADV_DONTDUMP)");
	record_arena(&arena, 0);
	open_other(&other, &arena);
	assert_true(has_flag(arena.segments[0]->base, " sh"));
	assert_true(has_flag(arena.segments[0]->base, " dd"));
	assert_true(has_flag(other.segments[0]->base, " dd"));
	handoff__arena_fini(&arena);
	handoff__arena_fini(&other);
}

static void
no_record_out_of_range(void **state)
{
	struct handoff__arena arena;

	(void)state;
	record_arena(&arena, 0);
	assert_non_null(handoff__arena_record(&arena, 0, HANDOFF__SLOTS - 1));
	assert_null(handoff__arena_record(&arena, 0, HANDOFF__SLOTS));
	assert_null(handoff__arena_record(&arena, 0, UINT32_MAX));
	assert_null(handoff__arena_record(&arena, 1, 0));
	assert_null(handoff__arena_record(&arena, UINT32_MAX, 0));
	handoff__arena_fini(&arena);
}

static void
board_is_shared_and_lives_in_the_first_segment(void **state)
{
	struct handoff__arena arena, other;

	(void)state;
	handoff__arena_init(&arena);
	assert_null(handoff__arena_board(&arena));
	record_arena(&arena, 0);
	assert_int_equal(
		handoff__arena_grow(&arena, &arena.segments[0]->geo), 0);
	open_other(&other, &arena);
	assert_int_equal(handoff__arena_board(&arena)->next_id, 1);
	atomic_store(&handoff__arena_board(&arena)->generation, 77);
	assert_int_equal(handoff__arena_board(&other)->generation, 77);
	assert_ptr_not_equal(
		handoff__arena_board(&arena), handoff__arena_board(&other));
	handoff__arena_fini(&arena);
	/* What one peer maps does not depend on the other. */
	assert_int_equal(handoff__arena_board(&other)->generation, 77);
	handoff__arena_fini(&other);
}

static void
two_peers_allocate_without_clash(void **state)
{
	struct handoff__arena arenas[2];
	unsigned char seen[HANDOFF__SLOTS] = {0};

	(void)state;
	record_arena(&arenas[0], 64);
	open_other(&arenas[1], &arenas[0]);
	for (unsigned i = 0; i < HANDOFF__SLOTS; i++) {
		uint32_t n =
			record_alloc(&arenas[i % 3 != 0], 1 + (i % 3 != 0));

		assert_int_equal(seen[n]++, 0);
	}
	assert_int_equal(alloc_any(&arenas[0], 1), -ENOSPC);
	assert_int_equal(alloc_any(&arenas[1], 2), -ENOSPC);
	handoff__arena_fini(&arenas[0]);
	handoff__arena_fini(&arenas[1]);
}

struct racer {
	struct handoff__arena arena;
	uint32_t owner;
	uint32_t got[HANDOFF__SLOTS];
	uint32_t count;
};

static void *
race(void *arg)
{
	struct racer *racer = arg;
	uint32_t segment;

	while (racer->count < HANDOFF__SLOTS &&
		handoff__arena_alloc(&racer->arena, racer->owner, record_always,
			NULL, &segment, &racer->got[racer->count]) == 0)
		racer->count++;
	return NULL;
}

static void
two_peers_allocate_at_once_without_clash(void **state)
{
	struct racer *racers = calloc(2, sizeof(*racers));
	unsigned char seen[HANDOFF__SLOTS] = {0};
	pthread_t thread;

	(void)state;
	assert_non_null(racers);
	record_arena(&racers[0].arena, 0);
	open_other(&racers[1].arena, &racers[0].arena);
	racers[0].owner = 1;
	racers[1].owner = 2;
	assert_int_equal(pthread_create(&thread, NULL, race, &racers[1]), 0);
	race(&racers[0]);
	pthread_join(thread, NULL);
	assert_int_equal(racers[0].count + racers[1].count, HANDOFF__SLOTS);
	for (int r = 0; r < 2; r++) {
		for (uint32_t i = 0; i < racers[r].count; i++) {
			uint32_t slot = racers[r].got[i];

			assert_int_equal(seen[slot]++, 0);
			assert_int_equal(
				handoff__arena_record(&racers[r].arena, 0, slot)
					->owner,
				racers[r].owner);
		}
		handoff__arena_fini(&racers[r].arena);
	}
	free(racers);
}

static void
empty_arena_has_nothing(void **state)
{
	struct handoff__arena arena;

	(void)state;
	handoff__arena_init(&arena);
	assert_int_equal(alloc_any(&arena, 1), -ENOSPC);
	assert_null(handoff__arena_record(&arena, 0, 0));
	handoff__arena_fini(&arena);
	handoff__arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(sizes_are_powers_of_two_of_at_least_a_page),
		handoff_test(sizes_past_the_limits_are_refused),
		handoff_test(commons_are_in_one_segment),
		handoff_test(each_segment_knows_who_maps_it),
		handoff_test(ring_to_a_pair_is_its_own),
		handoff_test(nothing_overlaps),
		handoff_test(every_record_is_had_once),
		handoff_test(growing_gives_new_records),
		handoff_test(segments_are_limited),
		handoff_test(vacated_record_is_had_again),
		handoff_test(freed_record_is_found_before_all_is_full),
		handoff_test(records_the_caller_still_uses_are_left_alone),
		handoff_test(record_is_cleared_when_it_is_had),
		handoff_test(arena_is_in_no_core_dump),
		handoff_test(no_record_out_of_range),
		handoff_test(board_is_shared_and_lives_in_the_first_segment),
		handoff_test(two_peers_allocate_without_clash),
		handoff_test(two_peers_allocate_at_once_without_clash),
		handoff_test(empty_arena_has_nothing),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
