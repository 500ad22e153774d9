/* SPDX-License-Identifier: MIT */
/*
 * The roster of entries: cells, lists, and counts that must be right after
 * every operation.
 */
#include "support/support.h"

#include "peer/roster.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define OWN 1u

/* The layer above keeps its own data behind each entry. */
struct cell {
	struct handoff__roster_entry entry;
	char mark[24];
};

struct fixture {
	struct handoff__arena arena;
	struct handoff__roster roster;
};

static void
open_roster(struct fixture *f)
{
	struct handoff__geometry geo;

	handoff__arena_init(&f->arena);
	assert_int_equal(handoff__geometry_make(&geo, 0, 4096, 4096), 0);
	assert_int_equal(handoff__arena_grow(&f->arena, &geo), 0);
	handoff__roster_init(&f->roster, &f->arena, sizeof(struct cell));
}

static void
close_roster(struct fixture *f)
{
	handoff__roster_fini(&f->roster);
	handoff__arena_fini(&f->arena);
}

static int
some_fd(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool
vacant(void *arg, uint32_t segment, uint32_t slot)
{
	struct handoff__roster_entry *e =
		handoff__roster_at(arg, segment, slot);

	return e && e->id == 0;
}

static struct handoff__roster_entry *
enter(struct fixture *f, uint32_t kind, bool mine)
{
	static uint64_t next_id = 1;
	struct handoff__roster_entry *e;
	struct handoff__record *rec;
	uint32_t segment, slot;

	assert_int_equal(handoff__arena_alloc(&f->arena, OWN, vacant,
				 &f->roster, &segment, &slot),
		0);
	rec = handoff__arena_record(&f->arena, segment, slot);
	rec->id = next_id++;
	rec->kind = kind;
	e = handoff__roster_at(&f->roster, segment, slot);
	assert_non_null(e);
	handoff__roster_enter(&f->roster, e, segment, slot, some_fd(), mine);
	return e;
}

/* The counts as a look at every entry says they must be. */
static void
assert_counts(struct fixture *f)
{
	const struct handoff__roster *r = &f->roster;
	struct handoff__roster seen = {.owned = 0};
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&f->roster, e))) {
		bool conn = e->kind == HANDOFF__CONNECTION;

		seen.owned += e->mine;
		seen.held += !e->mine;
		seen.connections += e->mine && conn;
		seen.copies += !e->mine && conn;
		seen.uncovered += e->mine && e->copy != HANDOFF__COPY_HELD;
		seen.refused += e->mine && e->copy == HANDOFF__COPY_REFUSED;
	}
	assert_int_equal(r->owned, seen.owned);
	assert_int_equal(r->held, seen.held);
	assert_int_equal(r->connections, seen.connections);
	assert_int_equal(r->copies, seen.copies);
	assert_int_equal(r->uncovered, seen.uncovered);
	assert_int_equal(r->refused, seen.refused);
}

static void
entered_entry_is_found(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;

	(void)state;
	open_roster(&f);
	e = enter(&f, HANDOFF__CONNECTION, true);
	assert_int_equal(e->kind, HANDOFF__CONNECTION);
	assert_int_equal(e->id, e->view.rec->id);
	assert_int_equal(e->copy, HANDOFF__COPY_NONE);
	assert_null(e->list);
	assert_ptr_equal(
		handoff__roster_find(&f.roster, e->segment, e->slot, e->id), e);
	assert_null(handoff__roster_find(
		&f.roster, e->segment, e->slot, e->id + 1));
	assert_null(handoff__roster_find(
		&f.roster, e->segment, e->slot + 1, e->id));
	assert_null(handoff__roster_find(&f.roster, 1, e->slot, e->id));
	assert_null(handoff__roster_find(
		&f.roster, e->segment, e->slot + 1, 0)); /* vacant */
	close_roster(&f);
}

static void
copy_is_held_from_the_beginning(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;

	(void)state;
	open_roster(&f);
	e = enter(&f, HANDOFF__LISTENER, false);
	assert_int_equal(e->copy, HANDOFF__COPY_HELD);
	assert_int_equal(f.roster.held, 1);
	assert_int_equal(f.roster.copies, 0);
	assert_int_equal(f.roster.uncovered, 0);
	close_roster(&f);
}

