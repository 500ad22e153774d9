/* SPDX-License-Identifier: MIT */
/*
 * One record: where bytes go, what a transaction may do, what a damaged
 * record is told by. Long runs at random are in test_model.c.
 */
#include "support/support.h"

#include "record/handling.h"
#include "record/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SIZE 4096u /* of both buffers */

struct fixture {
	struct handoff__arena arena;
	struct handoff__view view;
	struct handoff__record *rec;
};

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

static void
open_record(struct fixture *f, uint32_t state_size)
{
	struct handoff__geometry geo;
	uint32_t segment, slot;

	handoff__arena_init(&f->arena);
	assert_int_equal(
		handoff__geometry_make(&geo, state_size, SIZE, SIZE), 0);
	assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	assert_int_equal(handoff__arena_alloc(
				 &f->arena, 1, always, NULL, &segment, &slot),
		0);
	handoff__view_make(&f->view, f->arena.segments[segment], slot);
	f->rec = f->view.rec;
	handoff__record_use_state(&f->view, state_size);
}

static void
close_record(struct fixture *f)
{
	handoff__arena_fini(&f->arena);
}

static size_t
room(const struct fixture *f)
{
	void *at;

	return handoff__record_rx_room(&f->view, &at);
}

/* As the socket would: at most what there is room for, in one piece. */
static void
receive(const struct fixture *f, const char *data, size_t len)
{
	void *at = NULL;

	assert_true(handoff__record_rx_room(&f->view, &at) >= len);
	memcpy(at, data, len);
	handoff__record_received(&f->view, len);
}

static void
receive_fill(const struct fixture *f, char byte, size_t len)
{
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, byte, len);
	receive(f, data, len);
	free(data);
}

/* A transaction that consumes and writes, and commits. */
static void
handle(const struct fixture *f, size_t consume, const char *out, size_t len)
{
	struct handoff_conn txn;

	handoff__txn_begin(&txn, &f->view);
	assert_int_equal(handoff_conn_consume(&txn, consume), 0);
	assert_int_equal(handoff_conn_write(&txn, out, len), len);
	handoff__txn_commit(&txn);
}

static void
assert_input(const struct fixture *f, const char *text)
{
	struct handoff_conn txn;
	const void *input;
	size_t len;

	handoff__txn_begin(&txn, &f->view);
	input = handoff_conn_input(&txn, &len);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(input, text, len);
	assert_int_equal(handoff__record_unread(f->rec), len);
}

static void
assert_output(const struct fixture *f, const char *text)
{
	struct iovec iov[2] = {{.iov_len = 0}, {.iov_len = 0}};
	int n = handoff__record_tx_pieces(&f->view, iov);
	size_t first = iov[0].iov_len;

	assert_int_equal(n, text[0] == '\0' ? 0 : iov[1].iov_len > 0 ? 2 : 1);
	assert_int_equal(first + iov[1].iov_len, strlen(text));
	assert_int_equal(handoff__record_unsent(f->rec), strlen(text));
	if (n > 0)
		assert_memory_equal(iov[0].iov_base, text, first);
	if (n > 1)
		assert_memory_equal(
			iov[1].iov_base, text + first, iov[1].iov_len);
}

static void
views_of_neighbours_are_apart(void **state)
{
	struct fixture f;
	const struct handoff__segment *seg;
	uint32_t last = HANDOFF__SLOTS - 1;
	struct handoff__view a, b, end;

	(void)state;
	open_record(&f, 17);
	seg = f.arena.segments[0];
	handoff__view_make(&a, seg, 0);
	handoff__view_make(&b, seg, 1);
	handoff__view_make(&end, seg, last);
	assert_ptr_equal(a.rec, handoff__arena_record(&f.arena, 0, 0));
	assert_int_equal((char *)b.rec - (char *)a.rec, seg->geo.stride);
	assert_int_equal(a.tx - a.rx, 2 * SIZE);
	assert_int_equal(b.rx - a.tx, SIZE);
	assert_true((char *)(end.rec + 1) <= (char *)a.rx);
	assert_ptr_equal(a.rx, seg->base + seg->geo.buffers);
	assert_ptr_equal(end.tx + SIZE, seg->base + seg->geo.desks);
	close_record(&f);
}

