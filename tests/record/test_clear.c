/* SPDX-License-Identifier: MIT */
/*
 * What is left of a record that is cleared, or of which the pages are returned:
 * nothing in the first case but a few pages, and all of it in the second.
 */
#include "record/fixture.h"

#include "record/desk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BLOCKS ((blkcnt_t)SIZE / 512)

/* Both as they are in the file, without a page made by looking. */
static void
read_file(const struct handoff__arena *arena, const void *at, unsigned char *to,
	size_t len)
{
	const struct handoff__segment *seg = arena->segments[0];

	assert_int_equal(
		pread(seg->fd, to, len, (const unsigned char *)at - seg->base),
		len);
}

static blkcnt_t
blocks(const struct handoff__arena *arena)
{
	struct stat st;

	assert_int_equal(fstat(arena->segments[0]->fd, &st), 0);
	return st.st_blocks;
}

static void
assert_zero(const unsigned char *bytes, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(bytes[i], 0);
}

/* The record, both states and both buffers; its neighbours are as they were,
 * and there is no more memory in use than before. */
static void
clear_record(uint32_t state_size)
{
	struct handoff__arena arena;
	struct handoff__record *rec;
	unsigned char *bytes, *buffers;
	uint32_t stride;
	blkcnt_t before;

	record_arena(&arena, state_size);
	stride = arena.segments[0]->geo.stride;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(record_alloc(&arena, 2), i);
	bytes = malloc(stride + 3 * SIZE);
	assert_non_null(bytes);
	memset(handoff__arena_record(&arena, 0, 0), 0xaa, stride);
	memset(handoff__arena_record(&arena, 0, 2), 0xbb, stride);
	handoff__segment_buffers(arena.segments[0], 0)[3 * SIZE - 1] = 0xaa;
	handoff__segment_buffers(arena.segments[0], 2)[0] = 0xbb;
	rec = handoff__arena_record(&arena, 0, 1);
	memset((char *)rec + sizeof(rec->owner), 0xcc,
		stride - sizeof(rec->owner));
	before = blocks(&arena);
	buffers = handoff__segment_buffers(arena.segments[0], 1);
	memset(buffers, 0xcc, 3 * SIZE);
	handoff__arena_clear(&arena, 0, 1);
	assert_int_equal(rec->owner, 2);
	/* four pages where a box for it may be are looked at, and those of its
	 * buffers stay */
	assert_in_range(blocks(&arena), 0, before + 8 * PAGE_BLOCKS);
	read_file(&arena, rec, bytes, stride);
	assert_zero(bytes, sizeof(rec->owner), stride);
	read_file(&arena, buffers, bytes, 3 * SIZE);
	assert_zero(bytes, 0, 3 * SIZE);
	memset(bytes, 0xaa, stride);
	assert_memory_equal(handoff__arena_record(&arena, 0, 0), bytes, stride);
	memset(bytes, 0xbb, stride);
	assert_memory_equal(handoff__arena_record(&arena, 0, 2), bytes, stride);
	assert_int_equal(
		handoff__segment_buffers(arena.segments[0], 0)[3 * SIZE - 1],
		0xaa);
	assert_int_equal(
		handoff__segment_buffers(arena.segments[0], 2)[0], 0xbb);
	free(bytes);
	handoff__arena_fini(&arena);
}

static void
nothing_is_left_in_a_record_that_is_cleared(void **state)
{
	(void)state;
	support_not_emulated("it ignores madvise(MADV_REMOVE)");
	clear_record(0);
	clear_record(100);
	clear_record(3 * SIZE + 16);
	clear_record(HANDOFF__STATE_MAX);
}

/* Buffers that were never used cost nothing, also when they are cleared. */
static void
clearing_what_is_untouched_makes_no_page(void **state)
{
	struct handoff__arena arena;
	blkcnt_t before;

	(void)state;
	record_arena(&arena, 0);
	record_alloc(&arena, 1);
	before = blocks(&arena);
	handoff__arena_clear(&arena, 0, 0);
	assert_int_equal(blocks(&arena), before);
	/* One that died in a turn may have used them. */
	handoff__record_mark(
		handoff__arena_record(&arena, 0, 0), HANDOFF__IN_TURN);
	handoff__segment_buffers(arena.segments[0], 0)[0] = 1;
	assert_true(blocks(&arena) > before);
	handoff__arena_clear(&arena, 0, 0);
	assert_int_equal(blocks(&arena), before);
	handoff__arena_fini(&arena);
}

