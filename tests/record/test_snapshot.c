/* SPDX-License-Identifier: MIT */
/*
 * Copies of records: quiescent, in the middle of a transaction, damaged, and
 * while a thread changes them as fast as it can.
 */
#include "record/fixture.h"

#include "record/desk.h"
#include "record/snapshot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MOST   600
#define ROUNDS 50000

static struct fixture f;
static struct handoff__snapshot snap;
static unsigned char bytes[2 * SIZE];
static unsigned char states[HANDOFF__STATE_MAX];

static void
open_record(uint32_t state_size)
{
	memset(&snap, 0, sizeof(snap));
	memset(bytes, 0, sizeof(bytes));
	memset(states, 0, sizeof(states));
	record_open(&f, state_size);
	f.rec->id = 7;
	f.rec->kind = HANDOFF__CONNECTION;
}

/* Bytes of the two streams that are known by their positions. */
static unsigned char
in_byte(uint64_t position)
{
	return (unsigned char)(position * 2654435761u >> 13);
}

static unsigned char
out_byte(uint64_t position)
{
	return (unsigned char)(position * 2246822519u >> 11);
}

static void
receive(size_t len)
{
	void *at = NULL;

	if (len > handoff__record_rx_room(&f.at, &at))
		return;
	for (size_t i = 0; i < len; i++)
		((unsigned char *)at)[i] = in_byte(f.rec->rx_head + i);
	handoff__record_received(&f.view, len);
}

/* Of the state: two positions, and bytes that follow from them. */
static void
fill_state(unsigned char *state, uint64_t consumed, uint64_t produced)
{
	memcpy(state, &consumed, sizeof(consumed));
	memcpy(state + 8, &produced, sizeof(produced));
	for (uint32_t i = 16; i < f.view.seg->geo.state_size; i++)
		state[i] = (unsigned char)(consumed * 31 + produced * 7 + i);
}

/* Begins a transaction that consumes and writes and keeps the state true. */
static void
begin(struct handoff_conn *txn, size_t consume, size_t write)
{
	handoff__txn_begin(txn, &f.at);
	if (handoff_conn_consume(txn, consume) < 0)
		consume = 0;
	if (write > handoff_conn_room(txn))
		write = handoff_conn_room(txn);
	for (size_t i = 0; i < write; i++) {
		unsigned char c = out_byte(txn->next->tx_head);

		handoff_conn_write(txn, &c, 1);
	}
	if (f.view.seg->geo.state_size > 0)
		fill_state(handoff_conn_state(txn), txn->next->rx_tail,
			txn->next->tx_head);
}

static void
handle(size_t consume, size_t write)
{
	struct handoff_conn txn;

	begin(&txn, consume, write);
	handoff__txn_commit(&txn);
}

static bool
take(size_t most)
{
	return handoff__snapshot_take(&snap, &f.view,
		f.view.seg->geo.state_size > 0 ? states : NULL, bytes, most);
}

/* Everything in the copy belongs together, and is what `most` allows. */
static void
check(size_t most)
{
	const struct handoff__snapshot *s = &snap;
	static unsigned char expected[HANDOFF__STATE_MAX];
	uint64_t in = s->received - s->consumed, out = s->produced - s->sent;

	assert_false(s->unstable);
	assert_in_range(in, 0, SIZE);
	assert_in_range(out, 0, SIZE);
	assert_int_equal(s->in, in < most ? in : most);
	assert_int_equal(s->out, out < most ? out : most);
	for (uint32_t i = 0; i < s->in; i++)
		assert_int_equal(bytes[i], in_byte(s->consumed + i));
	for (uint32_t i = 0; i < s->out; i++)
		assert_int_equal(bytes[s->in + i], out_byte(s->sent + i));
	if (f.view.seg->geo.state_size == 0 || s->flags == 0)
		return;
	fill_state(expected, s->consumed, s->produced);
	assert_memory_equal(states, expected, f.view.seg->geo.state_size);
}

static void
assert_positions(
	uint64_t received, uint64_t consumed, uint64_t produced, uint64_t sent)
{
	assert_int_equal(snap.received, received);
	assert_int_equal(snap.consumed, consumed);
	assert_int_equal(snap.produced, produced);
	assert_int_equal(snap.sent, sent);
}

