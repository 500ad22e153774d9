/* SPDX-License-Identifier: MIT */
/*
 * A record driven at random beside a model of it: four positions, the state,
 * and streams whose every byte is known by its position. Two peers that map
 * the same segment take turns. After each step all that the record describes
 * is compared; and at each point where a process may die, so is what the
 * commit of before describes.
 */
#include "support/support.h"

#include "record/desk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS  12
#define STEPS  6000
#define PERIOD 8191 /* of the pattern; prime, so no size divides it */
#define LONG   (PERIOD + 65536)
#define STATE  40

struct model {
	uint64_t rx_head, rx_tail, tx_head, tx_tail;
	unsigned char state[STATE];
	uint32_t flags;
};

/* What a run has seen: a run that never saw it proves nothing about it. */
struct seen {
	unsigned compactions, wraps, full_inputs, full_outputs, empty_inputs,
		empty_outputs, abandoned, trims, discards, desks, cleared,
		folded;
};

struct run {
	unsigned seed, step;
	uint64_t random;
	struct handoff__arena arenas[2];
	uint32_t slot;
	struct handoff__view view; /* of the peer whose turn it is */
	struct model model;
	struct seen seen;
};

static unsigned char rx_pattern[LONG], tx_pattern[LONG];

#define hold(run, what)                                                        \
	do {                                                                   \
		if (!(what))                                                   \
			fail_msg("seed %u, step %u: " #what, (run)->seed,      \
				(run)->step);                                  \
	} while (0)

/* xorshift64*, so that a seed means the same everywhere. */
static uint64_t
draw(struct run *run)
{
	run->random ^= run->random >> 12;
	run->random ^= run->random << 25;
	run->random ^= run->random >> 27;
	return run->random * UINT64_C(2685821657736338717);
}

/* 0 to most: often little, often all, and anything between. */
static size_t
draw_size(struct run *run, size_t most)
{
	uint64_t kind = draw(run) % 8;

	if (most == 0)
		return 0;
	if (kind < 3)
		return (size_t)(draw(run) % 16) % (most + 1);
	if (kind < 5)
		return most;
	return (size_t)(draw(run) % (most + 1));
}

static void
make_patterns(void)
{
	struct run run = {.random = 88172645463325252};

	for (int i = 0; i < LONG; i++) {
		rx_pattern[i] = i < PERIOD ? (unsigned char)(draw(&run) >> 32)
					   : rx_pattern[i - PERIOD];
		tx_pattern[i] = i < PERIOD ? (unsigned char)(draw(&run) >> 32)
					   : tx_pattern[i - PERIOD];
	}
}

static const unsigned char *
rx_bytes(uint64_t position)
{
	return rx_pattern + position % PERIOD;
}

static const unsigned char *
tx_bytes(uint64_t position)
{
	return tx_pattern + position % PERIOD;
}

static void
check_input(struct run *run, const struct model *m)
{
	const struct handoff__commit *c = handoff__record_commit(run->view.rec);
	size_t len = (size_t)(run->view.rec->rx_head - c->rx_tail);
	const unsigned char *at = run->view.rx + (c->rx_tail - c->rx_origin);

	hold(run, c->rx_tail == m->rx_tail);
	hold(run, run->view.rec->rx_head == m->rx_head);
	hold(run, at + len <= run->view.tx);
	hold(run, memcmp(at, rx_bytes(m->rx_tail), len) == 0);
}

static void
check_output(struct run *run, const struct model *m)
{
	struct iovec iov[2] = {{.iov_len = 0}, {.iov_len = 0}};
	int n = handoff__record_tx_pieces(&run->view, iov);
	const unsigned char *expected = tx_bytes(m->tx_tail);

	hold(run, iov[0].iov_len + iov[1].iov_len == m->tx_head - m->tx_tail);
	hold(run, n == (iov[0].iov_len > 0) + (iov[1].iov_len > 0));
	if (n > 0)
		hold(run,
			memcmp(iov[0].iov_base, expected, iov[0].iov_len) == 0);
	if (n > 1)
		hold(run, memcmp(iov[1].iov_base, expected + iov[0].iov_len,
				  iov[1].iov_len) == 0);
	run->seen.wraps += n > 1;
}

static void
check_state(struct run *run, const struct model *m)
{
	const struct handoff__commit *c = handoff__record_commit(run->view.rec);

	hold(run, c->state_len == STATE);
	hold(run, memcmp(handoff__record_valid_state(&run->view), m->state,
			  STATE) == 0);
	hold(run, c->flags == m->flags);
	run->seen.folded += c->folded;
}

static void
check(struct run *run, const struct model *m)
{
	hold(run, handoff__record_ok(&run->view));
	check_input(run, m);
	check_output(run, m);
	check_state(run, m);
}

