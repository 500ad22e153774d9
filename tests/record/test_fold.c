/* SPDX-License-Identifier: MIT */
/*
 * A short state of a connection that is idle lies beside its record, and its
 * pages are given back; the next transaction finds it there, a survivor of a
 * death at any instruction too.
 */
#include "record/fixture.h"

#include "record/snapshot.h"
#include "support/steps.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIG   65536u
#define SHORT HANDOFF__FOLD_SIZE
#define MOST  40000u /* instructions of a child */

/* At evenly spaced ones, unless HANDOFF_LONG is set. */
#ifdef __SANITIZE_ADDRESS__
#define DEATHS 20u /* with it each takes a fifth of a second */
#else
#define DEATHS 50u
#endif

static void
open_folding(struct fixture *f, bool secret)
{
	struct handoff__geometry geo;
	uint32_t segment, slot;

	memset(f, 0, sizeof(*f));
	handoff__arena_init(&f->arena);
	f->arena.secret = secret;
	assert_int_equal(handoff__geometry_make(&geo, BIG, SIZE, SIZE), 0);
	handoff__geometry_fold(&geo);
	assert_int_equal(geo.fold_size, SHORT);
	assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	assert_int_equal(handoff__arena_alloc(&f->arena, 1, record_always, NULL,
				 &segment, &slot),
		0);
	handoff__view_make(&f->view, f->arena.segments[segment], slot);
	f->at = f->view;
	f->rec = f->view.rec;
	handoff__record_set_id(f->rec, 7);
}

/* A transaction that makes the state `len` such bytes. */
static void
become(const struct fixture *f, size_t len, char byte)
{
	struct handoff_conn txn;

	handoff__txn_begin(&txn, &f->view);
	memset(handoff_conn_state_resize(&txn, len), byte, len);
	handoff__txn_commit_state(&txn);
}