static void
all_is_copied(void **state)
{
	(void)state;
	open_record(40);
	receive(1000);
	handle(300, 500);
	handoff__record_sent(&f.view, 20);
	handoff__record_flag(&f.view, HANDOFF__OPENED | HANDOFF__EOF);
	handoff__record_mark(f.rec, HANDOFF__PENDING);
	assert_true(take(SIZE));
	assert_int_equal(snap.id, 7);
	assert_int_equal(snap.owner, 1);
	assert_int_equal(snap.kind, HANDOFF__CONNECTION);
	assert_int_equal(snap.activity, HANDOFF__PENDING);
	assert_int_equal(snap.flags, HANDOFF__OPENED | HANDOFF__EOF);
	assert_positions(1000, 300, 500, 20);
	assert_int_equal(snap.in, 700);
	assert_int_equal(snap.out, 480);
	check(SIZE);
	record_close(&f);
}

static void
only_so_many_bytes_are_copied(void **state)
{
	(void)state;
	open_record(0);
	receive(1000);
	handle(300, 500);
	memset(bytes, '-', sizeof(bytes));
	assert_true(take(100));
	assert_positions(1000, 300, 500, 0);
	check(100);
	assert_int_equal(bytes[200], '-');
	assert_true(take(0));
	assert_positions(1000, 300, 500, 0);
	check(0);
	record_close(&f);
}

/* The input has moved in its buffer and the output goes round its end. */
static void
bytes_are_found_wherever_they_lie(void **state)
{
	(void)state;
	open_record(0);
	for (int i = 0; i < 40; i++) {
		receive(SIZE - 700);
		handle(SIZE - 900, 600);
		assert_true(take(SIZE));
		check(SIZE);
		if (handoff__record_unsent(f.rec) > 300)
			handoff__record_sent(&f.view, 600);
	}
	assert_in_range(snap.consumed, 3 * SIZE, UINT32_MAX);
	assert_in_range(snap.produced, 3 * SIZE, UINT32_MAX);
	record_close(&f);
}

static void
go_to_desk(void)
{
	handoff__desk_buffers(&f.at, 1);
	handoff__desk_set(f.rec, 1);
}

static void
leave_desk(void)
{
	handoff__desk_clear(&f.view);
	f.at = f.view;
}

static void
bytes_are_found_on_a_desk(void **state)
{
	(void)state;
	open_record(0);
	go_to_desk();
	receive(1000);
	handle(300, 500);
	handoff__record_sent(&f.at, 20);
	assert_true(take(SIZE));
	assert_positions(1000, 300, 500, 20);
	check(SIZE);
	leave_desk();
	memset(f.arena.segments[0]->base + f.view.seg->geo.desks, '-',
		4 * SIZE);
	assert_true(take(SIZE));
	check(SIZE);
	f.rec->desk = HANDOFF__DESKS + 1;
	assert_true(take(SIZE));
	assert_true(snap.unstable);
	record_close(&f);
}

static void
transaction_that_runs_is_not_seen(void **state)
{
	struct handoff_conn txn;

	(void)state;
	open_record(4000);
	receive(100);
	handle(50, 60);
	handoff__record_flag(&f.view, HANDOFF__OPENED);
	begin(&txn, 30, 200);
	handoff_conn_close(&txn);
	assert_true(take(SIZE));
	assert_positions(100, 50, 60, 0);
	assert_int_equal(snap.flags, HANDOFF__OPENED);
	check(SIZE);
	handoff__txn_commit(&txn);
	assert_true(take(SIZE));
	assert_positions(100, 80, 260, 0);
	assert_int_equal(snap.flags, HANDOFF__OPENED | HANDOFF__CLOSING);
	check(SIZE);
	record_close(&f);
}

static void
name_is_the_input(void **state)
{
	(void)state;
	open_record(0);
	handoff__record_set_name(&f.view, "127.0.0.1:7000");
	assert_true(take(HANDOFF_ADDRESS_MAX));
	assert_int_equal(snap.in, sizeof("127.0.0.1:7000"));
	assert_string_equal((char *)bytes, "127.0.0.1:7000");
	record_close(&f);
}

static void
free_record_is_none(void **state)
{
	(void)state;
	open_record(0);
	atomic_store(&f.rec->owner, 0);
	assert_false(take(SIZE));
	/* One that is just being claimed. */
	atomic_store(&f.rec->owner, 2);
	f.rec->id = 0;
	assert_false(take(SIZE));
	f.rec->id = 8;
	assert_true(take(SIZE));
	assert_int_equal(snap.owner, 2);
	record_close(&f);
}

static void
record_of_a_batch_is_elsewhere(void **state)
{
	(void)state;
	open_record(0);
	f.rec->id = 8;
	atomic_store(&f.rec->owner, handoff__owner_elsewhere(0));
	assert_true(take(SIZE));
	assert_int_equal(snap.owner, HANDOFF__ELSEWHERE);
	atomic_store(&f.rec->owner, handoff__owner_elsewhere(41));
	assert_true(take(SIZE));
	assert_int_equal(snap.owner, HANDOFF__ELSEWHERE);
	assert_false(snap.unstable);
	record_close(&f);
}

