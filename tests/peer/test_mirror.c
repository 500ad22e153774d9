/* SPDX-License-Identifier: MIT */
/*
 * The standby's copies: which entries it has, which it refuses, and how
 * records come and go between two peers that both may use them.
 */
#include "peer/fixture.h"

#include "peer/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Owned by `a` and held by `b`, the same file, the same record. */
static void
assert_covered(struct side *a, struct side *b)
{
	struct handoff__roster_entry *e = NULL;
	unsigned seen = 0;

	while ((e = handoff__roster_next(&a->pair.roster, e))) {
		struct handoff__roster_entry *copy;

		if (!e->mine)
			continue;
		copy = pair_find(b, e);
		assert_non_null(copy);
		assert_false(copy->mine);
		assert_int_equal(e->copy, HANDOFF__COPY_HELD);
		assert_int_equal(copy->kind, e->kind);
		assert_true(pair_same_file(e->fd, copy->fd));
		assert_int_equal(fcntl(copy->fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(copy->view.rec->owner, a->pair.place);
		seen++;
	}
	assert_int_equal(seen, a->pair.roster.owned);
	assert_int_equal(a->pair.roster.uncovered, 0);
	assert_int_equal(b->pair.roster.held, seen);
}

static void
entries_of_before_and_after_are_mirrored(void **state)
{
	struct side a, b;
	const char *dir = support_dir();
	struct handoff__roster_entry *listener;
	char name[HANDOFF_ADDRESS_MAX];

	(void)state;
	side_init(&a, dir, "one");
	side_init(&b, dir, "two");
	pair_own(&a);
	listener = pair_enter(&a, HANDOFF__LISTENER);
	pair_enter_many(&a, 3);
	assert_int_equal(a.pair.roster.uncovered, 4);
	assert_int_equal(side_open(&b, &a), 0);
	handoff__pair_started(&b.pair);
	pair_run(&a, &b);
	assert_int_equal(b.entered, 4);
	assert_covered(&a, &b);
	pair_enter(&a, HANDOFF__CONNECTION);
	pair_enter(&a, HANDOFF__EXTRA);
	pair_run(&a, &b);
	assert_int_equal(b.entered, 6);
	assert_covered(&a, &b);
	assert_int_equal(
		handoff__record_name(&pair_find(&b, listener)->view, name), 0);
	assert_string_equal(name, "its-name");
	pair_close(&a, &b);
}

/* More than fit into a message, and more than fit into a segment. */
static void
many_entries_are_mirrored(void **state)
{
	struct side a, b;

	(void)state;
	support_need_descriptors(3000);
	pair_open(&a, &b);
	pair_enter_many(&a, HANDOFF__SLOTS + 300);
	assert_int_equal(a.pair.arena.count, 2);
	pair_run(&a, &b);
	assert_int_equal(b.pair.arena.count, 2);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

static void
ids_are_unique_and_counted_by_kind(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(pair_enter(&a, HANDOFF__CONNECTION)->id, 1);
	assert_int_equal(
		pair_enter(&a, HANDOFF__LISTENER)->id, UINT64_C(1) << 63);
	assert_int_equal(pair_enter(&a, HANDOFF__CONNECTION)->id, 2);
	assert_int_equal(
		pair_enter(&a, HANDOFF__EXTRA)->id, (UINT64_C(1) << 63) + 1);
	pair_close(&a, &b);
}

static void
ended_entry_is_dropped(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e, *copy;
	int fd;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_enter_many(&a, 2);
	pair_run(&a, &b);
	copy = pair_find(&b, e);
	fd = copy->fd;
	handoff__pair_end(&a.pair, e);
	assert_int_equal(a.closing, 1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	pair_run(&a, &b);
	assert_int_equal(b.closing, 1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(copy->id, 0);
	assert_int_equal(e->id, 0);
	assert_int_equal(copy->view.rec->owner, 0);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

static void
entry_that_ends_before_it_is_sent_is_no_news(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	handoff__pair_end(&a.pair, pair_enter(&a, HANDOFF__CONNECTION));
	assert_int_equal(a.pair.roster.owned, 0);
	pair_run(&a, &b);
	assert_int_equal(b.entered, 0);
	pair_close(&a, &b);
}

/* Its record is clear by the time that the standby looks at it. */
static void
entry_that_ends_before_it_is_answered_is_not_kept(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	handoff__pair_proceed(&a.pair);
	assert_int_equal(e->copy, HANDOFF__COPY_SENT);
	handoff__pair_end(&a.pair, e);
	pair_run(&a, &b);
	assert_int_equal(b.entered, 0);
	assert_int_equal(b.pair.roster.held, 0);
	assert_int_equal(a.pair.roster.refused, 0);
	assert_int_equal(e->id, 0);
	pair_enter_many(&a, 1);
	pair_run(&a, &b);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

/* The record of an entry that was dropped is had again by either peer. */
static void
records_are_used_again(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;
	uint32_t slot;

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	slot = e->slot;
	for (int i = 0; i < 10; i++) {
		uint64_t id = e->id;

		pair_run(&a, &b);
		handoff__pair_end(&a.pair, e);
		/* Not before the standby has been told. */
		assert_int_not_equal(
			pair_enter(&a, HANDOFF__CONNECTION)->slot, slot);
		pair_run(&a, &b);
		e = pair_enter(&a, HANDOFF__CONNECTION);
		assert_int_equal(e->slot, slot);
		assert_true(e->id > id);
	}
	pair_run(&a, &b);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

/* Both peers may own entries, and either takes records from any segment. */
static void
both_may_own_entries(void **state)
{
	struct side a, b;

	(void)state;
	pair_open(&a, &b);
	for (int i = 0; i < 50; i++) {
		struct handoff__roster_entry *ea =
			pair_enter(&a, HANDOFF__CONNECTION);
		struct handoff__roster_entry *eb =
			pair_enter(&b, HANDOFF__CONNECTION);

		assert_ptr_not_equal(ea->view.rec, eb->view.rec);
		assert_int_not_equal(ea->id, eb->id);
		if (i % 3 == 0)
			handoff__pair_end(&a.pair, ea);
		if (i % 4 == 0)
			handoff__pair_end(&b.pair, eb);
		if (i % 5 == 0)
			pair_run(&a, &b);
	}
	pair_run(&a, &b);
	assert_int_equal(a.pair.roster.owned, b.pair.roster.held);
	assert_int_equal(b.pair.roster.owned, a.pair.roster.held);
	assert_covered(&a, &b);
	assert_covered(&b, &a);
	pair_close(&a, &b);
}

static void
copy_that_cannot_be_watched_is_refused(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *e;

	(void)state;
	pair_open(&a, &b);
	b.refuse_entered = -ENOMEM;
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	assert_int_equal(e->copy, HANDOFF__COPY_REFUSED);
	assert_int_equal(e->refusal, HANDOFF__NO_MEMORY);
	assert_int_equal(a.pair.roster.uncovered, 1);
	assert_int_equal(a.pair.roster.refused, 1);
	assert_int_equal(b.pair.roster.held, 0);
	/* It stays the owner's, and its record is not lost by the refusal. */
	assert_int_equal(e->view.rec->owner, a.pair.place);
	b.refuse_entered = 0;
	/* Every beat asks again for what was refused as stale, and only that.
	 */
	handoff__mirror_retry(&a.pair, 0);
	pair_run(&a, &b);
	assert_int_equal(e->copy, HANDOFF__COPY_REFUSED);
	e->refusal = HANDOFF__BAD_RECORD;
	handoff__mirror_retry(&a.pair, 0);
	pair_run(&a, &b);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

static void
own_entry_that_cannot_be_watched_is_closed(void **state)
{
	struct side a, b;
	int err, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint32_t slot;

	(void)state;
	pair_open(&a, &b);
	a.refuse_entered = -ENOMEM;
	assert_null(handoff__pair_enter(
		&a.pair, fd, HANDOFF__CONNECTION, NULL, &err));
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(a.pair.roster.owned, 0);
	a.refuse_entered = 0;
	slot = pair_enter(&a, HANDOFF__CONNECTION)->slot;
	assert_int_equal(slot, 0);
	pair_run(&a, &b);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

/* A standby keeps some descriptors for itself: it must be told to stop. */
static void
assert_some_are_free(void)
{
	int fds[8];

	for (int i = 0; i < 8; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

/* A standby whose descriptor table is full refuses what it can't keep, one by
 * one, and keeps the rest. */
static void
full_table_refuses_some(void **state)
{
	struct side a, b;
	uint32_t refused;

	(void)state;
	support_not_in_valgrind();
	support_need_descriptors(6000);
	pair_open(&a, &b);
	pair_enter_many(&a, 300);
	/* The limit is the process's, and so is this peer's. */
	pair_limit_descriptors(100);
	pair_run(&a, &b);
	assert_some_are_free();
	pair_unlimit_descriptors();
	refused = a.pair.roster.refused;
	assert_in_range(refused, 200, 299);
	assert_int_equal(a.pair.roster.uncovered, refused);
	assert_int_equal(b.pair.roster.held, 300 - refused);
	for (struct handoff__roster_entry *e = NULL;
		(e = handoff__roster_next(&a.pair.roster, e));) {
		if (e->copy == HANDOFF__COPY_REFUSED)
			assert_int_equal(e->refusal, HANDOFF__TABLE_FULL);
		assert_int_equal(pair_find(&b, e) != NULL,
			e->copy == HANDOFF__COPY_HELD);
	}
	/* There is room again, also in each message. */
	handoff__mirror_retry(&a.pair, UINT32_MAX);
	pair_run(&a, &b);
	assert_covered(&a, &b);
	assert_in_range(a.pair.mirror_max, 1, 4);
	for (int i = 0; i < 10; i++) {
		pair_enter_many(&a, 260);
		pair_run(&a, &b);
	}
	assert_int_equal(a.pair.mirror_max, HANDOFF_FDPASS_MAX);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

/* The table is full for one message, whose entry ends before that is known;
 * what follows arrives, and must not be taken for it. */
static void
lost_message_is_not_mistaken_for_the_next(void **state)
{
	struct side a, b;
	struct handoff__roster_entry *lost, *next;

	(void)state;
	pair_open(&a, &b);
	lost = pair_enter(&a, HANDOFF__CONNECTION);
	handoff__pair_proceed(&a.pair);
	pair_limit_descriptors(0);
	pair_run(NULL, &b);
	pair_unlimit_descriptors();
	next = pair_enter(&a, HANDOFF__CONNECTION);
	handoff__pair_proceed(&a.pair);
	handoff__pair_end(&a.pair, lost);
	pair_run(&a, &b);
	assert_int_equal(b.entered, 1);
	assert_int_equal(next->copy, HANDOFF__COPY_HELD);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

/* A standby that sends copies of records that are not what it says. */
static void
copy_of_a_strange_record_is_refused(void **state)
{
	struct side a, b;
	struct handoff__msg msg = {.type = HANDOFF__MIRROR, .nrefs = 5};
	struct handoff__record *rec;
	struct handoff__roster_entry *e;
	int fds[5];

	(void)state;
	pair_open(&a, &b);
	e = pair_enter(&a, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	rec = handoff__arena_record(&a.pair.arena, 0, 5);
	rec->id = 50;
	rec->kind = HANDOFF__CONNECTION;
	msg.refs[0] = (struct handoff__ref){.id = 99, /* not its number */
		.slot = 5,
		.arg = HANDOFF__CONNECTION};
	msg.refs[1] = (struct handoff__ref){.id = 50, /* not its kind */
		.slot = 5,
		.arg = HANDOFF__LISTENER};
	rec = handoff__arena_record(&a.pair.arena, 0, 6);
	rec->id = 60;
	rec->kind = 77;
	msg.refs[4] = (struct handoff__ref){.id = 60, /* no known kind */
		.slot = 6,
		.arg = 77};
	msg.refs[2] = (struct handoff__ref){.id = 1, .segment = 7};
	msg.refs[3] = (struct handoff__ref){.id = e->id, /* held already */
		.slot = e->slot,
		.arg = HANDOFF__CONNECTION};
	for (int i = 0; i < 5; i++)
		fds[i] = e->fd;
	assert_int_equal(handoff__link_try(&a.pair.link, &msg, fds, 5), 1);
	pair_run(&a, &b);
	/* Nothing leaked, as the checks around the test see. */
	assert_int_equal(b.pair.roster.held, 1);
	assert_int_equal(b.pair.partner, HANDOFF__PARTNER_READY);
	pair_close(&a, &b);
}

static void
drop_of_what_is_mine_is_ignored(void **state)
{
	struct side a, b;
	struct handoff__msg msg = {.type = HANDOFF__DROP, .nrefs = 2};
	struct handoff__roster_entry *mine;

	(void)state;
	pair_open(&a, &b);
	mine = pair_enter(&b, HANDOFF__CONNECTION);
	pair_run(&a, &b);
	msg.refs[0] = (struct handoff__ref){
		.id = mine->id, .segment = mine->segment, .slot = mine->slot};
	msg.refs[1] = (struct handoff__ref){
		.id = 1234, .segment = UINT32_MAX, .slot = UINT32_MAX};
	assert_int_equal(handoff__link_try(&a.pair.link, &msg, NULL, 0), 1);
	pair_run(&a, &b);
	assert_true(mine->fd >= 0);
	assert_int_equal(b.closing, 0);
	assert_covered(&b, &a);
	pair_close(&a, &b);
}

/* The owner never waits: what the link does not take is sent later. */
static void
owner_does_not_wait_for_the_standby(void **state)
{
	struct side a, b;
	unsigned ended = 0;

	(void)state;
	support_need_descriptors(4000);
	pair_open(&a, &b);
	for (int i = 0; i < 3000; i++) {
		struct handoff__roster_entry *e =
			pair_enter(&a, HANDOFF__CONNECTION);

		pair_run(&a, NULL);
		if (i % 2) {
			handoff__pair_end(&a.pair, e);
			ended++;
		}
	}
	assert_true(a.pair.link.blocked);
	assert_int_equal(a.pair.roster.owned, 3000 - ended);
	assert_true(a.pair.roster.uncovered > 0);
	pair_run(&a, &b);
	assert_covered(&a, &b);
	pair_close(&a, &b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(entries_of_before_and_after_are_mirrored),
		handoff_test(many_entries_are_mirrored),
		handoff_test(ids_are_unique_and_counted_by_kind),
		handoff_test(ended_entry_is_dropped),
		handoff_test(entry_that_ends_before_it_is_sent_is_no_news),
		handoff_test(entry_that_ends_before_it_is_answered_is_not_kept),
		handoff_test(records_are_used_again),
		handoff_test(both_may_own_entries),
		handoff_test(copy_that_cannot_be_watched_is_refused),
		handoff_test(own_entry_that_cannot_be_watched_is_closed),
		handoff_test(full_table_refuses_some),
		handoff_test(lost_message_is_not_mistaken_for_the_next),
		handoff_test(copy_of_a_strange_record_is_refused),
		handoff_test(drop_of_what_is_mine_is_ignored),
		handoff_test(owner_does_not_wait_for_the_standby),
	};

	return cmocka_run_group_tests_name("mirror", tests, NULL, NULL);
}
