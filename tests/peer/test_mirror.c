/* SPDX-License-Identifier: MIT */
/*
 * The standby's copies: which entries are copied, which copies are refused, and
 * how two peers allocate and free records in the same arena.
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
	struct handoff__roster_entry *listener;
	char name[HANDOFF_ADDRESS_MAX];

	(void)state;
	pair_own(&one);
	listener = pair_enter(&one, HANDOFF__LISTENER);
	pair_enter_many(&one, 3);
	assert_int_equal(one.pair.roster.uncovered, 4);
	pair_join(&one, &two);
	assert_int_equal(two.entered, 4);
	assert_covered(&one, &two);
	pair_enter(&one, HANDOFF__CONNECTION);
	pair_enter(&one, HANDOFF__EXTRA);
	pair_run(&one, &two);
	assert_int_equal(two.entered, 6);
	assert_covered(&one, &two);
	assert_int_equal(
		handoff__record_name(&pair_find(&two, listener)->view, name),
		0);
	assert_string_equal(name, "its-name");
}

/* More than fit into a message, and more than fit into a segment. */
static void
many_entries_are_mirrored(void **state)
{
	(void)state;
	support_need_descriptors(3000);
	pair_enter_many(&one, HANDOFF__SLOTS + 300);
	assert_int_equal(one.pair.arena.count, 2);
	pair_run(&one, &two);
	assert_int_equal(two.pair.arena.count, 2);
	assert_covered(&one, &two);
}

static void
ids_are_unique_and_counted_by_kind(void **state)
{
	(void)state;
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->id, 1);
	assert_int_equal(
		pair_enter(&one, HANDOFF__LISTENER)->id, UINT64_C(1) << 63);
	assert_int_equal(pair_enter(&one, HANDOFF__CONNECTION)->id, 2);
	assert_int_equal(
		pair_enter(&one, HANDOFF__EXTRA)->id, (UINT64_C(1) << 63) + 1);
}