/* As long as it is in use; and no longer than its room, whatever is said. */
static void
state_is_copied_as_far_as_it_is_in_use(void **state)
{
	unsigned char copy[80];

	(void)state;
	open_record(64);
	memset(handoff__record_state(&f.view, 0), 'u', 64);
	for (uint32_t len = 0; len <= 65; len += 13) {
		uint32_t whole = len < 64 ? len : 64;

		f.rec->commit[0].state_len = len;
		memset(copy, '-', sizeof(copy));
		assert_true(handoff__snapshot_take(
			&snap, &f.view, copy, bytes, MOST));
		assert_int_equal(snap.unstable, len > 64);
		assert_int_equal(snap.state_len, whole);
		for (uint32_t i = 0; i < sizeof(copy); i++)
			assert_int_equal(copy[i], i < whole ? 'u' : '-');
	}
	record_close(&f);
}

static void
damaged_record_is_told_and_harms_nothing(void **state)
{
	(void)state;
	open_record(40);
	receive(100);
	handle(50, 60);
	f.rec->commit[f.rec->sequence & 1].rx_tail = UINT64_MAX / 4;
	assert_true(take(SIZE));
	assert_true(snap.unstable);
	assert_int_equal(snap.consumed, UINT64_MAX / 4);
	assert_int_equal(snap.in + snap.out, 0);
	memset(f.rec->commit, 0xa5, sizeof(f.rec->commit));
	assert_true(take(SIZE));
	assert_true(snap.unstable);
	assert_int_equal(snap.in + snap.out, 0);
	record_close(&f);
	open_record(40);
	receive(100);
	f.rec->sequence = 0x5a5a5a5a; /* means a commit of another turn */
	assert_true(take(SIZE));
	assert_true(snap.unstable);
	record_close(&f);
}

static atomic_bool over;
static _Atomic uint64_t worked;

/* A connection in use, as fast as it goes; on a desk, if `arg` is not NULL,
 * whenever its buffers are empty. Somebody else has that afterwards. */
static void *
work(void *arg)
{
	unsigned random = 1;

	for (; !over; worked++) {
		size_t a, b;

		if (f.at.rx != f.view.rx) {
			leave_desk();
			memset(f.arena.segments[0]->base +
					f.view.seg->geo.desks,
				'-', MOST);
			memset(f.arena.segments[0]->base +
					f.view.seg->geo.desks + 2 * SIZE,
				'-', MOST);
		} else if (arg && handoff__record_unread(f.rec) == 0 &&
			   handoff__record_unsent(f.rec) == 0) {
			go_to_desk();
		}

		random = random * 1103515245u + 12345u;
		a = random >> 8 & 511;
		b = random >> 17 & 511;
		receive(a);
		if (random >> 28 == 0)
			handoff__record_discard(&f.view);
		/* What is written next lies where this has been. */
		if (random >> 31)
			b = (size_t)handoff__record_unsent(f.rec);
		if (b <= handoff__record_unsent(f.rec))
			handoff__record_sent(&f.view, b);
		/* A turn without a transaction, or one that empties all. */
		if (arg && random >> 30 == 0)
			continue;
		if (arg && random >> 30 == 1)
			b = (size_t)handoff__record_unread(f.rec);
		handle(b < handoff__record_unread(f.rec) ? b : 0, a);
	}
	return NULL;
}

/* Its transactions keep the state true apart from those that run no handler:
 * they leave what it says of the input behind. */
static void
check_state_alone(void)
{
	static unsigned char expected[HANDOFF__STATE_MAX];
	uint64_t consumed, produced;

	if (f.view.seg->geo.state_size == 0)
		return;
	memcpy(&consumed, states, sizeof(consumed));
	memcpy(&produced, states + 8, sizeof(produced));
	fill_state(expected, consumed, produced);
	assert_memory_equal(states, expected, f.view.seg->geo.state_size);
	assert_int_equal(produced, snap.produced);
	assert_in_range(consumed, 0, snap.consumed);
}