static void
assert_is(const struct fixture *f, size_t len, char byte)
{
	const char *state = handoff__record_valid_state(&f->view);

	assert_true(handoff__record_ok(&f->view));
	assert_int_equal(handoff__record_commit(f->rec)->state_len, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(state[i], byte);
}

static bool
is_folded(const struct fixture *f)
{
	return handoff__record_commit(f->rec)->folded != 0;
}

static void
trim(const struct fixture *f)
{
	handoff__state_trim(&f->view);
	f->rec->touched &= (uint8_t)~HANDOFF__PAGES;
}

static void
small_state_stays_beside_its_record(void **state)
{
	struct handoff__geometry geo;
	struct fixture f;

	(void)state;
	assert_int_equal(
		handoff__geometry_make(&geo, HANDOFF__FOLD_FROM, SIZE, SIZE),
		0);
	handoff__geometry_fold(&geo);
	assert_int_equal(geo.fold_size, 0);
	/* where there is no fold nothing is in it */
	record_open(&f, 0);
	assert_true(handoff__record_ok(&f.view));
	handoff__commit_of(f.rec, handoff__record_sequence(f.rec))->folded = 1;
	assert_false(handoff__record_ok(&f.view));
	record_close(&f);
}

static void
idle_connections_share_pages(void **state)
{
	struct fixture f;
	blkcnt_t before;

	(void)state;
	open_folding(&f, false);
	become(&f, SHORT, 'a');
	trim(&f);
	before = record_blocks(&f);
	for (int i = 1; i < 100; i++) {
		uint32_t number = record_alloc(&f.arena, 1);

		handoff__view_make(&f.view, f.arena.segments[0], number);
		f.rec = f.view.rec;
		become(&f, SHORT, 'b');
		become(&f, SHORT, 'c');
		trim(&f);
		assert_is(&f, SHORT, 'c');
	}
	/* st_blocks counts 512 bytes each (stat(3type)) */
	assert_true((record_blocks(&f) - before) * 512 < 100 * 2048);
	record_close(&f);
}

static void
transactions_go_on_from_there(void **state)
{
	struct fixture f;

	(void)state;
	open_folding(&f, false);
	become(&f, 100, 'a');
	for (char c = 'a'; c < 'z'; c++) {
		struct handoff_conn txn;

		trim(&f);
		assert_true(is_folded(&f));
		assert_is(&f, 100, c);
		/* one that is undone leaves it where it is */
		handoff__txn_begin(&txn, &f.view);
		assert_int_equal(*(char *)handoff_conn_state(&txn), c);
		memset(handoff_conn_state(&txn), '-', 100);
		assert_is(&f, 100, c);
		handoff__txn_begin(&txn, &f.view);
		assert_int_equal(handoff_conn_state_len(&txn), 100);
		memset(handoff_conn_state(&txn), c + 1, 100);
		handoff__txn_commit(&txn);
		assert_false(is_folded(&f));
		assert_true(f.rec->touched & HANDOFF__PAGES);
		assert_is(&f, 100, (char)(c + 1));
	}
	record_close(&f);
}

/* Twice in a row, without a transaction in between. */
static void
trim_may_be_repeated(void **state)
{
	struct fixture f;
	uint32_t sequence;

	(void)state;
	open_folding(&f, false);
	trim(&f);
	assert_is(&f, 0, 0);
	become(&f, 9, 'x');
	trim(&f);
	sequence = handoff__record_sequence(f.rec);
	trim(&f);
	assert_int_equal(handoff__record_sequence(f.rec), sequence);
	assert_is(&f, 9, 'x');
	record_close(&f);
}

static void
long_state_stays_where_it_is(void **state)
{
	struct fixture f;
	blkcnt_t before;

	(void)state;
	open_folding(&f, false);
	before = record_blocks(&f);
	become(&f, BIG, 'a');
	become(&f, SHORT + 1, 'b');
	trim(&f);
	assert_false(is_folded(&f));
	assert_is(&f, SHORT + 1, 'b');
	/* the other one has no page */
	assert_true((record_blocks(&f) - before) * 512 <= (blkcnt_t)SIZE);
	become(&f, SHORT + 1, 'b');
	trim(&f);
	assert_true((record_blocks(&f) - before) * 512 <= (blkcnt_t)SIZE);
	become(&f, SHORT, 'c');
	trim(&f);
	assert_true(is_folded(&f));
	assert_is(&f, SHORT, 'c');
	assert_int_equal(record_blocks(&f), before);
	record_close(&f);
}

static void
snapshot_has_it(void **state)
{
	static unsigned char copy[BIG], bytes[2 * SIZE];
	struct handoff__snapshot snap;
	struct fixture f;

	(void)state;
	open_folding(&f, false);
	become(&f, 50, 'a');
	trim(&f);
	assert_true(handoff__snapshot_take(&snap, &f.view, copy, bytes, SIZE));
	assert_false(snap.unstable);
	assert_int_equal(snap.state_len, 50);
	assert_int_equal(copy[49], 'a');
	/* a damaged length leads nowhere else */
	handoff__commit_of(f.rec, handoff__record_sequence(f.rec))->state_len =
		BIG;
	assert_false(handoff__record_ok(&f.view));
	handoff__snapshot_take(&snap, &f.view, copy, bytes, SIZE);
	assert_true(snap.unstable);
	assert_int_equal(snap.state_len, SHORT);
	record_close(&f);
}

/* How often the byte is in any page of the segment that is there. */
static size_t
count(const struct fixture *f, unsigned char byte)
{
	const struct handoff__segment *seg = f->arena.segments[0];
	off_t at = 0, end;
	size_t n = 0;

	while ((at = lseek(seg->fd, at, SEEK_DATA)) >= 0 &&
		(uint64_t)at < seg->geo.size) {
		end = lseek(seg->fd, at, SEEK_HOLE);
		for (; at < end; at++)
			n += seg->base[at] == byte;
	}
	return n;
}

#define MARK 0xa7

/* Of a transaction that resizes, as for anything else in a secret state. */
static void
secret_state_is_erased_in_the_fold(void **state)
{
	struct fixture f;
	size_t others;

	(void)state;
	open_folding(&f, true);
	others = count(&f, MARK);
	become(&f, 100, (char)MARK);
	trim(&f);
	assert_int_equal(count(&f, MARK), others + 100);
	become(&f, 100, 'n');
	assert_int_equal(count(&f, MARK), others);
	assert_is(&f, 100, 'n');
	record_close(&f);
}

/* Also of a long one whose buffers have been trimmed since. */
static void
nothing_is_left_in_a_cleared_record(void **state)
{
	static const size_t lens[] = {1, SHORT, SHORT + 1, BIG};

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (int trims = 0; trims < 3; trims++) {
			struct fixture f;
			size_t others;

			open_folding(&f, true);
			others = count(&f, MARK);
			become(&f, lens[i], (char)MARK);
			if (trims > 0)
				trim(&f);
			if (trims > 1)
				become(&f, lens[i], (char)MARK);
			handoff__arena_clear(&f.arena, 0, 0);
			assert_int_equal(count(&f, MARK), others);
			assert_int_equal(
				handoff__record_commit(f.rec)->folded, 0);
			record_close(&f);
		}
	}
}