/* Writes to so many pages in the midst of the record's states, which have no
 * others, and clears it. */
static void
use_and_clear(struct handoff__arena *arena, uint32_t slot, size_t pages)
{
	struct handoff__record *rec = handoff__arena_record(arena, 0, slot);
	unsigned char *at = (unsigned char *)rec + SIZE - (uintptr_t)rec % SIZE;
	unsigned char *bytes = malloc(pages * SIZE);

	assert_non_null(bytes);
	memset(at, 0xcc, pages * SIZE);
	handoff__arena_clear(arena, 0, slot);
	read_file(arena, at, bytes, pages * SIZE);
	assert_zero(bytes, 0, pages * SIZE);
	free(bytes);
}

static void
few_pages_stay_with_a_record(void **state)
{
	struct handoff__arena arena;
	blkcnt_t before;

	(void)state;
	support_not_emulated("it ignores madvise(MADV_REMOVE)");
	record_arena(&arena, 16 * SIZE);
	for (uint32_t i = 0; i < 3; i++)
		record_alloc(&arena, 1);
	use_and_clear(&arena, 0, 1); /* and what lies beside it has pages */
	use_and_clear(&arena, 1, 1);
	use_and_clear(&arena, 2, 1);
	before = blocks(&arena);
	use_and_clear(&arena, 1, 5);
	assert_in_range(blocks(&arena), 0, before);
	use_and_clear(&arena, 1, 4);
	assert_in_range(blocks(&arena), before + 3 * PAGE_BLOCKS,
		before + 4 * PAGE_BLOCKS);
	handoff__arena_fini(&arena);
}

static void
free_record(struct handoff__arena *arena, uint32_t slot)
{
	assert_true(handoff__owner_swap(
		&handoff__arena_record(arena, 0, slot)->owner, 1, 0));
}

static void
pages_stay_with_a_few_records(void **state)
{
	enum { WARM = 32, ALL = WARM + 8 };
	struct handoff__arena arena;
	blkcnt_t empty, warm;

	(void)state;
	support_not_emulated("it ignores madvise(MADV_REMOVE)");
	record_arena(&arena, 16 * SIZE);
	for (uint32_t i = 0; i < ALL; i++) {
		struct handoff__record *rec;

		assert_int_equal(record_alloc(&arena, 1), i);
		rec = handoff__arena_record(&arena, 0, i);
		((unsigned char *)rec)[arena.segments[0]->geo.stride - 1] = 1;
	}
	empty = blocks(&arena);
	for (uint32_t i = 0; i < ALL; i++) {
		use_and_clear(&arena, i, 2);
		free_record(&arena, i);
	}
	warm = blocks(&arena);
	assert_in_range(warm, empty + WARM * PAGE_BLOCKS,
		empty + WARM * 2 * PAGE_BLOCKS);
	/* those that are in use again make room for others */
	for (uint32_t i = 0; i < ALL; i++) {
		assert_true(handoff__owner_swap(
			&handoff__arena_record(&arena, 0, i)->owner, 0, 2));
	}
	use_and_clear(&arena, ALL - 1, 2);
	assert_in_range(
		blocks(&arena), warm + PAGE_BLOCKS, warm + 2 * PAGE_BLOCKS);
	handoff__arena_fini(&arena);
}

static void
records_with_pages_are_taken_first(void **state)
{
	struct handoff__arena arena;

	(void)state;
	record_arena(&arena, 16 * SIZE);
	for (uint32_t i = 0; i < 4; i++)
		record_alloc(&arena, 1);
	use_and_clear(&arena, 3, 1);
	for (uint32_t i = 1; i < 4; i += 2) {
		free_record(&arena, i);
		handoff__arena_vacate(&arena, 0, i);
	}
	assert_int_equal(record_alloc(&arena, 1), 3);
	assert_int_equal(record_alloc(&arena, 1), 1);
	assert_int_equal(record_alloc(&arena, 1), 4);
	handoff__arena_fini(&arena);
}