static void
fresh_record_is_empty(void **state)
{
	struct fixture f;
	struct iovec iov[2];

	(void)state;
	open_record(&f, 8);
	assert_true(handoff__record_ok(&f.view));
	assert_int_equal(room(&f), SIZE);
	assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 0);
	assert_int_equal(handoff__record_unread(f.rec), 0);
	assert_int_equal(handoff__record_unsent(f.rec), 0);
	assert_int_equal(handoff__record_commit(f.rec)->flags, 0);
	close_record(&f);
}

static void
handler_sees_what_was_received(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 0);
	receive(&f, "hello ", 6);
	receive(&f, "world", 5);
	assert_input(&f, "hello world");
	assert_int_equal(room(&f), SIZE - 11);
	handle(&f, 6, "x", 1);
	assert_input(&f, "world");
	assert_output(&f, "x");
	close_record(&f);
}

static void
consuming_more_than_there_is_is_refused(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	size_t len;

	(void)state;
	open_record(&f, 0);
	receive(&f, "abc", 3);
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_consume(&txn, 4), -EINVAL);
	assert_int_equal(handoff_conn_consume(&txn, SIZE_MAX), -EINVAL);
	handoff_conn_input(&txn, &len);
	assert_int_equal(len, 3);
	assert_int_equal(handoff_conn_consume(&txn, 2), 0);
	assert_int_equal(handoff_conn_consume(&txn, 2), -EINVAL);
	assert_int_equal(handoff_conn_consume(&txn, 1), 0);
	assert_int_equal(handoff_conn_consume(&txn, 0), 0);
	handoff__txn_commit(&txn);
	assert_input(&f, "");
	close_record(&f);
}

static void
input_is_bounded(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 0);
	receive_fill(&f, 'a', SIZE);
	assert_int_equal(room(&f), 0);
	assert_true(handoff__record_ok(&f.view));
	handle(&f, 1, "", 0);
	assert_int_equal(room(&f), 1);
	close_record(&f);
}

/* As much as a handler may wait for lies in one piece, wherever it began. */
static void
full_input_is_contiguous_from_anywhere(void **state)
{
	(void)state;
	for (size_t start = 1; start < SIZE; start += 97) {
		struct fixture f;
		struct handoff_conn txn;
		const char *input;
		size_t len;

		open_record(&f, 0);
		receive_fill(&f, 'x', SIZE);
		handle(&f, start, "", 0);
		receive_fill(&f, 'y', start);
		handoff__txn_begin(&txn, &f.view);
		input = handoff_conn_input(&txn, &len);
		assert_int_equal(len, SIZE);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(
				input[i], i < SIZE - start ? 'x' : 'y');
		assert_true(input + len <= (char *)f.view.tx);
		assert_true(handoff__record_ok(&f.view));
		close_record(&f);
	}
}

/* The end of the buffer is reached with input that nobody consumed yet: it
 * goes to the front, and what the former commit described stays. */
static void
input_moves_to_the_front_in_time(void **state)
{
	struct fixture f;
	uint32_t before;
	void *at;

	(void)state;
	open_record(&f, 0);
	receive_fill(&f, '-', SIZE);
	handle(&f, SIZE - 3, "", 0);
	receive(&f, "abc", 3);
	receive_fill(&f, '-', SIZE - 6);
	handle(&f, 3, "", 0);
	assert_int_equal(handoff__record_unread(f.rec), SIZE - 3);
	before = f.rec->sequence;
	assert_int_equal(handoff__record_rx_room(&f.view, &at), 3);
	assert_int_not_equal(f.rec->sequence, before);
	assert_ptr_equal(at, f.view.rx + SIZE - 3);
	assert_memory_equal(f.view.rx, "abc---", 6);
	assert_memory_equal(f.view.rx + SIZE, "abc---", 6);
	close_record(&f);
}

static void
output_is_bounded(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	char data[SIZE + 10];

	(void)state;
	open_record(&f, 0);
	memset(data, 'o', sizeof(data));
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_room(&txn), SIZE);
	assert_int_equal(handoff_conn_write(&txn, data, 10), 10);
	assert_int_equal(handoff_conn_room(&txn), SIZE - 10);
	assert_int_equal(
		handoff_conn_write(&txn, data, sizeof(data)), SIZE - 10);
	assert_int_equal(handoff_conn_room(&txn), 0);
	assert_int_equal(handoff_conn_write(&txn, data, 1), 0);
	assert_int_equal(handoff_conn_write(&txn, data, 0), 0);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__record_unsent(f.rec), SIZE);
	assert_true(handoff__record_ok(&f.view));
	close_record(&f);
}

