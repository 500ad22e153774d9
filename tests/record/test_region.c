/* SPDX-License-Identifier: MIT */
/*
 * The shared region: what a transaction changes in it stays if its record
 * flips, and is undone if it does not, whoever ends the transaction; limits and
 * damage are bounded.
 */
#include "record/fixture.h"

#include "record/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BYTES 100000u /* of the region */
#define SELF  handoff__lock_name(1, 0)
#define CHILD handoff__lock_name(1, 77)

struct shop {
	struct fixture f;
	struct handoff_conn txn;
	const struct handoff__segment *commons;
	struct handoff__region *region;
	unsigned char *bytes;
};

static void
open_shop(struct shop *s, uint32_t size)
{
	memset(s, 0, sizeof(*s));
	record_open(&s->f, 16);
	handoff__arena_name(&s->f.arena, SELF);
	handoff__record_set_id(s->f.rec, 5);
	assert_int_equal(handoff__region_claim(&s->f.arena,
				 handoff__region_stamp_of(size, 3)),
		0);
	s->commons = handoff__arena_commons(&s->f.arena);
	s->region = (void *)(s->commons->base + s->commons->geo.shared);
	s->bytes = (unsigned char *)s->region + HANDOFF__SHARED_HEAD +
		   HANDOFF__UNDO_SIZE;
	handoff__txn_begin(&s->txn, &s->f.view);
}

static void
close_shop(struct shop *s)
{
	record_close(&s->f);
}

static char *
change(struct shop *s, size_t offset, size_t len)
{
	void *at = NULL;

	assert_int_equal(handoff_conn_shared(&s->txn, offset, len, &at), 0);
	assert_ptr_equal(at, s->bytes + offset);
	return at;
}

/* As the turn does it. */
static void
commit(struct shop *s)
{
	s->txn.next->flags &= ~(uint32_t)HANDOFF__TRANSIENT;
	handoff__txn_commit(&s->txn);
	handoff__region_keep(s->commons);
}

static void
is_free(const struct shop *s)
{
	assert_int_equal(handoff__lock_holder(&s->region->lock), 0);
	assert_int_equal(atomic_load(&s->region->ranges), 0);
}

static void
what_commits_stays(void **state)
{
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	memcpy(change(&s, 10, 5), "abcde", 5);
	assert_int_equal(handoff__lock_holder(&s.region->lock), SELF);
	assert_true(s.txn.next->flags & HANDOFF__SHARED);
	commit(&s);
	is_free(&s);
	assert_memory_equal(s.bytes + 10, "abcde", 5);
	close_shop(&s);
}

static void
what_fails_is_undone(void **state)
{
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	memcpy(s.bytes + 8, "0123456789", 10);
	memcpy(change(&s, 10, 5), "abcde", 5);
	memcpy(change(&s, 8, 4), "ABCD", 4); /* overlaps the one before */
	memcpy(change(&s, 11, 2), "##", 2);  /* is within it */
	assert_int_equal(atomic_load(&s.region->ranges), 2);
	handoff__region_undo(s.commons);
	is_free(&s);
	assert_memory_equal(s.bytes + 8, "0123456789", 10);
	close_shop(&s);
}

static void
reading_takes_the_lock_and_saves_nothing(void **state)
{
	const void *at = NULL;
	struct shop s;

	(void)state;
	open_shop(&s, 64u << 20);
	assert_int_equal(
		handoff_conn_shared_read(&s.txn, 0, 64u << 20, &at), 0);
	assert_ptr_equal(at, s.bytes);
	assert_int_equal(handoff__lock_holder(&s.region->lock), SELF);
	assert_int_equal(atomic_load(&s.region->ranges), 0);
	handoff__region_undo(s.commons);
	is_free(&s);
	close_shop(&s);
}

static void
ranges_outside_are_refused(void **state)
{
	const void *there = NULL;
	void *at = NULL;
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	assert_int_equal(handoff_conn_shared(&s.txn, 0, 0, &at), -EINVAL);
	assert_int_equal(handoff_conn_shared(&s.txn, BYTES, 1, &at), -EINVAL);
	assert_int_equal(handoff_conn_shared(&s.txn, 1, BYTES, &at), -EINVAL);
	assert_int_equal(
		handoff_conn_shared(&s.txn, SIZE_MAX, 2, &at), -EINVAL);
	assert_int_equal(
		handoff_conn_shared(&s.txn, 2, SIZE_MAX, &at), -EINVAL);
	assert_int_equal(handoff_conn_shared(&s.txn, 0, 1, NULL), -EINVAL);
	assert_int_equal(handoff_conn_shared_read(&s.txn, BYTES - 1, 2, &there),
		-EINVAL);
	assert_int_equal(handoff_conn_shared_read(&s.txn, 0, 1, NULL), -EINVAL);
	assert_null(at);
	assert_null(there);
	change(&s, 0, BYTES);
	change(&s, BYTES - 1, 1);
	commit(&s);
	close_shop(&s);
}

