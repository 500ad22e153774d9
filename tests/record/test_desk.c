/* SPDX-License-Identifier: MIT */
/*
 * Desks: where they are, and that unfinished bytes on one are flushed to the
 * record's own buffers, which is idempotent.
 */
#include "record/fixture.h"

#include "record/desk.h"

#include <string.h>

#define DESK 1u

static void
go_to_desk(struct fixture *f)
{
	f->at = f->view;
	handoff__desk_buffers(&f->at, DESK);
	handoff__desk_set(f->rec, DESK);
}

static void
each_worker_of_both_peers_has_its_own(void **state)
{
	struct handoff__segment *seg;
	struct fixture f;
	unsigned char *end;

	(void)state;
	record_open(&f, 0);
	seg = f.arena.segments[0];
	end = seg->base + seg->geo.desks;
	assert_ptr_equal(end, handoff__segment_buffers(seg, seg->geo.slots));
	for (int slot = 1; slot <= 2; slot++) {
		for (uint32_t n = 0; n < HANDOFF__DESKS / 2; n++) {
			f.at = f.view;
			assert_true(handoff__desk_view(
				&f.at, handoff__desk_number(slot, n)));
			assert_ptr_equal(f.at.rx, end);
			assert_ptr_equal(f.at.tx, end + 2 * SIZE);
			end += 3 * SIZE;
		}
	}
	assert_ptr_equal(end, seg->base + seg->geo.groups);
	record_close(&f);
}

/* Where the buffers have other sizes there are others. */
static void
segments_share_desks(void **state)
{
	struct handoff__segment **segments;
	struct handoff__geometry geo;
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	segments = f.arena.segments;
	assert_int_equal(handoff__geometry_make(&geo, 100, SIZE, SIZE), 0);
	assert_int_equal(handoff__arena_grow(&f.arena, &geo), 0);
	assert_int_equal(handoff__geometry_make(&geo, 0, SIZE, 2 * SIZE), 0);
	assert_int_equal(handoff__arena_grow(&f.arena, &geo), 0);
	assert_int_equal(handoff__arena_grow(&f.arena, &geo), 0);
	assert_ptr_equal(
		segments[0]->desks, segments[0]->base + segments[0]->geo.desks);
	assert_ptr_equal(segments[1]->desks, segments[0]->desks);
	assert_ptr_equal(
		segments[2]->desks, segments[2]->base + segments[2]->geo.desks);
	assert_ptr_equal(segments[3]->desks, segments[2]->desks);
	record_close(&f);
}

static void
what_is_finished_leaves_nothing(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	go_to_desk(&f);
	record_receive(&f, "request", 7);
	record_handle(&f, 7, "answer", 6);
	handoff__record_touch(f.rec);
	handoff__record_sent(&f.at, 6);
	handoff__desk_clear(&f.view);
	assert_int_equal(handoff__desk_of(f.rec), 0);
	assert_int_equal(f.rec->touched, 0);
	assert_memory_equal(f.view.rx, "\0\0\0\0\0\0\0", 7);
	assert_memory_equal(f.view.tx, "\0\0\0\0\0\0", 6);
	record_close(&f);
}

static void
what_is_not_finished_is_kept(void **state)
{
	struct iovec iov[2] = {{.iov_len = 0}};
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	go_to_desk(&f);
	record_receive(&f, "request and more", 16);
	record_handle(&f, 8, "answer", 6);
	handoff__record_sent(&f.at, 2);
	handoff__desk_clear(&f.view);
	assert_int_equal(handoff__desk_of(f.rec), 0);
	assert_int_equal(f.rec->touched, 1);
	record_assert_input(&f, "and more");
	assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 1);
	assert_int_equal(iov[0].iov_len, 4);
	assert_memory_equal(iov[0].iov_base, "swer", 4);
	record_close(&f);
}

static void
output_may_go_round_the_end(void **state)
{
	static unsigned char bytes[SIZE];
	struct iovec iov[2] = {{.iov_len = 0}, {.iov_len = 0}};
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (unsigned char)(i * 7 / 3);
	go_to_desk(&f);
	record_handle(&f, 0, bytes, SIZE - 10);
	handoff__record_sent(&f.at, SIZE - 30);
	record_handle(&f, 0, bytes, 500);
	handoff__desk_clear(&f.view);
	assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 2);
	assert_ptr_equal(iov[0].iov_base, f.view.tx + SIZE - 30);
	assert_int_equal(iov[0].iov_len, 30);
	assert_memory_equal(iov[0].iov_base, bytes + SIZE - 30, 20);
	assert_memory_equal(f.view.tx + SIZE - 10, bytes, 10);
	assert_int_equal(iov[1].iov_len, 490);
	assert_memory_equal(iov[1].iov_base, bytes + 10, 490);
	record_close(&f);
}

/* Whoever clears the desk dies before that is true; a survivor does it. */
static void
clearing_may_be_done_again(void **state)
{
	struct fixture f;
	uint32_t word;

	(void)state;
	record_open(&f, 0);
	go_to_desk(&f);
	record_receive(&f, "half a requ", 11);
	word = f.rec->desk;
	handoff__desk_clear(&f.view);
	memset(f.view.rx + 4, '-', 7); /* it did not get that far */
	f.rec->desk = word;
	handoff__desk_clear(&f.view);
	assert_int_equal(handoff__desk_of(f.rec), 0);
	record_assert_input(&f, "half a requ");
	/* And once there is no desk, nothing is copied. */
	memset(f.at.rx, '-', 11);
	handoff__desk_clear(&f.view);
	record_assert_input(&f, "half a requ");
	record_close(&f);
}

static void
every_change_is_seen(void **state)
{
	struct fixture f;
	uint32_t seen[4];

	(void)state;
	record_open(&f, 0);
	for (int i = 0; i < 4; i++) {
		seen[i] = f.rec->desk;
		handoff__desk_set(f.rec, i % 2 ? 0 : DESK);
		for (int k = 0; k <= i; k++)
			assert_int_not_equal(f.rec->desk, seen[k]);
		assert_int_equal(handoff__desk_of(f.rec), i % 2 ? 0 : DESK);
	}
	record_close(&f);
}

static void
desk_that_is_none_is_no_order(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	f.rec->desk = HANDOFF__DESKS;
	assert_true(handoff__record_ok(&f.view));
	f.rec->desk = HANDOFF__DESKS + 1;
	assert_false(handoff__record_ok(&f.view));
	handoff__desk_clear(&f.view);
	assert_int_equal(f.rec->touched, 0);
	record_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(each_worker_of_both_peers_has_its_own),
		handoff_test(segments_share_desks),
		handoff_test(what_is_finished_leaves_nothing),
		handoff_test(what_is_not_finished_is_kept),
		handoff_test(output_may_go_round_the_end),
		handoff_test(clearing_may_be_done_again),
		handoff_test(every_change_is_seen),
		handoff_test(desk_that_is_none_is_no_order),
	};

	return cmocka_run_group_tests_name("desk", tests, NULL, NULL);
}