static void
output_goes_round_the_ring(void **state)
{
	struct fixture f;
	struct iovec iov[2];
	char fill[SIZE - 4];

	(void)state;
	open_record(&f, 0);
	memset(fill, '-', sizeof(fill));
	handle(&f, 0, fill, sizeof(fill));
	handle(&f, 0, "ab", 2);
	handoff__record_sent(&f.view, sizeof(fill));
	handle(&f, 0, "cdefg", 5);
	assert_output(&f, "abcdefg");
	assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 2);
	assert_int_equal(iov[0].iov_len, 4);
	assert_int_equal(iov[1].iov_len, 3);
	handoff__record_sent(&f.view, 3);
	assert_output(&f, "defg");
	handoff__record_sent(&f.view, 1);
	assert_output(&f, "efg");
	handoff__record_sent(&f.view, 3);
	assert_output(&f, "");
	close_record(&f);
}

/* A quiet connection stays on one page of each buffer. */
static void
empty_buffers_begin_at_the_front_again(void **state)
{
	struct fixture f;
	struct iovec iov[2];
	void *at;

	(void)state;
	open_record(&f, 0);
	for (int i = 0; i < 10; i++) {
		assert_true(handoff__record_rx_room(&f.view, &at) > 0);
		assert_ptr_equal(at, f.view.rx);
		receive(&f, "0123456789", 10);
		handle(&f, 10, "abc", 3);
		assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 1);
		assert_ptr_equal(iov[0].iov_base, f.view.tx);
		handoff__record_sent(&f.view, 3);
	}
	assert_int_equal(f.rec->rx_head, 100);
	assert_int_equal(f.rec->tx_tail, 30);
	close_record(&f);
}

static void
room_is_asked_for_without_effect(void **state)
{
	struct fixture f;
	struct handoff__record before;

	(void)state;
	open_record(&f, 0);
	receive(&f, "abc", 3);
	handle(&f, 1, "", 0);
	before = *f.rec;
	assert_int_equal(room(&f), SIZE - 2);
	assert_int_equal(room(&f), SIZE - 2);
	assert_memory_equal(&before, f.rec, sizeof(before));
	close_record(&f);
}

/* All a handler can do, and then it fails. */
static void
without_a_commit_it_never_happened(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	struct handoff__commit before;
	char big[SIZE];

	(void)state;
	open_record(&f, 24);
	receive(&f, "input", 5);
	handoff__txn_begin(&txn, &f.view);
	memcpy(handoff_conn_state(&txn), "state", 6);
	assert_int_equal(handoff_conn_write(&txn, "output", 6), 6);
	handoff__txn_commit(&txn);
	before = *handoff__record_commit(f.rec);
	for (int i = 0; i < 3; i++) {
		handoff__txn_begin(&txn, &f.view);
		assert_string_equal(handoff_conn_state(&txn), "state");
		memset(handoff_conn_state(&txn), 0xff, 24);
		memset(big, 'z', sizeof(big));
		assert_int_equal(handoff_conn_consume(&txn, 5), 0);
		assert_int_equal(
			handoff_conn_write(&txn, big, sizeof(big)), SIZE - 6);
		handoff_conn_close(&txn);
		assert_memory_equal(
			&before, handoff__record_commit(f.rec), sizeof(before));
		assert_input(&f, "input");
		assert_output(&f, "output");
		assert_true(handoff__record_ok(&f.view));
	}
	handoff__txn_begin(&txn, &f.view);
	assert_string_equal(handoff_conn_state(&txn), "state");
	close_record(&f);
}

/* What is beyond the length is neither copied nor touched, and the length
 * changes with the state. */
static void
transaction_copies_what_is_in_use(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	char *own;

	(void)state;
	open_record(&f, 64);
	own = handoff__record_state(&f.view, 0);
	memset(own, 'o', 64);
	memset(own + 64, 's', 64);
	f.rec->commit[0].state_len = 10;
	handoff__txn_begin(&txn, &f.view);
	assert_ptr_equal(txn.state, own + 64);
	assert_memory_equal(txn.state, "oooooooooos", 11);
	assert_int_equal(handoff__record_flip(&f.view, 20), 0);
	assert_int_equal(handoff__record_commit(f.rec)->state_len, 20);
	handoff__txn_begin(&txn, &f.view);
	assert_memory_equal(own, "oooooooooossssssssssooo", 23);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__record_commit(f.rec)->state_len, 20);
	close_record(&f);
}

