/* SPDX-License-Identifier: MIT */
/*
 * One record: where bytes go, what a transaction may do, its id, and the deaths
 * that it counts. Long random runs are in test_model.c, damaged records in
 * test_damage.c.
 */
#include "record/fixture.h"

#include "record/handling.h"
#include "record/snapshot.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static void
views_of_neighbours_are_apart(void **state)
{
	struct fixture f;
	const struct handoff__segment *seg;
	uint32_t last = HANDOFF__SLOTS - 1;
	struct handoff__view a, b, end;

	(void)state;
	record_open(&f, 17);
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
	record_close(&f);
}

static void
fresh_record_is_empty(void **state)
{
	struct fixture f;
	struct iovec iov[2];

	(void)state;
	record_open(&f, 8);
	assert_true(handoff__record_ok(&f.view));
	assert_int_equal(record_room(&f), SIZE);
	assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 0);
	assert_int_equal(handoff__record_unread(f.rec), 0);
	assert_int_equal(handoff__record_unsent(f.rec), 0);
	assert_int_equal(handoff__record_commit(f.rec)->flags, 0);
	record_close(&f);
}

static void
handler_sees_what_was_received(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "hello ", 6);
	record_receive(&f, "world", 5);
	record_assert_input(&f, "hello world");
	assert_int_equal(record_room(&f), SIZE - 11);
	record_handle(&f, 6, "x", 1);
	record_assert_input(&f, "world");
	record_assert_output(&f, "x");
	record_close(&f);
}

static void
consuming_more_than_there_is_is_refused(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	size_t len;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "abc", 3);
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
	record_assert_input(&f, "");
	record_close(&f);
}

static void
input_is_bounded(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	record_receive_fill(&f, 'a', SIZE);
	assert_int_equal(record_room(&f), 0);
	assert_true(handoff__record_ok(&f.view));
	record_handle(&f, 1, "", 0);
	assert_int_equal(record_room(&f), 1);
	record_close(&f);
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

		record_open(&f, 0);
		record_receive_fill(&f, 'x', SIZE);
		record_handle(&f, start, "", 0);
		record_receive_fill(&f, 'y', start);
		handoff__txn_begin(&txn, &f.view);
		input = handoff_conn_input(&txn, &len);
		assert_int_equal(len, SIZE);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(
				input[i], i < SIZE - start ? 'x' : 'y');
		assert_true(input + len <= (char *)f.view.tx);
		assert_true(handoff__record_ok(&f.view));
		record_close(&f);
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
	record_open(&f, 0);
	record_receive_fill(&f, '-', SIZE);
	record_handle(&f, SIZE - 3, "", 0);
	record_receive(&f, "abc", 3);
	record_receive_fill(&f, '-', SIZE - 6);
	record_handle(&f, 3, "", 0);
	assert_int_equal(handoff__record_unread(f.rec), SIZE - 3);
	before = f.rec->sequence;
	assert_int_equal(handoff__record_rx_room(&f.view, &at), 3);
	assert_int_not_equal(f.rec->sequence, before);
	assert_ptr_equal(at, f.view.rx + SIZE - 3);
	assert_memory_equal(f.view.rx, "abc---", 6);
	assert_memory_equal(f.view.rx + SIZE, "abc---", 6);
	record_close(&f);
}

static void
output_is_bounded(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	char data[SIZE + 10];

	(void)state;
	record_open(&f, 0);
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
	record_close(&f);
}

static void
output_goes_round_the_ring(void **state)
{
	struct fixture f;
	struct iovec iov[2];
	char fill[SIZE - 4];

	(void)state;
	record_open(&f, 0);
	memset(fill, '-', sizeof(fill));
	record_handle(&f, 0, fill, sizeof(fill));
	record_handle(&f, 0, "ab", 2);
	handoff__record_sent(&f.view, sizeof(fill));
	record_handle(&f, 0, "cdefg", 5);
	record_assert_output(&f, "abcdefg");
	assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 2);
	assert_int_equal(iov[0].iov_len, 4);
	assert_int_equal(iov[1].iov_len, 3);
	handoff__record_sent(&f.view, 3);
	record_assert_output(&f, "defg");
	handoff__record_sent(&f.view, 1);
	record_assert_output(&f, "efg");
	handoff__record_sent(&f.view, 3);
	record_assert_output(&f, "");
	record_close(&f);
}

/* A quiet connection stays on one page of each buffer. */
static void
empty_buffers_begin_at_the_front_again(void **state)
{
	struct fixture f;
	struct iovec iov[2];
	void *at;

	(void)state;
	record_open(&f, 0);
	for (int i = 0; i < 10; i++) {
		assert_true(handoff__record_rx_room(&f.view, &at) > 0);
		assert_ptr_equal(at, f.view.rx);
		record_receive(&f, "0123456789", 10);
		record_handle(&f, 10, "abc", 3);
		assert_int_equal(handoff__record_tx_pieces(&f.view, iov), 1);
		assert_ptr_equal(iov[0].iov_base, f.view.tx);
		handoff__record_sent(&f.view, 3);
	}
	assert_int_equal(f.rec->rx_head, 100);
	assert_int_equal(f.rec->tx_tail, 30);
	record_close(&f);
}