static void
a_service_without_a_region_is_told(void **state)
{
	void *at = NULL;
	struct shop s;

	(void)state;
	open_shop(&s, 0);
	assert_int_equal(handoff_conn_shared(&s.txn, 0, 1, &at), -EINVAL);
	assert_int_equal(s.txn.next->flags & HANDOFF__TRANSIENT, 0);
	is_free(&s);
	close_shop(&s);
}

static void
the_log_has_limits(void **state)
{
	void *at = NULL;
	struct shop s;

	(void)state;
	open_shop(&s, 8u << 20);
	assert_int_equal(
		handoff_conn_shared(&s.txn, 0, HANDOFF_SHARED_UNDO + 1, &at),
		-EMSGSIZE);
	for (size_t i = 0; i < HANDOFF_SHARED_RANGES; i++)
		memset(change(&s, 2 * i, 1), 'x', 1);
	assert_int_equal(handoff_conn_shared(&s.txn, 4096, 1, &at), -ENOSPC);
	change(&s, 0, 1); /* again costs nothing */
	handoff__region_undo(s.commons);
	assert_int_equal(s.bytes[0], 0);
	assert_int_equal(s.bytes[2 * HANDOFF_SHARED_RANGES - 2], 0);
	handoff__txn_begin(&s.txn, &s.f.view);
	memset(change(&s, 9, HANDOFF_SHARED_UNDO - 1), 'y',
		HANDOFF_SHARED_UNDO - 1);
	assert_int_equal(handoff_conn_shared(&s.txn, 0, 2, &at), -ENOSPC);
	memset(change(&s, 0, 1), 'y', 1);
	handoff__region_undo(s.commons);
	for (size_t i = 0; i < HANDOFF_SHARED_UNDO + 10; i++)
		assert_int_equal(s.bytes[i], 0);
	close_shop(&s);
}

static void
two_services_do_not_share(void **state)
{
	struct shop s;

	(void)state;
	open_shop(&s, 0);
	assert_int_equal(handoff__region_stamp(&s.f.arena), 0);
	assert_int_equal(handoff__region_claim(
				 &s.f.arena, handoff__region_stamp_of(8, 1)),
		0);
	assert_int_equal(handoff__region_claim(
				 &s.f.arena, handoff__region_stamp_of(8, 1)),
		0);
	assert_int_equal(handoff__region_claim(&s.f.arena, 0), 0);
	assert_int_equal(handoff__region_claim(
				 &s.f.arena, handoff__region_stamp_of(8, 2)),
		-EPROTO);
	assert_int_equal(handoff__region_claim(
				 &s.f.arena, handoff__region_stamp_of(16, 1)),
		-EPROTO);
	assert_int_equal(handoff__region_stamp(&s.f.arena),
		handoff__region_stamp_of(8, 1));
	close_shop(&s);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The first one waits; as long as the holder is the same, others do not. */
static void
a_holder_that_stays_is_waited_for_once(void **state)
{
	int64_t start = now_ms();
	void *at = NULL;
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	assert_int_equal(handoff__lock_take(
				 &s.region->lock, handoff__lock_name(2, 0), 0),
		0);
	assert_int_equal(handoff_conn_shared(&s.txn, 0, 1, &at), -ETIMEDOUT);
	assert_null(at);
	assert_true(now_ms() - start >= HANDOFF_SHARED_WAIT_MS);
	assert_int_equal(
		s.txn.next->flags & HANDOFF__TRANSIENT, HANDOFF__SHARED_LATE);
	start = now_ms();
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			handoff_conn_shared(&s.txn, 0, 1, &at), -ETIMEDOUT);
	/* five times that, if each of them waited */
	assert_true(now_ms() - start < 4 * (int64_t)HANDOFF_SHARED_WAIT_MS);
	handoff__lock_release(&s.region->lock);
	change(&s, 0, 1);
	commit(&s);
	close_shop(&s);
}

