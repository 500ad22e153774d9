/* SPDX-License-Identifier: MIT */
/*
 * The length of a connection's state: it changes with a commit, what it grows
 * by is zero, and what is not in use is not copied and takes no memory.
 */
#include "record/fixture.h"

#include <string.h>

#define BIG 65536u

static void
open_empty(struct fixture *f, uint32_t state_size)
{
	record_open(f, state_size);
	handoff__record_use_state(&f->view, 0);
}

/* A transaction that resizes to `len` and then has such bytes. */
static void
commit_filled(const struct fixture *f, size_t len, char byte)
{
	struct handoff_conn txn;
	char *s;

	handoff__txn_begin(&txn, &f->view);
	s = handoff_conn_state_resize(&txn, len);
	assert_ptr_equal(s, handoff_conn_state(&txn));
	memset(s, byte, len);
	handoff__txn_commit(&txn);
	assert_int_equal(handoff__record_commit(f->rec)->state_len, len);
	assert_true(handoff__record_ok(&f->view));
}

static void
length_changes_with_the_commit(void **state)
{
	struct fixture f;
	struct handoff_conn txn;

	(void)state;
	open_empty(&f, 100);
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_state_len(&txn), 0);
	assert_non_null(handoff_conn_state_resize(&txn, 7));
	assert_int_equal(handoff_conn_state_len(&txn), 7);
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_state_len(&txn), 0);
	commit_filled(&f, 7, 'a');
	handoff__txn_begin(&txn, &f.view);
	assert_int_equal(handoff_conn_state_len(&txn), 7);
	assert_memory_equal(handoff_conn_state(&txn), "aaaaaaa", 7);
	record_close(&f);
}

static void
growth_is_zero(void **state)
{
	static const char zeros[100];
	struct fixture f;
	struct handoff_conn txn;
	char *s;

	(void)state;
	open_empty(&f, 100);
	/* both copies have had all bytes in use */
	commit_filled(&f, 100, 'a');
	commit_filled(&f, 100, 'b');
	commit_filled(&f, 3, 'c');
	for (int i = 0; i < 2; i++) {
		handoff__txn_begin(&txn, &f.view);
		s = handoff_conn_state_resize(&txn, 60);
		assert_memory_equal(s, "ccc", 3);
		assert_memory_equal(s + 3, zeros, 57);
		/* and again within one transaction */
		memset(s, 'd', 60);
		handoff_conn_state_resize(&txn, 10);
		s = handoff_conn_state_resize(&txn, 100);
		assert_memory_equal(s, "dddddddddd", 10);
		assert_memory_equal(s + 10, zeros, 90);
		handoff_conn_state_resize(&txn, 3);
		memset(s, 'c', 3);
		handoff__txn_commit(&txn);
	}
	record_close(&f);
}

static void
growth_has_a_limit(void **state)
{
	struct fixture f;
	struct handoff_conn txn;

	(void)state;
	open_empty(&f, 100);
	handoff__txn_begin(&txn, &f.view);
	assert_null(handoff_conn_state_resize(&txn, 101));
	assert_null(handoff_conn_state_resize(&txn, SIZE_MAX));
	assert_int_equal(handoff_conn_state_len(&txn), 0);
	assert_non_null(handoff_conn_state_resize(&txn, 100));
	record_close(&f);
	record_open(&f, 0);
	handoff__txn_begin(&txn, &f.view);
	assert_null(handoff_conn_state_resize(&txn, 1));
	assert_null(handoff_conn_state_resize(&txn, 0));
	assert_int_equal(handoff_conn_state_len(&txn), 0);
	record_close(&f);
}

/* A page for the record, one for each copy. */
static void
memory_is_for_what_is_in_use(void **state)
{
	struct fixture f;
	struct handoff_conn txn;
	blkcnt_t before;

	(void)state;
	open_empty(&f, BIG);
	before = record_blocks(&f);
	for (int i = 0; i < 10; i++) {
		commit_filled(&f, 400, (char)('a' + i));
		handoff__txn_begin(&txn, &f.view);
		handoff__txn_commit(&txn);
	}
	assert_in_range(record_blocks(&f) - before, 0, 3 * 4096 / 512);
	commit_filled(&f, BIG, 'z');
	assert_true(record_blocks(&f) - before >= (blkcnt_t)BIG / 512);
	record_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(length_changes_with_the_commit),
		handoff_test(growth_is_zero),
		handoff_test(growth_has_a_limit),
		handoff_test(memory_is_for_what_is_in_use),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