static void
cells_keep_the_users_data(void **state)
{
	struct fixture f;
	struct cell *cell;
	uint32_t slot;

	(void)state;
	open_roster(&f);
	cell = (struct cell *)(void *)enter(&f, HANDOFF__CONNECTION, true);
	slot = cell->entry.slot;
	assert_string_equal(cell->mark, "");
	strcpy(cell->mark, "mine");
	enter(&f, HANDOFF__CONNECTION, true);
	assert_string_equal(cell->mark, "mine");
	atomic_store(&cell->entry.view.rec->owner, 0);
	handoff__roster_vacate(&f.roster, &cell->entry);
	cell = (struct cell *)(void *)enter(&f, HANDOFF__CONNECTION, true);
	assert_int_equal(cell->entry.slot, slot);
	assert_string_equal(cell->mark, "mine");
	close_roster(&f);
}

static void
no_cell_without_a_record(void **state)
{
	struct fixture f;

	(void)state;
	open_roster(&f);
	assert_non_null(handoff__roster_at(&f.roster, 0, HANDOFF__SLOTS - 1));
	assert_null(handoff__roster_at(&f.roster, 0, HANDOFF__SLOTS));
	assert_null(handoff__roster_at(&f.roster, 1, 0));
	assert_null(handoff__roster_at(&f.roster, UINT32_MAX, UINT32_MAX));
	close_roster(&f);
}

static void
closed_entry_keeps_its_cell(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e;
	uint32_t slot;
	uint64_t id;
	int fd;

	(void)state;
	open_roster(&f);
	e = enter(&f, HANDOFF__CONNECTION, true);
	fd = e->fd;
	id = e->id;
	slot = e->slot;
	handoff__roster_close(&f.roster, e);
	handoff__roster_close(&f.roster, e);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_null(handoff__roster_find(&f.roster, 0, slot, id));
	assert_null(handoff__roster_next(&f.roster, NULL));
	assert_counts(&f);
	/* Its record is free; the cell is not, until the DROP is sent. */
	atomic_store(&e->view.rec->owner, 0);
	assert_int_not_equal(enter(&f, HANDOFF__CONNECTION, true)->slot, slot);
	handoff__roster_vacate(&f.roster, e);
	assert_int_equal(enter(&f, HANDOFF__CONNECTION, true)->slot, slot);
	close_roster(&f);
}

static void
counts_follow_everything(void **state)
{
	static const uint32_t kinds[] = {
		HANDOFF__CONNECTION, HANDOFF__LISTENER, HANDOFF__EXTRA};
	static const enum handoff__copy copies[] = {HANDOFF__COPY_NONE,
		HANDOFF__COPY_SENT, HANDOFF__COPY_HELD, HANDOFF__COPY_REFUSED};
	struct fixture f;

	(void)state;
	open_roster(&f);
	for (unsigned i = 0; i < 3 * 4 * 4; i++) {
		struct handoff__roster_entry *e =
			enter(&f, kinds[i % 3], i % 2);

		assert_counts(&f);
		handoff__roster_set_copy(&f.roster, e, copies[i / 3 % 4]);
		assert_counts(&f);
		handoff__roster_set_mine(&f.roster, e, i % 4 < 2);
		assert_counts(&f);
		handoff__roster_set_copy(&f.roster, e, copies[i / 12 % 4]);
		assert_counts(&f);
		if (i % 5 == 0)
			handoff__roster_close(&f.roster, e);
		/* A closed entry counts for nothing, whatever becomes of it. */
		handoff__roster_set_mine(&f.roster, e, i % 8 < 4);
		assert_counts(&f);
		if (i % 7 == 0)
			handoff__roster_vacate(&f.roster, e);
		assert_counts(&f);
	}
	handoff__roster_fini(&f.roster);
	assert_int_equal(f.roster.owned + f.roster.held, 0);
	assert_int_equal(f.roster.uncovered + f.roster.refused, 0);
	close_roster(&f);
}

static unsigned
length_of(const struct handoff__entries *list)
{
	const struct handoff__roster_entry *e;
	unsigned n = 0;

	TAILQ_FOREACH (e, list, node)
		n++;
	return n;
}