/* The process dies here, and `sequence` is still what it was before the step:
 * its commit must describe what it did then. */
static void
check_as_of(struct run *run, const struct model *before, uint32_t sequence)
{
	uint32_t now = run->view.rec->sequence;

	atomic_store(&run->view.rec->sequence, sequence);
	check(run, before);
	atomic_store(&run->view.rec->sequence, now);
}

static void
step_receive(struct run *run)
{
	struct handoff__record *rec = run->view.rec;
	struct model *m = &run->model, before = *m;
	uint32_t sequence = rec->sequence;
	size_t size = run->view.seg->geo.rx_size, len;
	void *at = NULL;
	size_t room = handoff__record_rx_room(&run->view, &at);

	run->seen.compactions += rec->sequence != sequence;
	check_as_of(run, &before, sequence);
	check(run, &before);
	hold(run, room == size - (m->rx_head - m->rx_tail));
	len = draw_size(run, room);
	if (len == 0)
		return;
	memcpy(at, rx_bytes(m->rx_head), len);
	/* Dead between recv and noting it: nothing noted is harmed. */
	check(run, &before);
	handoff__record_received(&run->view, len);
	m->rx_head += len;
	run->seen.full_inputs += m->rx_head - m->rx_tail == size;
}

static void
txn_consume(struct run *run, struct handoff_conn *txn, struct model *m)
{
	size_t len;
	const void *input = handoff_conn_input(txn, &len);

	hold(run, len == m->rx_head - m->rx_tail);
	hold(run, memcmp(input, rx_bytes(m->rx_tail), len) == 0);
	len = draw_size(run, len);
	hold(run, handoff_conn_consume(txn, len) == 0);
	m->rx_tail += len;
}

static void
txn_write(struct run *run, struct handoff_conn *txn, struct model *m)
{
	size_t room = run->view.seg->geo.tx_size - (m->tx_head - m->tx_tail),
	       len;

	hold(run, handoff_conn_room(txn) == room);
	len = draw_size(run, room + 100);
	hold(run, handoff_conn_write(txn, tx_bytes(m->tx_head), len) ==
			  (len < room ? len : room));
	m->tx_head += len < room ? len : room;
}

/* A handler: any number of calls in any order, and then 0 or an error. */
static void
step_handle(struct run *run)
{
	struct model m = run->model, before = run->model;
	uint32_t sequence = run->view.rec->sequence;
	unsigned char *state;
	struct handoff_conn txn;

	handoff__txn_begin(&txn, &run->view);
	state = handoff_conn_state(&txn);
	hold(run, memcmp(state, m.state, STATE) == 0);
	for (uint64_t i = draw(run) % 4; i > 0; i--) {
		if (draw(run) % 2)
			txn_consume(run, &txn, &m);
		else
			txn_write(run, &txn, &m);
		state[draw(run) % STATE] = (unsigned char)draw(run);
		memcpy(m.state, state, STATE);
		check(run, &before);
	}
	if (draw(run) % 4 == 0) {
		run->seen.abandoned++;
		return;
	}
	handoff__txn_commit(&txn);
	run->model = m;
	check_as_of(run, &before, sequence);
	run->seen.empty_inputs += m.rx_head == m.rx_tail;
	run->seen.full_outputs +=
		m.tx_head - m.tx_tail == run->view.seg->geo.tx_size;
}

static void
step_send(struct run *run)
{
	struct model *m = &run->model;
	size_t len = draw_size(run, (size_t)(m->tx_head - m->tx_tail));

	handoff__record_sent(&run->view, len);
	m->tx_tail += len;
	run->seen.empty_outputs += m->tx_tail == m->tx_head;
}

static void
step_rarely(struct run *run)
{
	struct model *m = &run->model, before = *m;
	uint32_t sequence = run->view.rec->sequence;

	if (m->rx_head == m->rx_tail && m->tx_head == m->tx_tail) {
		handoff__arena_trim(&run->arenas[0], 0, run->slot);
		handoff__state_trim(&run->view);
		check_as_of(run, &before, sequence);
		run->seen.trims++;
	} else if (draw(run) % 4 == 0) {
		handoff__record_discard(&run->view);
		m->rx_tail = m->rx_head;
		run->seen.discards++;
		check_as_of(run, &before, sequence);
	} else {
		uint32_t flag = 1u << draw(run) % 4;

		handoff__record_flag(&run->view, flag);
		m->flags |= flag;
		check_as_of(run, &before, sequence);
	}
}

/* Empty buffers are left for a desk, and what is on one is put away, perhaps
 * by a survivor who does it again, before somebody else has the desk. */