/* The peer that maps the segment, with what its header says. */
static void
other_peer_finds_it(void **state)
{
	struct handoff__arena other;
	struct handoff__view view;
	struct fixture f;
	int fd;

	(void)state;
	open_folding(&f, false);
	become(&f, 100, 'a');
	trim(&f);
	handoff__arena_init(&other);
	fd = fcntl(f.arena.segments[0]->fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(handoff__arena_add(&other, 0, fd, BIG, NULL), 0);
	handoff__view_make(&view, other.segments[0], 0);
	assert_true(handoff__record_ok(&view));
	assert_memory_equal(handoff__record_valid_state(&view),
		handoff__record_valid_state(&f.view), 100);
	f.view = view;
	f.rec = view.rec;
	become(&f, 200, 'b');
	assert_is(&f, 200, 'b');
	handoff__arena_fini(&other);
	f.view.seg = f.arena.segments[0];
	record_close(&f);
}

/* ---- deaths ---- */

static void __attribute__((noreturn)) child_main(const struct fixture *f)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	trim(f);
	become(f, 60, 'b');
	trim(f);
	_exit(0);
}

/* What a child leaves that was killed after so many instructions. Returns how
 * many it had: fewer, if it left before. */
static unsigned
die_after(struct fixture *f, unsigned most)
{
	pid_t pid;

	open_folding(f, true);
	become(f, 50, 'a');
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child_main(f);
	return steps_die(pid, most);
}

static void
death_at_any_instruction_leaves_one_of_them(void **state)
{
	unsigned all, stride, seen[2] = {0};
	struct fixture f;

	(void)state;
	support_not_in_valgrind();
	support_not_emulated("it has no ptrace(2)");
	all = die_after(&f, MOST);
	record_close(&f);
	assert_in_range(all, 100, MOST - 1);
	stride = getenv("HANDOFF_LONG") ? 1 : 1 + all / DEATHS;
	for (unsigned n = 0; n <= all; n += stride) {
		bool after;

		die_after(&f, n);
		after = handoff__record_commit(f.rec)->state_len == 60;
		assert_is(&f, after ? 60 : 50, after ? 'b' : 'a');
		seen[after]++;
		/* the survivor's */
		handoff__state_erase(&f.view);
		assert_is(&f, after ? 60 : 50, after ? 'b' : 'a');
		become(&f, 70, 'c');
		trim(&f);
		assert_is(&f, 70, 'c');
		record_close(&f);
	}
	assert_true(seen[0] > 1 && seen[1] > 1);
	print_message("%u deaths before the transaction, %u after\n", seen[0],
		seen[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(small_state_stays_beside_its_record),
		handoff_test(idle_connections_share_pages),
		handoff_test(transactions_go_on_from_there),
		handoff_test(trim_may_be_repeated),
		handoff_test(long_state_stays_where_it_is),
		handoff_test(snapshot_has_it),
		handoff_test(secret_state_is_erased_in_the_fold),
		handoff_test(nothing_is_left_in_a_cleared_record),
		handoff_test(other_peer_finds_it),
		handoff_test(death_at_any_instruction_leaves_one_of_them),
	};

	return cmocka_run_group_tests_name("fold", tests, NULL, NULL);
}