static void
room_is_asked_for_without_effect(void **state)
{
	struct fixture f;
	struct handoff__record before;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "abc", 3);
	record_handle(&f, 1, "", 0);
	before = *f.rec;
	assert_int_equal(record_room(&f), SIZE - 2);
	assert_int_equal(record_room(&f), SIZE - 2);
	assert_memory_equal(&before, f.rec, sizeof(before));
	record_close(&f);
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
	record_open(&f, 24);
	record_receive(&f, "input", 5);
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
		record_assert_input(&f, "input");
		record_assert_output(&f, "output");
		assert_true(handoff__record_ok(&f.view));
	}
	handoff__txn_begin(&txn, &f.view);
	assert_string_equal(handoff_conn_state(&txn), "state");
	record_close(&f);
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
	record_open(&f, 64);
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
	record_close(&f);
}

static void
state_is_kept_from_one_transaction_to_the_next(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 100);
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
	record_close(&f);
}

static void
states_do_not_reach_the_next_record(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	uint32_t segment, slot;
	struct handoff__record *next;

	(void)state;
	record_open(&f, HANDOFF__STATE_MAX);
	assert_int_equal(handoff__arena_alloc(&f.arena, 2, record_always, NULL,
				 &segment, &slot),
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
	record_close(&f);
}

static void
service_without_state_has_none(void **state)
{
	struct fixture f;
	struct handoff_conn txn;

	(void)state;
	record_open(&f, 0);
	f.rec->id = 12;
	handoff__txn_begin(&txn, &f.view);
	assert_null(handoff_conn_state(&txn));
	assert_int_equal(handoff_conn_id(&txn), 12);
	handoff__txn_commit(&txn);
	record_close(&f);
}

static void
flags_add_up(void **state)
{
	struct fixture f;
	struct handoff_conn txn;

	(void)state;
	record_open(&f, 16);
	record_receive(&f, "in", 2);
	record_handle(&f, 1, "out", 3);
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
	record_assert_input(&f, "n");
	record_assert_output(&f, "out");
	record_close(&f);
}

static void
discarded_input_is_consumed(void **state)
{
	struct fixture f;
	void *at;

	(void)state;
	record_open(&f, 0);
	record_receive(&f, "input", 5);
	record_handle(&f, 2, "out", 3);
	handoff__record_discard(&f.view);
	record_assert_input(&f, "");
	record_assert_output(&f, "out");
	assert_int_equal(handoff__record_rx_room(&f.view, &at), SIZE);
	assert_ptr_equal(at, f.view.rx);
	assert_int_equal(handoff__record_commit(f.rec)->rx_tail, 5);
	record_receive(&f, "more", 4);
	record_assert_input(&f, "more");
	record_close(&f);
}

static void
name_is_kept(void **state)
{
	struct fixture f;
	char name[HANDOFF_ADDRESS_MAX], longest[HANDOFF_ADDRESS_MAX + 8];

	(void)state;
	record_open(&f, 0);
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
	record_close(&f);
}

/* A page for each of thousands would hold a zero byte and nothing else. */
static void
nameless_connection_takes_no_page(void **state)
{
	struct fixture f;
	char name[HANDOFF_ADDRESS_MAX];
	struct stat before, after;

	(void)state;
	record_open(&f, 0);
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
	record_close(&f);
}

static void
name_that_is_none_is_refused(void **state)
{
	struct fixture f;
	char name[HANDOFF_ADDRESS_MAX];

	(void)state;
	record_open(&f, 0);
	/* The buffer may hold what a former entry left there. */
	memcpy(f.view.rx, "secret", 7);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	handoff__record_set_name(&f.view, "a");
	atomic_store(&f.rec->rx_head, HANDOFF_ADDRESS_MAX + 1);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	atomic_store(&f.rec->rx_head, 6);
	memset(f.view.rx, 'x', HANDOFF_ADDRESS_MAX);
	assert_int_equal(handoff__record_name(&f.view, name), -EBADMSG);
	record_close(&f);
}

/* Only a death under the mark counts, each once, and a return clears all. */
static void
deaths_under_the_mark_are_counted(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
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
	record_close(&f);
}

/* However many: the count never runs into the mark, or back to none. */
static void
count_of_deaths_has_an_end(void **state)
{
	struct fixture f;

	(void)state;
	record_open(&f, 0);
	for (int i = 0; i < 1000; i++) {
		handoff__handler_enter(f.rec);
		assert_true(handoff__handler_died(f.rec));
	}
	assert_int_equal(handoff__handler_deaths(f.rec), HANDOFF__DEATHS_MASK);
	assert_false(handoff__handler_died(f.rec));
	record_close(&f);
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
	record_open(&from, 0);
	record_open(&to, 0);
	from.rec->id = 1;
	handoff__handler_enter(from.rec);
	assert_true(handoff__handler_died(from.rec));
	handoff__handler_enter(from.rec);
	assert_true(
		handoff__snapshot_take(&snap, &from.view, NULL, bytes, SIZE));
	handoff__record_fill(&to.view, from.rec, &snap, bytes);
	assert_int_equal(handoff__handler_deaths(to.rec), 1);
	assert_false(handoff__handler_died(to.rec));
	record_close(&from);
	record_close(&to);
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
		handoff_test(state_is_kept_from_one_transaction_to_the_next),
		handoff_test(states_do_not_reach_the_next_record),
		handoff_test(service_without_state_has_none),
		handoff_test(flags_add_up),
		handoff_test(discarded_input_is_consumed),
		handoff_test(name_is_kept),
		handoff_test(nameless_connection_takes_no_page),
		handoff_test(name_that_is_none_is_refused),
		handoff_test(deaths_under_the_mark_are_counted),
		handoff_test(count_of_deaths_has_an_end),
		handoff_test(filled_record_has_the_deaths_of_the_old),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