static void
copy_while_in_use(void *desk)
{
	static const uint32_t sizes[] = {0, 16, 400, 6000};
	unsigned buffered = 0, unstable = 0;
	pthread_t thread;

	support_not_in_valgrind();
	for (int n = 0; n < 4; n++) {
		uint64_t moved = 0, last = 0;

		open_record(sizes[n]);
		handle(0, 0);
		over = false;
		worked = 0;
		assert_int_equal(pthread_create(&thread, NULL, work, desk), 0);
		for (unsigned i = 0; i < ROUNDS || moved < 500; i++) {
			assert_true(take(MOST));
			if (snap.unstable) {
				unstable++;
				continue;
			}
			check(MOST);
			check_state_alone();
			assert_true(snap.produced >= last);
			moved += snap.produced > last;
			last = snap.produced;
			buffered += snap.in > 0 && snap.out > 0;
		}
		over = true;
		pthread_join(thread, NULL);
		record_close(&f);
	}
	assert_in_range(buffered, 500, UINT32_MAX);
	/* It writes without a pause: hardly any copy takes all its tries. */
	assert_in_range(unstable, 0, 4 * ROUNDS / 10);
}

static void
copies_of_a_record_in_use_are_exact(void **state)
{
	(void)state;
	copy_while_in_use(NULL);
}

static void
copies_of_a_record_on_a_desk_are_exact(void **state)
{
	(void)state;
	copy_while_in_use(&f);
}

static void
spin(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		atomic_signal_fence(memory_order_seq_cst);
}

/* Input comes to lie on a desk and is put away, and somebody else has that,
 * all of it without a transaction. */
static void *
come_and_go(void *arg)
{
	(void)arg;
	for (; !over; worked++) {
		go_to_desk();
		receive(100);
		spin(1000);
		leave_desk();
		memset(f.arena.segments[0]->base + f.view.seg->geo.desks, '-',
			MOST);
		spin(5000);
		handoff__record_discard(&f.view);
	}
	return NULL;
}

static void
bytes_on_a_desk_are_not_taken_for_others(void **state)
{
	pthread_t thread;
	unsigned buffered = 0;

	(void)state;
	support_not_in_valgrind();
	/* Copying the state takes long: much happens meanwhile. */
	open_record(HANDOFF__STATE_PLAIN);
	over = false;
	worked = 0;
	assert_int_equal(pthread_create(&thread, NULL, come_and_go, NULL), 0);
	while (buffered < 2000 || worked < 2000) {
		assert_true(take(MOST));
		if (snap.unstable)
			continue;
		check(MOST);
		buffered += snap.in > 0;
	}
	over = true;
	pthread_join(thread, NULL);
	record_close(&f);
}

/* Commits faster than anyone can copy the state. */
static void *
commit(void *arg)
{
	(void)arg;
	for (uint32_t sequence = 1; !over; sequence++) {
		f.rec->commit[sequence & 1].sequence = sequence;
		atomic_store(&f.rec->sequence, sequence);
	}
	return NULL;
}

static void
record_that_never_holds_still_is_told(void **state)
{
	pthread_t thread;

	(void)state;
	support_not_in_valgrind();
	open_record(HANDOFF__STATE_PLAIN);
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, commit, NULL), 0);
	do
		assert_true(take(SIZE));
	while (!snap.unstable);
	over = true;
	pthread_join(thread, NULL);
	record_close(&f);
}

/* The mark of a handler that runs, and the deaths under it, go along. */
static void
deaths_in_the_handler_are_seen(void **state)
{
	(void)state;
	open_record(0);
	assert_true(handoff__snapshot_take(&snap, &f.view, NULL, bytes, MOST));
	assert_false(snap.handling);
	assert_int_equal(snap.deaths, 0);
	handoff__handler_enter(f.rec);
	assert_true(handoff__handler_died(f.rec));
	handoff__handler_enter(f.rec);
	assert_true(handoff__snapshot_take(&snap, &f.view, NULL, bytes, MOST));
	assert_true(snap.handling);
	assert_int_equal(snap.deaths, 1);
	record_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(all_is_copied),
		handoff_test(only_so_many_bytes_are_copied),
		handoff_test(bytes_are_found_wherever_they_lie),
		handoff_test(transaction_that_runs_is_not_seen),
		handoff_test(name_is_the_input),
		handoff_test(free_record_is_none),
		handoff_test(record_of_a_batch_is_elsewhere),
		handoff_test(state_is_copied_as_far_as_it_is_in_use),
		handoff_test(damaged_record_is_told_and_harms_nothing),
		handoff_test(bytes_are_found_on_a_desk),
		handoff_test(copies_of_a_record_in_use_are_exact),
		handoff_test(copies_of_a_record_on_a_desk_are_exact),
		handoff_test(bytes_on_a_desk_are_not_taken_for_others),
		handoff_test(record_that_never_holds_still_is_told),
		handoff_test(deaths_in_the_handler_are_seen),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