/* A child dies after it was in the transaction, `flipped` or not. */
static enum handoff__settled
die(struct shop *s, bool flipped)
{
	s->txn.next->flags &= ~(uint32_t)HANDOFF__TRANSIENT;
	if (flipped)
		handoff__txn_commit(&s->txn);
	assert_int_equal(
		handoff__region_settle(&s->f.arena, 2, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_FREE);
	assert_int_equal(handoff__region_settle(&s->f.arena, 1, 0),
		HANDOFF__SETTLED_FREE);
	return handoff__region_settle(&s->f.arena, 1, 77);
}

static void
a_dead_child_is_settled_by_its_record(void **state)
{
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	handoff__arena_name(&s.f.arena, CHILD);
	memcpy(change(&s, 0, 3), "one", 3);
	assert_int_equal(die(&s, true), HANDOFF__SETTLED_KEPT);
	assert_memory_equal(s.bytes, "one", 3);
	is_free(&s);

	handoff__txn_begin(&s.txn, &s.f.view);
	memcpy(change(&s, 0, 3), "two", 3);
	assert_int_equal(die(&s, false), HANDOFF__SETTLED_UNDONE);
	assert_memory_equal(s.bytes, "one", 3);
	is_free(&s);

	handoff__txn_begin(&s.txn, &s.f.view);
	assert_int_equal(handoff__region_enter(s.commons), 0);
	assert_int_equal(die(&s, false), HANDOFF__SETTLED_CLEAN);
	is_free(&s);
	assert_int_equal(die(&s, false), HANDOFF__SETTLED_FREE);
	close_shop(&s);
}

/* A survivor that dies in the midst of it is followed by another one. */
static void
settling_may_be_repeated(void **state)
{
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	memcpy(s.bytes, "old bytes", 9);
	memcpy(change(&s, 0, 9), "new bytes", 9);
	memcpy(s.bytes, "old", 3); /* the first had got this far */
	assert_int_equal(
		handoff__region_settle(&s.f.arena, 1, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_UNDONE);
	assert_memory_equal(s.bytes, "old bytes", 9);
	is_free(&s);
	close_shop(&s);
}

/* No record decides: only the end of the transaction commits. */
static void
without_a_record_it_commits_at_its_end(void **state)
{
	void *at = NULL;
	struct shop s;

	(void)state;
	open_shop(&s, BYTES);
	change(&s, 0, 1);
	commit(&s); /* leaves an intent behind */
	assert_int_equal(handoff__region_enter(s.commons), 0);
	assert_int_equal(handoff__region_enter(s.commons), -EDEADLK);
	assert_int_equal(handoff__region_save(s.commons, 4, 2, &at), 0);
	memcpy(at, "ab", 2);
	assert_int_equal(
		handoff__region_settle(&s.f.arena, 1, HANDOFF__LOCK_ANY),
		HANDOFF__SETTLED_UNDONE);
	assert_int_equal(s.bytes[4], 0);
	assert_int_equal(handoff__region_enter(s.commons), 0);
	assert_int_equal(handoff__region_save(s.commons, 4, 2, &at), 0);
	memcpy(at, "cd", 2);
	handoff__region_keep(s.commons);
	is_free(&s);
	assert_memory_equal(s.bytes + 4, "cd", 2);
	close_shop(&s);
}

/* The record is not there, or is another connection's by now: nothing of the
 * transaction has left the dead process. */
static void
a_record_that_is_gone_commits_nothing(void **state)
{
	struct shop s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		open_shop(&s, BYTES);
		change(&s, 0, 1)[0] = 'x';
		handoff__txn_commit(&s.txn);
		if (i == 0)
			s.region->segment = 200;
		else if (i == 1)
			s.region->slot = UINT32_MAX;
		else
			handoff__record_set_id(s.f.rec, 6);
		assert_int_equal(handoff__region_settle(&s.f.arena, 1, 0),
			HANDOFF__SETTLED_UNDONE);
		assert_int_equal(s.bytes[0], 0);
		close_shop(&s);
	}
}

/* Whatever the other peer has written: nothing outside of the region is. */
static void
damage_is_bounded(void **state)
{
	unsigned short seed[3] = {1, 2, 3};
	struct shop s;

	(void)state;
	for (int i = 0; i < 300; i++) {
		open_shop(&s, BYTES);
		change(&s, 0, 1);
		for (size_t at = 0; at < sizeof(s.region->range) / 4;
			at += 1 + (size_t)i % 7)
			((uint32_t *)(void *)s.region->range)[at] =
				(uint32_t)jrand48(seed) >> (i % 32);
		atomic_store(&s.region->ranges, (uint32_t)jrand48(seed));
		if (i % 2)
			atomic_store(&s.region->stamp,
				UINT64_MAX >> (uint32_t)(i % 64));
		handoff__region_settle(&s.f.arena, 1, HANDOFF__LOCK_ANY);
		is_free(&s);
		close_shop(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(what_commits_stays),
		handoff_test(what_fails_is_undone),
		handoff_test(reading_takes_the_lock_and_saves_nothing),
		handoff_test(ranges_outside_are_refused),
		handoff_test(a_service_without_a_region_is_told),
		handoff_test(the_log_has_limits),
		handoff_test(two_services_do_not_share),
		handoff_test(a_holder_that_stays_is_waited_for_once),
		handoff_test(a_dead_child_is_settled_by_its_record),
		handoff_test(settling_may_be_repeated),
		handoff_test(without_a_record_it_commits_at_its_end),
		handoff_test(a_record_that_is_gone_commits_nothing),
		handoff_test(damage_is_bounded),
	};

	return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