static void
step_desk(struct run *run)
{
	struct handoff__record *rec = run->view.rec;
	struct model *m = &run->model;
	struct handoff__view own = run->view;
	uint32_t desk = 1 + (uint32_t)draw(run) % HANDOFF__DESKS;
	uint32_t word = rec->desk;

	handoff__view_make(&own, run->arenas[0].segments[0], run->slot);
	if (handoff__desk_of(rec) == 0) {
		if (draw(run) % 4)
			return;
		handoff__record_discard(&own);
		m->rx_tail = m->rx_head;
		handoff__record_sent(&own, (size_t)(m->tx_head - m->tx_tail));
		m->tx_tail = m->tx_head;
		handoff__desk_set(rec, desk);
		run->seen.desks++;
		return;
	}
	run->seen.cleared += m->rx_head > m->rx_tail;
	handoff__desk_clear(&own);
	if (draw(run) % 2) {
		rec->desk = word;
		check(run, m);
		handoff__desk_clear(&own);
	}
	hold(run, handoff__desk_view(&own, word));
	memset(own.rx, '-', 2 * own.seg->geo.rx_size + own.seg->geo.tx_size);
}

static bool
always(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

/* Streams that have gone on for long: positions are 64 bits wide. */
static void
start_at(struct run *run, uint64_t rx, uint64_t tx)
{
	struct handoff__record *rec = run->view.rec;

	atomic_store(&rec->rx_head, rx);
	atomic_store(&rec->tx_tail, tx);
	rec->commit[0] = (struct handoff__commit){.rx_tail = rx,
		.rx_origin = rx,
		.tx_head = tx,
		.tx_origin = tx,
		.state_len = STATE};
	run->model = (struct model){
		.rx_head = rx, .rx_tail = rx, .tx_head = tx, .tx_tail = tx};
}

static bool
folds(const struct run *run)
{
	return run->seed % 4 < 2;
}

static void
open_run(struct run *run, unsigned seed)
{
	static const uint64_t starts[] = {
		0, UINT32_MAX - 5000, UINT64_C(1) << 62};
	static const uint32_t sizes[] = {4096, 8192, 65536};
	struct handoff__geometry geo;
	uint32_t segment;
	int fd;

	memset(run, 0, sizeof(*run));
	run->seed = seed;
	run->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	handoff__arena_init(&run->arenas[0]);
	handoff__arena_init(&run->arenas[1]);
	assert_int_equal(handoff__geometry_make(
				 &geo, STATE, sizes[seed % 2], sizes[seed % 3]),
		0);
	/* as a large state that grows: it may be folded */
	if (folds(run))
		geo.fold_size = STATE;
	assert_int_equal(handoff__geometry_extend(&geo, 0, 0, 0), 0);
	assert_int_equal(handoff__arena_grow(&run->arenas[0], &geo), 0);
	fd = fcntl(run->arenas[0].segments[0]->fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(
		handoff__arena_add(&run->arenas[1], 0, fd, STATE, NULL), 0);
	assert_int_equal(handoff__arena_alloc(&run->arenas[0], 1, always, NULL,
				 &segment, &run->slot),
		0);
	handoff__view_make(&run->view, run->arenas[0].segments[0], run->slot);
	start_at(run, starts[seed % 3], starts[(seed + 1) % 3]);
}

static void
close_run(struct run *run)
{
	handoff__arena_fini(&run->arenas[0]);
	handoff__arena_fini(&run->arenas[1]);
}

static void
step(struct run *run)
{
	uint64_t kind = draw(run) % 64;

	handoff__view_make(
		&run->view, run->arenas[draw(run) % 2].segments[0], run->slot);
	hold(run, handoff__desk_view(&run->view, run->view.rec->desk));
	if (kind < 20)
		step_receive(run);
	else if (kind < 42)
		step_handle(run);
	else if (kind < 58)
		step_send(run);
	else if (kind < 62)
		step_desk(run);
	else
		step_rarely(run);
	handoff__view_make(&run->view, run->arenas[0].segments[0], run->slot);
	hold(run, handoff__desk_view(&run->view, run->view.rec->desk));
	check(run, &run->model);
}

static void
record_does_as_its_model(void **state)
{
	(void)state;
	make_patterns();
	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		struct run run;

		open_run(&run, seed);
		for (; run.step < STEPS; run.step++)
			step(&run);
		hold(&run, run.seen.compactions > 10);
		hold(&run, run.seen.wraps > 10);
		hold(&run, run.seen.full_inputs > 10);
		hold(&run, run.seen.full_outputs > 10);
		hold(&run, run.seen.empty_inputs > 10);
		hold(&run, run.seen.empty_outputs > 10);
		hold(&run, run.seen.abandoned > 10);
		hold(&run, run.seen.trims > 0);
		hold(&run, run.seen.discards > 10);
		hold(&run, run.seen.desks > 10);
		hold(&run, run.seen.cleared > 10);
		hold(&run, (run.seen.folded > 10) == folds(&run));
		close_run(&run);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(record_does_as_its_model),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