static void
state_longer_than_its_room_is_damage(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 64);
	assert_true(handoff__record_ok(&f.view));
	f.rec->commit[0].state_len = 65;
	assert_false(handoff__record_ok(&f.view));
	close_record(&f);
}

static void
state_is_kept_from_one_transaction_to_the_next(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 100);
	for (unsigned i = 0; i < 10; i++) {
		struct handoff_conn txn;
		unsigned char *s;

		handoff__txn_begin(&txn, &f.view);
		s = handoff_conn_state(&txn);
		assert_int_equal((uintptr_t)s % 16, 0);
		for (unsigned at = 0; at < 100; at++)
			assert_int_equal(s[at], at < i ? at + 1 : 0);
		s[i] = (unsigned char)(i + 1);
		handoff__txn_commit(&txn);
	}
	close_record(&f);
}

static void
states_do_not_reach_the_next_record(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	uint32_t segment, slot;
	struct handoff__record *next;

	(void)state;
	open_record(&f, HANDOFF__STATE_MAX);
	assert_int_equal(handoff__arena_alloc(
				 &f.arena, 2, always, NULL, &segment, &slot),
		0);
	next = handoff__arena_record(&f.arena, segment, slot);
	next->id = 42;
	for (int i = 0; i < 2; i++) {
		handoff__txn_begin(&txn, &f.view);
		memset(handoff_conn_state(&txn), 0xee, HANDOFF__STATE_MAX);
		handoff__txn_commit(&txn);
	}
	assert_int_equal(next->owner, 2);
	assert_int_equal(next->id, 42);
	close_record(&f);
}

static void
service_without_state_has_none(void **state)
{
	struct fixture f;
	struct handoff_conn txn;

	(void)state;
	open_record(&f, 0);
	f.rec->id = 12;
	handoff__txn_begin(&txn, &f.view);
	assert_null(handoff_conn_state(&txn));
	assert_int_equal(handoff_conn_id(&txn), 12);
	handoff__txn_commit(&txn);
	close_record(&f);
}

static void
flags_add_up(void **state)
{
	struct fixture f;
	struct handoff_conn txn;

	(void)state;
	open_record(&f, 16);
	receive(&f, "in", 2);
	handle(&f, 1, "out", 3);
	handoff__txn_begin(&txn, &f.view);
	assert_false(handoff_conn_eof(&txn));
	handoff__record_flag(&f.view, HANDOFF__EOF);
	handoff__record_flag(&f.view, HANDOFF__OPENED);
	assert_int_equal(handoff__record_commit(f.rec)->flags,
		HANDOFF__EOF | HANDOFF__OPENED);
	handoff__txn_begin(&txn, &f.view);
	assert_true(handoff_conn_eof(&txn));
	handoff_conn_close(&txn);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__record_commit(f.rec)->flags,
		HANDOFF__EOF | HANDOFF__OPENED | HANDOFF__CLOSING);
	assert_input(&f, "n");
	assert_output(&f, "out");
	close_record(&f);
}

static void
discarded_input_is_consumed(void **state)
{
	struct fixture f;
	void *at;

	(void)state;
	open_record(&f, 0);
	receive(&f, "input", 5);
	handle(&f, 2, "out", 3);
	handoff__record_discard(&f.view);
	assert_input(&f, "");
	assert_output(&f, "out");
	assert_int_equal(handoff__record_rx_room(&f.view, &at), SIZE);
	assert_ptr_equal(at, f.view.rx);
	assert_int_equal(handoff__record_commit(f.rec)->rx_tail, 5);
	receive(&f, "more", 4);
	assert_input(&f, "more");
	close_record(&f);
}

/* Damages one field of a sound record with input, output and origins that
 * are not 0. */
typedef void damage_fn(
	struct handoff__record *rec, struct handoff__commit *current);

static void
consumed_more_than_received(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->rx_tail = rec->rx_head + 1;
}