static void
desks_of_a_peer_are_cleared(void **state)
{
	struct handoff__arena arena;
	struct handoff__view view;
	blkcnt_t before;

	(void)state;
	record_arena(&arena, 0);
	before = blocks(&arena);
	handoff__view_make(&view, arena.segments[0], 0);
	for (int slot = 1; slot <= 2; slot++) {
		for (uint32_t w = 0; w < HANDOFF__DESKS / 2; w++) {
			handoff__desk_buffers(
				&view, handoff__desk_number(slot, w));
			view.rx[0] = view.tx[SIZE - 1] = (unsigned char)slot;
		}
	}
	handoff__arena_clear_desks(&arena, 1);
	for (uint32_t w = 0; w < HANDOFF__DESKS / 2; w++) {
		handoff__desk_buffers(&view, handoff__desk_number(2, w));
		assert_int_equal(view.rx[0], 2);
		assert_int_equal(view.tx[SIZE - 1], 2);
	}
	assert_int_equal(
		blocks(&arena) - before, HANDOFF__DESKS / 2 * 2 * (SIZE / 512));
	handoff__arena_clear_desks(&arena, 2);
	assert_int_equal(blocks(&arena), before);
	handoff__arena_fini(&arena);
}

/* st_blocks counts 512 bytes each (stat(3type)). */
static void
trim_gives_pages_back(void **state)
{
	struct handoff__arena arena;
	struct handoff__view view, next;
	uint32_t slot;
	long idle, full, stride;

	(void)state;
	record_arena(&arena, 0);
	slot = record_alloc(&arena, 1);
	handoff__view_make(&view, arena.segments[0], slot);
	handoff__view_make(&next, arena.segments[0], slot + 1);
	stride = (long)arena.segments[0]->geo.buffer_stride;
	next.rx[0] = 1;
	idle = (long)blocks(&arena);
	memset(view.rx, 0xaa, (size_t)stride);
	full = (long)blocks(&arena);
	assert_int_equal(full - idle, stride / 512);
	handoff__arena_trim(&arena, 0, slot);
	assert_int_equal((long)blocks(&arena), idle);
	assert_int_equal(next.rx[0], 1);
	handoff__arena_fini(&arena);
}

static void
record_works_after_trim(void **state)
{
	struct handoff__arena arena;
	struct handoff__view view;
	struct handoff_conn txn;
	uint32_t slot;
	size_t len;
	void *at = NULL;

	(void)state;
	record_arena(&arena, 8);
	slot = record_alloc(&arena, 1);
	handoff__view_make(&view, arena.segments[0], slot);
	handoff__record_use_state(&view, 8);
	for (int round = 0; round < 3; round++) {
		struct iovec iov[2] = {{.iov_len = 0}};
		const void *input;

		assert_int_equal(handoff__record_rx_room(&view, &at), SIZE);
		memcpy(at, "abcdef", 6);
		handoff__record_received(&view, 6);
		handoff__txn_begin(&txn, &view);
		input = handoff_conn_input(&txn, &len);
		assert_int_equal(len, 6);
		assert_int_equal(handoff_conn_write(&txn, input, len), 6);
		assert_int_equal(handoff_conn_consume(&txn, len), 0);
		assert_int_equal(*(char *)handoff_conn_state(&txn), round);
		++*(char *)handoff_conn_state(&txn);
		handoff__txn_commit(&txn);
		assert_int_equal(handoff__record_tx_pieces(&view, iov), 1);
		assert_int_equal(iov[0].iov_len, 6);
		assert_memory_equal(iov[0].iov_base, "abcdef", 6);
		handoff__record_sent(&view, 6);
		/* Nothing is unread or unsent: the pages may go. */
		handoff__arena_trim(&arena, 0, slot);
		assert_true(handoff__record_ok(&view));
	}
	handoff__arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(nothing_is_left_in_a_record_that_is_cleared),
		handoff_test(clearing_what_is_untouched_makes_no_page),
		handoff_test(few_pages_stay_with_a_record),
		handoff_test(pages_stay_with_a_few_records),
		handoff_test(records_with_pages_are_taken_first),
		handoff_test(desks_of_a_peer_are_cleared),
		handoff_test(trim_gives_pages_back),
		handoff_test(record_works_after_trim),
	};

	return cmocka_run_group_tests_name("clear", tests, NULL, NULL);
}