static void
entry_is_in_one_list_at_most(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *a, *b;

	(void)state;
	open_roster(&f);
	a = enter(&f, HANDOFF__CONNECTION, true);
	b = enter(&f, HANDOFF__CONNECTION, true);
	handoff__roster_queue(a, &f.roster.to_mirror);
	handoff__roster_queue(b, &f.roster.to_mirror);
	assert_ptr_equal(TAILQ_FIRST(&f.roster.to_mirror), a);
	handoff__roster_queue(a, &f.roster.to_mirror);
	assert_ptr_equal(TAILQ_FIRST(&f.roster.to_mirror), b);
	assert_int_equal(length_of(&f.roster.to_mirror), 2);
	handoff__roster_queue(a, &f.roster.sent);
	assert_int_equal(length_of(&f.roster.to_mirror), 1);
	assert_int_equal(length_of(&f.roster.sent), 1);
	assert_ptr_equal(a->list, &f.roster.sent);
	handoff__roster_unqueue(a);
	handoff__roster_unqueue(a);
	assert_int_equal(length_of(&f.roster.sent), 0);
	close_roster(&f);
}

static void
closing_and_vacating_leave_the_lists(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *a, *b;

	(void)state;
	open_roster(&f);
	a = enter(&f, HANDOFF__CONNECTION, true);
	b = enter(&f, HANDOFF__CONNECTION, true);
	handoff__roster_queue(a, &f.roster.sent);
	handoff__roster_queue(b, &f.roster.to_mirror);
	handoff__roster_close(&f.roster, a);
	assert_int_equal(length_of(&f.roster.sent), 0);
	handoff__roster_vacate(&f.roster, b);
	assert_int_equal(length_of(&f.roster.to_mirror), 0);
	/* Closed, then queued for its DROP. */
	handoff__roster_queue(a, &f.roster.to_drop);
	handoff__roster_vacate(&f.roster, a);
	assert_int_equal(length_of(&f.roster.to_drop), 0);
	close_roster(&f);
}

/* Every live entry once, in the order of the records, over segments of which
 * one was never used. */
static void
walk_sees_each_entry_once(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e = NULL;
	unsigned seen = 0;

	(void)state;
	open_roster(&f);
	assert_null(handoff__roster_next(&f.roster, NULL));
	for (int i = 0; i < 2; i++)
		assert_int_equal(handoff__arena_grow(
					 &f.arena, &f.arena.segments[0]->geo),
			0);
	for (unsigned slot = 5; slot < HANDOFF__SLOTS; slot += 100) {
		for (uint32_t segment = 0; segment < 3; segment += 2) {
			struct handoff__record *rec =
				handoff__arena_record(&f.arena, segment, slot);

			rec->id = slot;
			rec->kind = HANDOFF__CONNECTION;
			handoff__roster_enter(&f.roster,
				handoff__roster_at(&f.roster, segment, slot),
				segment, slot, some_fd(), true);
		}
	}
	while ((e = handoff__roster_next(&f.roster, e))) {
		assert_int_equal(e->segment, seen < 11 ? 0 : 2);
		assert_int_equal(e->slot, 5 + seen % 11 * 100);
		seen++;
	}
	assert_int_equal(seen, 22);
	close_roster(&f);
}

static void
entries_may_end_during_a_walk(void **state)
{
	struct fixture f;
	struct handoff__roster_entry *e = NULL;
	unsigned seen = 0;

	(void)state;
	open_roster(&f);
	for (int i = 0; i < 20; i++)
		enter(&f, HANDOFF__CONNECTION, true);
	while ((e = handoff__roster_next(&f.roster, e))) {
		if (seen++ % 2)
			handoff__roster_vacate(&f.roster, e);
		else
			handoff__roster_close(&f.roster, e);
	}
	assert_int_equal(seen, 20);
	assert_null(handoff__roster_next(&f.roster, NULL));
	assert_counts(&f);
	close_roster(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(entered_entry_is_found),
		handoff_test(copy_is_held_from_the_beginning),
		handoff_test(cells_keep_the_users_data),
		handoff_test(no_cell_without_a_record),
		handoff_test(closed_entry_keeps_its_cell),
		handoff_test(counts_follow_everything),
		handoff_test(entry_is_in_one_list_at_most),
		handoff_test(closing_and_vacating_leave_the_lists),
		handoff_test(walk_sees_each_entry_once),
		handoff_test(entries_may_end_during_a_walk),
	};

	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