static void
holds_more_input_than_fits(
	struct handoff__record *rec, struct handoff__commit *c)
{
	rec->rx_head = c->rx_tail + SIZE + 1;
}

static void
input_begins_after_its_tail(
	struct handoff__record *rec, struct handoff__commit *c)
{
	(void)rec;
	c->rx_origin = c->rx_tail + 1;
}

static void
input_ends_behind_its_buffer(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->rx_origin = rec->rx_head - 2 * SIZE - 1;
}

static void
sent_more_than_produced(struct handoff__record *rec, struct handoff__commit *c)
{
	rec->tx_tail = c->tx_head + 1;
}

static void
holds_more_output_than_fits(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->tx_head = rec->tx_tail + SIZE + 1;
}

static void
output_begins_after_its_tail(
	struct handoff__record *rec, struct handoff__commit *c)
{
	c->tx_origin = rec->tx_tail + 1;
}

static void
means_the_other_commit(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->sequence += 1;
}

static void
means_a_commit_of_another_turn(
	struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->sequence += 2;
}

static void
received_nothing(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->rx_head = 0;
}

static void
received_all_there_is(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)c;
	rec->rx_head = UINT64_MAX;
}

static void
produced_nothing(struct handoff__record *rec, struct handoff__commit *c)
{
	(void)rec;
	c->tx_head = 0;
}

static void
is_about_to_wrap(struct handoff__record *rec, struct handoff__commit *c)
{
	rec->rx_head += UINT64_C(1) << 63;
	c->rx_tail += UINT64_C(1) << 63;
	c->rx_origin += UINT64_C(1) << 63;
}

static void
damaged_record_is_not_ok(void **state)
{
	static damage_fn *const damages[] = {consumed_more_than_received,
		holds_more_input_than_fits, input_begins_after_its_tail,
		input_ends_behind_its_buffer, sent_more_than_produced,
		holds_more_output_than_fits, output_begins_after_its_tail,
		means_the_other_commit, means_a_commit_of_another_turn,
		received_nothing, received_all_there_is, produced_nothing,
		is_about_to_wrap};

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct fixture f;
		struct handoff__record before;

		open_record(&f, 0);
		receive_fill(&f, 'i', SIZE);
		handle(&f, SIZE, "0123456789", 10);
		receive_fill(&f, 'i', SIZE);
		handoff__record_sent(&f.view, 10);
		handle(&f, 10, "abcdef", 6);
		handoff__record_sent(&f.view, 2);
		/* Far enough from 0 for every damage to be one. */
		f.rec->commit[0].rx_origin += 3 * SIZE;
		f.rec->commit[0].rx_tail += 3 * SIZE;
		f.rec->commit[1].rx_origin += 3 * SIZE;
		f.rec->commit[1].rx_tail += 3 * SIZE;
		f.rec->rx_head += 3 * SIZE;
		assert_true(handoff__record_ok(&f.view));
		before = *f.rec;
		damages[i](f.rec, &f.rec->commit[f.rec->sequence & 1]);
		if (handoff__record_ok(&f.view))
			fail_msg("damage %zu was not seen", i);
		*f.rec = before;
		assert_true(handoff__record_ok(&f.view));
		close_record(&f);
	}
}

/* The owner died between recv or send and noting it: the kernel knows. */
static void
stale_positions_are_repaired(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 0);
	f.rec->rx_base = 1000;
	f.rec->tx_base = 500;
	f.rec->rx_head = 1000;
	f.rec->tx_tail = 500;
	for (int i = 0; i < 2; i++)
		f.rec->commit[i] = (struct handoff__commit){.rx_tail = 1000,
			.rx_origin = 1000,
			.tx_head = 500,
			.tx_origin = 500};
	receive(&f, "abc", 3);
	handle(&f, 1, "0123", 4);
	handoff__record_sent(&f.view, 1);
	assert_int_equal(handoff__record_repair(&f.view, 3, 1), 0);
	memcpy(f.view.rx + 3, "de", 2); /* read, and never noted */
	assert_int_equal(handoff__record_repair(&f.view, 5, 1), 1);
	assert_input(&f, "bcde");
	assert_output(&f, "123");
	assert_int_equal(handoff__record_repair(&f.view, 5, 4), 1);
	assert_input(&f, "bcde");
	assert_output(&f, "");
	assert_int_equal(handoff__record_repair(&f.view, 5, 4), 0);
	close_record(&f);
}