static void
ended_entry_is_dropped(void **state)
{
	struct handoff__roster_entry *e, *copy;
	int fd;

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_enter_many(&one, 2);
	pair_run(&one, &two);
	copy = pair_find(&two, e);
	fd = copy->fd;
	handoff__pair_end(&one.pair, e);
	assert_int_equal(one.closing, 1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	pair_run(&one, &two);
	assert_int_equal(two.closing, 1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(copy->id, 0);
	assert_int_equal(e->id, 0);
	assert_int_equal(copy->view.rec->owner, 0);
	assert_covered(&one, &two);
}

static void
entry_that_ends_before_it_is_sent_is_no_news(void **state)
{
	(void)state;
	handoff__pair_end(&one.pair, pair_enter(&one, HANDOFF__CONNECTION));
	assert_int_equal(one.pair.roster.owned, 0);
	pair_run(&one, &two);
	assert_int_equal(two.entered, 0);
}

/* Its record is clear by the time that the standby looks at it. */
static void
entry_that_ends_before_it_is_answered_is_not_kept(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	handoff__pair_proceed(&one.pair);
	assert_int_equal(e->copy, HANDOFF__COPY_SENT);
	handoff__pair_end(&one.pair, e);
	pair_run(&one, &two);
	assert_int_equal(two.entered, 0);
	assert_int_equal(two.pair.roster.held, 0);
	assert_int_equal(one.pair.roster.refused, 0);
	assert_int_equal(e->id, 0);
	pair_enter_many(&one, 1);
	pair_run(&one, &two);
	assert_covered(&one, &two);
}

/* The record of an entry that was dropped is had again by either peer. */
static void
records_are_used_again(void **state)
{
	struct handoff__roster_entry *e;
	uint32_t slot;

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	slot = e->slot;
	for (int i = 0; i < 10; i++) {
		uint64_t id = e->id;

		pair_run(&one, &two);
		handoff__pair_end(&one.pair, e);
		/* Not before the standby has been told. */
		assert_int_not_equal(
			pair_enter(&one, HANDOFF__CONNECTION)->slot, slot);
		pair_run(&one, &two);
		e = pair_enter(&one, HANDOFF__CONNECTION);
		assert_int_equal(e->slot, slot);
		assert_true(e->id > id);
	}
	pair_run(&one, &two);
	assert_covered(&one, &two);
}

/* Both peers may own entries, and either takes records from any segment. */
static void
both_may_own_entries(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct handoff__roster_entry *ea =
			pair_enter(&one, HANDOFF__CONNECTION);
		struct handoff__roster_entry *eb =
			pair_enter(&two, HANDOFF__CONNECTION);

		assert_ptr_not_equal(ea->view.rec, eb->view.rec);
		assert_int_not_equal(ea->id, eb->id);
		if (i % 3 == 0)
			handoff__pair_end(&one.pair, ea);
		if (i % 4 == 0)
			handoff__pair_end(&two.pair, eb);
		if (i % 5 == 0)
			pair_run(&one, &two);
	}
	pair_run(&one, &two);
	assert_int_equal(one.pair.roster.owned, two.pair.roster.held);
	assert_int_equal(two.pair.roster.owned, one.pair.roster.held);
	assert_covered(&one, &two);
	assert_covered(&two, &one);
}

static void
copy_that_cannot_be_watched_is_refused(void **state)
{
	struct handoff__roster_entry *e;

	(void)state;
	two.refuse_entered = -ENOMEM;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	assert_int_equal(e->copy, HANDOFF__COPY_REFUSED);
	assert_int_equal(e->refusal, HANDOFF__NO_MEMORY);
	assert_int_equal(one.pair.roster.uncovered, 1);
	assert_int_equal(one.pair.roster.refused, 1);
	assert_int_equal(two.pair.roster.held, 0);
	/* It stays the owner's, and its record is not lost by the refusal. */
	assert_int_equal(e->view.rec->owner, one.pair.place);
	two.refuse_entered = 0;
	/* Every beat asks again for what was refused as stale, and only that.
	 */
	handoff__mirror_retry(&one.pair, 0);
	pair_run(&one, &two);
	assert_int_equal(e->copy, HANDOFF__COPY_REFUSED);
	e->refusal = HANDOFF__BAD_RECORD;
	handoff__mirror_retry(&one.pair, 0);
	pair_run(&one, &two);
	assert_covered(&one, &two);
}

static void
own_entry_that_cannot_be_watched_is_closed(void **state)
{
	int err, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uint32_t slot;

	(void)state;
	one.refuse_entered = -ENOMEM;
	assert_null(handoff__pair_enter(
		&one.pair, fd, HANDOFF__CONNECTION, NULL, &err));
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(one.pair.roster.owned, 0);
	one.refuse_entered = 0;
	slot = pair_enter(&one, HANDOFF__CONNECTION)->slot;
	assert_int_equal(slot, 0);
	pair_run(&one, &two);
	assert_covered(&one, &two);
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
	uint32_t refused;

	(void)state;
	support_not_in_valgrind();
	support_need_descriptors(6000);
	pair_enter_many(&one, 300);
	/* The limit is the process's, and so is this peer's. */
	support_limit_descriptors(100);
	pair_run(&one, &two);
	assert_some_are_free();
	support_unlimit_descriptors();
	refused = one.pair.roster.refused;
	assert_in_range(refused, 200, 299);
	assert_int_equal(one.pair.roster.uncovered, refused);
	assert_int_equal(two.pair.roster.held, 300 - refused);
	for (struct handoff__roster_entry *e = NULL;
		(e = handoff__roster_next(&one.pair.roster, e));) {
		if (e->copy == HANDOFF__COPY_REFUSED)
			assert_int_equal(e->refusal, HANDOFF__TABLE_FULL);
		assert_int_equal(pair_find(&two, e) != NULL,
			e->copy == HANDOFF__COPY_HELD);
	}
	/* There is room again, also in each message. */
	handoff__mirror_retry(&one.pair, UINT32_MAX);
	pair_run(&one, &two);
	assert_covered(&one, &two);
	assert_in_range(one.pair.mirror_max, 1, 4);
	for (int i = 0; i < 10; i++) {
		pair_enter_many(&one, 260);
		pair_run(&one, &two);
	}
	assert_int_equal(one.pair.mirror_max, HANDOFF_FDPASS_MAX);
	assert_covered(&one, &two);
}

/* The table is full for one message, whose entry ends before that is known;
 * what follows arrives, and must not be taken for it. */
static void
lost_message_is_not_mistaken_for_the_next(void **state)
{
	struct handoff__roster_entry *lost, *next;

	(void)state;
	lost = pair_enter(&one, HANDOFF__CONNECTION);
	handoff__pair_proceed(&one.pair);
	support_limit_descriptors(0);
	pair_run(NULL, &two);
	support_unlimit_descriptors();
	next = pair_enter(&one, HANDOFF__CONNECTION);
	handoff__pair_proceed(&one.pair);
	handoff__pair_end(&one.pair, lost);
	pair_run(&one, &two);
	assert_int_equal(two.entered, 1);
	assert_int_equal(next->copy, HANDOFF__COPY_HELD);
	assert_covered(&one, &two);
}

/* A standby that sends copies of records that are not what it says. */
static void
copy_of_a_strange_record_is_refused(void **state)
{
	struct handoff__msg msg = {.type = HANDOFF__MIRROR, .nrefs = 5};
	struct handoff__record *rec;
	struct handoff__roster_entry *e;
	int fds[5];

	(void)state;
	e = pair_enter(&one, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	rec = handoff__arena_record(&one.pair.arena, 0, 5);
	rec->id = 50;
	rec->kind = HANDOFF__CONNECTION;
	msg.refs[0] = (struct handoff__ref){.id = 99, /* not its number */
		.slot = 5,
		.arg = HANDOFF__CONNECTION};
	msg.refs[1] = (struct handoff__ref){.id = 50, /* not its kind */
		.slot = 5,
		.arg = HANDOFF__LISTENER};
	rec = handoff__arena_record(&one.pair.arena, 0, 6);
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
	assert_int_equal(handoff__link_try(&one.pair.link, &msg, fds, 5), 1);
	pair_run(&one, &two);
	/* Nothing leaked, as the checks around the test see. */
	assert_int_equal(two.pair.roster.held, 1);
	assert_int_equal(two.pair.partner, HANDOFF__PARTNER_READY);
}

static void
drop_of_what_is_mine_is_ignored(void **state)
{
	struct handoff__msg msg = {.type = HANDOFF__DROP, .nrefs = 2};
	struct handoff__roster_entry *mine;

	(void)state;
	mine = pair_enter(&two, HANDOFF__CONNECTION);
	pair_run(&one, &two);
	msg.refs[0] = (struct handoff__ref){
		.id = mine->id, .segment = mine->segment, .slot = mine->slot};
	msg.refs[1] = (struct handoff__ref){
		.id = 1234, .segment = UINT32_MAX, .slot = UINT32_MAX};
	assert_int_equal(handoff__link_try(&one.pair.link, &msg, NULL, 0), 1);
	pair_run(&one, &two);
	assert_true(mine->fd >= 0);
	assert_int_equal(two.closing, 0);
	assert_covered(&two, &one);
}

/* The owner never waits: what the link does not take is sent later. */
static void
owner_does_not_wait_for_the_standby(void **state)
{
	unsigned ended = 0;

	(void)state;
	support_need_descriptors(4000);
	for (int i = 0; i < 3000; i++) {
		struct handoff__roster_entry *e =
			pair_enter(&one, HANDOFF__CONNECTION);

		pair_run(&one, NULL);
		if (i % 2) {
			handoff__pair_end(&one.pair, e);
			ended++;
		}
	}
	assert_true(one.pair.link.blocked);
	assert_int_equal(one.pair.roster.owned, 3000 - ended);
	assert_true(one.pair.roster.uncovered > 0);
	pair_run(&one, &two);
	assert_covered(&one, &two);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		side_test(entries_of_before_and_after_are_mirrored),
		pair_test(many_entries_are_mirrored),
		pair_test(ids_are_unique_and_counted_by_kind),
		pair_test(ended_entry_is_dropped),
		pair_test(entry_that_ends_before_it_is_sent_is_no_news),
		pair_test(entry_that_ends_before_it_is_answered_is_not_kept),
		pair_test(records_are_used_again),
		pair_test(both_may_own_entries),
		pair_test(copy_that_cannot_be_watched_is_refused),
		pair_test(own_entry_that_cannot_be_watched_is_closed),
		pair_test(full_table_refuses_some),
		pair_test(lost_message_is_not_mistaken_for_the_next),
		pair_test(copy_of_a_strange_record_is_refused),
		pair_test(drop_of_what_is_mine_is_ignored),
		pair_test(owner_does_not_wait_for_the_standby),
	};

	return cmocka_run_group_tests_name("mirror", tests, NULL, NULL);
}