static void
impossible_repair_is_refused(void **state)
{
	static const uint64_t impossible[][2] = {{2, 1}, {0, 1}, {3, 0}, {3, 5},
		{3, UINT64_MAX}, {UINT64_MAX, 1}, {SIZE + 2, 1}};
	struct fixture f;
	struct handoff__record before;

	(void)state;
	open_record(&f, 0);
	receive(&f, "abc", 3);
	handle(&f, 1, "0123", 4);
	handoff__record_sent(&f.view, 1);
	before = *f.rec;
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
		assert_int_equal(handoff__record_repair(&f.view,
					 impossible[i][0], impossible[i][1]),
			-ERANGE);
	assert_memory_equal(&before, f.rec, sizeof(before));
	/* The most that there was room for. */
	assert_int_equal(handoff__record_repair(&f.view, SIZE + 1, 4), 1);
	assert_int_equal(room(&f), 0);
	close_record(&f);
}

/* The record says that input lies so far up in its buffer that what the
 * kernel says was read after it can't have been put there. */
static void
repair_stays_within_the_buffer(void **state)
{
	struct fixture f;
	struct handoff__commit *c;

	(void)state;
	open_record(&f, 0);
	receive(&f, "abc", 3);
	f.rec->rx_head += 2 * SIZE;
	c = &f.rec->commit[f.rec->sequence & 1];
	c->rx_tail = 2 * SIZE;
	c->rx_origin = 3;
	assert_true(handoff__record_ok(&f.view));
	assert_int_equal(handoff__record_repair(&f.view, 2 * SIZE + 3, 0), 0);
	assert_int_equal(
		handoff__record_repair(&f.view, 2 * SIZE + 4, 0), -ERANGE);
	assert_true(handoff__record_ok(&f.view));
	close_record(&f);
}

/* What only the spare commit says does not count. */
static void
spare_commit_may_be_anything(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 0);
	receive(&f, "abc", 3);
	handle(&f, 1, "xy", 2);
	memset(&f.rec->commit[(f.rec->sequence & 1) ^ 1], 0xff,
		sizeof(struct handoff__commit));
	assert_true(handoff__record_ok(&f.view));
	assert_output(&f, "xy");
	assert_input(&f, "bc");
	close_record(&f);
}

static void
name_is_kept(void **state)
{
	struct fixture f;
	char name[HANDOFF_ADDRESS_MAX], longest[HANDOFF_ADDRESS_MAX + 8];

	(void)state;
	open_record(&f, 0);
	handoff__record_set_name(&f.view, "127.0.0.1:7000");
	assert_int_equal(handoff__record_name(&f.view, name), 0);
	assert_string_equal(name, "127.0.0.1:7000");
	assert_true(handoff__record_ok(&f.view));
	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	handoff__record_set_name(&f.view, longest);
	assert_int_equal(handoff__record_name(&f.view, name), 0);
	assert_int_equal(strlen(name), HANDOFF_ADDRESS_MAX - 1);
	assert_memory_equal(name, longest, HANDOFF_ADDRESS_MAX - 1);
	close_record(&f);
}

/* A page for each of thousands would hold a zero byte and nothing else. */
static void
nameless_connection_takes_no_page(void **state)
{
	struct fixture f;
	char name[HANDOFF_ADDRESS_MAX];
	struct stat before, after;

	(void)state;
	open_record(&f, 0);
	f.rec->kind = HANDOFF__CONNECTION;
	assert_int_equal(fstat(f.view.seg->fd, &before), 0);
	handoff__record_set_name(&f.view, "");
	assert_int_equal(fstat(f.view.seg->fd, &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(f.rec->touched, 0);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	/* Else it is to be cleared with the record. */
	handoff__record_set_name(&f.view, "a");
	assert_int_equal(f.rec->touched, 1);
	assert_int_equal(handoff__record_name(&f.view, name), 0);
	close_record(&f);
}

static void
name_that_is_none_is_refused(void **state)
{
	struct fixture f;
	char name[HANDOFF_ADDRESS_MAX];

	(void)state;
	open_record(&f, 0);
	/* The buffer may hold what a former entry left there. */
	memcpy(f.view.rx, "secret", 7);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	handoff__record_set_name(&f.view, "a");
	atomic_store(&f.rec->rx_head, HANDOFF_ADDRESS_MAX + 1);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	atomic_store(&f.rec->rx_head, 6);
	memset(f.view.rx, 'x', HANDOFF_ADDRESS_MAX);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	close_record(&f);
}

/* Only a death under the mark counts, each once, and a return clears all. */
static void
deaths_under_the_mark_are_counted(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 0);
	assert_false(handoff__handler_died(f.rec));
	for (uint32_t n = 1; n <= 3; n++) {
		handoff__handler_enter(f.rec);
		assert_int_equal(handoff__handler_deaths(f.rec), n - 1);
		assert_true(handoff__handler_died(f.rec));
		assert_false(handoff__handler_died(f.rec));
		assert_int_equal(handoff__handler_deaths(f.rec), n);
	}
	handoff__handler_enter(f.rec);
	handoff__handler_absolve(f.rec);
	assert_false(handoff__handler_died(f.rec));
	assert_int_equal(handoff__handler_deaths(f.rec), 3);
	handoff__handler_enter(f.rec);
	handoff__handler_leave(f.rec);
	assert_false(handoff__handler_died(f.rec));
	assert_int_equal(handoff__handler_deaths(f.rec), 0);
	close_record(&f);
}

/* However many: the count never runs into the mark, or back to none. */
static void
count_of_deaths_has_an_end(void **state)
{
	struct fixture f;

	(void)state;
	open_record(&f, 0);
	for (int i = 0; i < 1000; i++) {
		handoff__handler_enter(f.rec);
		assert_true(handoff__handler_died(f.rec));
	}
	assert_int_equal(handoff__handler_deaths(f.rec), HANDOFF__DEATHS_MASK);
	assert_false(handoff__handler_died(f.rec));
	close_record(&f);
}

/* It goes along when a record is moved to another one, the mark does not: who
 * moves it runs no handler. */
static void
filled_record_has_the_deaths_of_the_old(void **state)
{
	struct fixture from, to;
	struct handoff__snapshot snap;
	unsigned char bytes[2 * SIZE];

	(void)state;
	open_record(&from, 0);
	open_record(&to, 0);
	from.rec->id = 1;
	handoff__handler_enter(from.rec);
	assert_true(handoff__handler_died(from.rec));
	handoff__handler_enter(from.rec);
	assert_true(
		handoff__snapshot_take(&snap, &from.view, NULL, bytes, SIZE));
	handoff__record_fill(&to.view, from.rec, &snap, bytes);
	assert_int_equal(handoff__handler_deaths(to.rec), 1);
	assert_false(handoff__handler_died(to.rec));
	close_record(&from);
	close_record(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(views_of_neighbours_are_apart),
		handoff_test(fresh_record_is_empty),
		handoff_test(handler_sees_what_was_received),
		handoff_test(consuming_more_than_there_is_is_refused),
		handoff_test(input_is_bounded),
		handoff_test(full_input_is_contiguous_from_anywhere),
		handoff_test(input_moves_to_the_front_in_time),
		handoff_test(output_is_bounded),
		handoff_test(output_goes_round_the_ring),
		handoff_test(empty_buffers_begin_at_the_front_again),
		handoff_test(room_is_asked_for_without_effect),
		handoff_test(without_a_commit_it_never_happened),
		handoff_test(transaction_copies_what_is_in_use),
		handoff_test(state_longer_than_its_room_is_damage),
		handoff_test(state_is_kept_from_one_transaction_to_the_next),
		handoff_test(states_do_not_reach_the_next_record),
		handoff_test(service_without_state_has_none),
		handoff_test(flags_add_up),
		handoff_test(discarded_input_is_consumed),
		handoff_test(damaged_record_is_not_ok),
		handoff_test(stale_positions_are_repaired),
		handoff_test(impossible_repair_is_refused),
		handoff_test(repair_stays_within_the_buffer),
		handoff_test(spare_commit_may_be_anything),
		handoff_test(name_is_kept),
		handoff_test(nameless_connection_takes_no_page),
		handoff_test(name_that_is_none_is_refused),
		handoff_test(deaths_under_the_mark_are_counted),
		handoff_test(count_of_deaths_has_an_end),
		handoff_test(filled_record_has_the_deaths_of_the_old),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
