/* SPDX-License-Identifier: MIT */
/*
 * Records that commit together: all of them or none, whichever instruction the
 * process dies after, and whichever its survivor dies after. Lists that make no
 * sense change nothing.
 */
#include "record/fixture.h"

#include "record/group.h"

#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE 16u
#define N     3u /* records of a commit */
#define DEAD  1u /* the place of their owner */
#define HERE  2u

struct set {
	struct handoff__arena arena;
	struct handoff__view views[N + 1]; /* the last is in no commit */
	uint32_t slots[N + 1];
};

static void
set_state(struct set *s, uint32_t i, const char *text)
{
	struct handoff_conn txn;

	handoff__txn_begin(&txn, &s->views[i]);
	memcpy(txn.state, text, strlen(text) + 1);
}

static void
open_set(struct set *s)
{
	uint32_t segment;

	record_arena(&s->arena, STATE);
	for (uint32_t i = 0; i <= N; i++) {
		assert_int_equal(
			handoff__arena_alloc(&s->arena, DEAD, record_always,
				NULL, &segment, &s->slots[i]),
			0);
		handoff__view_make(
			&s->views[i], s->arena.segments[0], s->slots[i]);
		handoff__record_set_id(s->views[i].rec, 10 + i);
		set_state(s, i, "old");
		assert_int_equal(
			handoff__record_flip(&s->views[i], sizeof("old")), 0);
	}
}

static void
close_set(struct set *s)
{
	handoff__arena_fini(&s->arena);
}

static const struct handoff__segment *
commons(const struct set *s)
{
	return handoff__arena_commons(&s->arena);
}

static struct handoff__group_list *
first_list(const struct set *s)
{
	return handoff__group_list(
		commons(s), (DEAD - 1) * HANDOFF__GROUP_LISTS);
}

/* All but the commit itself. */
static void
fill(struct set *s, struct handoff__group *group)
{
	assert_true(handoff__group_begin(group, commons(s), DEAD));
	for (uint32_t i = 0; i < N; i++) {
		set_state(s, i, "new state");
		assert_true(handoff__group_can_add(&s->views[i]));
		handoff__group_add(group, &s->views[i], 0, s->slots[i],
			sizeof("new state"));
	}
}

/* As it is when a peer dies after the list is armed. */
static void
arm(struct set *s)
{
	struct handoff__group group;

	fill(s, &group);
	group.list->count = group.count;
	atomic_store(&group.list->step, HANDOFF__GROUP_ARMED);
}

static void
assert_state(const struct handoff__view *view, const char *text)
{
	uint32_t sequence = handoff__record_sequence(view->rec);
	const struct handoff__commit *c = handoff__record_commit(view->rec);

	assert_true(handoff__record_ok(view));
	assert_int_equal(c->state_len, strlen(text) + 1);
	assert_string_equal(handoff__record_state(view, sequence & 1), text);
}

static void
assert_all(const struct set *s, const char *text)
{
	for (uint32_t i = 0; i < N; i++)
		assert_state(&s->views[i], text);
	assert_state(&s->views[N], "old");
}

static struct handoff__group_found
finish(const struct set *s)
{
	struct handoff__group_found found;

	handoff__group_finish(&s->arena, DEAD, &found);
	assert_int_equal(first_list(s)->step, HANDOFF__GROUP_FREE);
	return found;
}

static void
all_come_true_together(void **state)
{
	struct handoff__group group;
	struct set s;

	(void)state;
	open_set(&s);
	fill(&s, &group);
	assert_all(&s, "old");
	handoff__group_commit(&group);
	assert_all(&s, "new state");
	assert_int_equal(finish(&s).finished, 0);
	assert_all(&s, "new state");
	/* and again, as often as there are lists and more */
	for (uint32_t i = 0; i < 2 * HANDOFF__GROUPS; i++) {
		fill(&s, &group);
		handoff__group_commit(&group);
	}
	assert_int_equal(first_list(&s)->most, 1);
	close_set(&s);
}

static void
what_is_dropped_changes_nothing(void **state)
{
	struct handoff__group group;
	struct set s;

	(void)state;
	open_set(&s);
	fill(&s, &group);
	handoff__group_drop(&group);
	assert_all(&s, "old");
	assert_int_equal(finish(&s).finished, 0);
	assert_all(&s, "old");
	/* what was written is still there to be committed alone */
	assert_int_equal(
		handoff__record_flip(&s.views[0], sizeof("new state")), 0);
	assert_state(&s.views[0], "new state");
	close_set(&s);
}

static void
record_without_a_transaction_cannot_be_added(void **state)
{
	struct set s;

	(void)state;
	open_set(&s);
	assert_false(handoff__group_can_add(&s.views[0]));
	set_state(&s, 0, "new");
	assert_true(handoff__group_can_add(&s.views[0]));
	assert_int_equal(handoff__record_flip(&s.views[0], 4), 0);
	assert_false(handoff__group_can_add(&s.views[0]));
	close_set(&s);
}

/* As many threads of each peer may commit at once. */
static void
lists_of_a_peer_are_limited(void **state)
{
	struct handoff__group groups[HANDOFF__GROUP_LISTS], other;
	struct handoff__group_found found;
	struct set s;

	(void)state;
	open_set(&s);
	for (uint32_t i = 0; i < HANDOFF__GROUP_LISTS; i++)
		assert_true(
			handoff__group_begin(&groups[i], commons(&s), DEAD));
	assert_int_equal(first_list(&s)->most, HANDOFF__GROUP_LISTS);
	assert_false(handoff__group_begin(&other, commons(&s), DEAD));
	assert_true(handoff__group_begin(&other, commons(&s), HERE));
	assert_ptr_equal(other.list,
		handoff__group_list(commons(&s), HANDOFF__GROUP_LISTS));
	handoff__group_drop(&groups[7]);
	assert_true(handoff__group_begin(&groups[7], commons(&s), DEAD));
	/* A survivor frees those of the dead, and leaves its own alone. */
	handoff__group_finish(&s.arena, DEAD, &found);
	assert_int_equal(found.finished + found.damaged, 0);
	for (uint32_t i = 0; i < HANDOFF__GROUP_LISTS; i++)
		assert_int_equal(groups[i].list->step, HANDOFF__GROUP_FREE);
	assert_int_equal(other.list->step, HANDOFF__GROUP_WRITTEN);
	close_set(&s);
}

static void
survivor_flips_the_rest(void **state)
{
	struct set s;

	(void)state;
	for (uint32_t flipped = 0; flipped <= N; flipped++) {
		open_set(&s);
		arm(&s);
		for (uint32_t i = 0; i < flipped; i++)
			s.views[i].rec->sequence++;
		assert_int_equal(finish(&s).finished, 1);
		assert_all(&s, "new state");
		assert_int_equal(finish(&s).finished, 0);
		assert_all(&s, "new state");
		close_set(&s);
	}
}

/* Damages one field of an armed list, or of what it is about. */
typedef void damage_fn(struct set *s, struct handoff__group_list *list);

static void
too_many_items(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->count = HANDOFF__GROUP_MOST + 1;
}

static void
most_items_there_can_be(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->count = UINT32_MAX;
}

static void
no_such_segment(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->items[1].segment = 1;
}

static void
no_such_slot(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->items[2].slot = UINT32_MAX;
}

static void
another_entry(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->items[2].id++;
}

static void
free_record(struct set *s, struct handoff__group_list *list)
{
	list->items[2].id = 0;
	s->views[2].rec->id = 0;
}

static void
record_of_the_survivor(struct set *s, struct handoff__group_list *list)
{
	(void)list;
	s->views[1].rec->owner = HERE;
}

static void
record_that_is_offered(struct set *s, struct handoff__group_list *list)
{
	(void)list;
	s->views[1].rec->owner = HERE | HANDOFF__OFFERED;
}

static void
record_that_moves_to_another_host(
	struct set *s, struct handoff__group_list *list)
{
	(void)list;
	s->views[1].rec->owner = handoff__owner_elsewhere(0);
}

static void
far_sequence(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->items[0].sequence++;
}

static void
past_sequence(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->items[0].sequence -= 2;
}

static void
commit_that_was_not_written(struct set *s, struct handoff__group_list *list)
{
	handoff__commit_of(s->views[1].rec, list->items[1].sequence)
		->sequence--;
}

static void
unknown_step(struct set *s, struct handoff__group_list *list)
{
	(void)s;
	list->step = 3;
}

static damage_fn *const damages[] = {
	too_many_items,
	most_items_there_can_be,
	no_such_segment,
	no_such_slot,
	another_entry,
	free_record,
	record_of_the_survivor,
	record_that_is_offered,
	record_that_moves_to_another_host,
	far_sequence,
	past_sequence,
	commit_that_was_not_written,
	unknown_step,
};

static void
damaged_list_is_ignored_as_a_whole(void **state)
{
	struct handoff__group_found found;
	struct set s;

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		open_set(&s);
		arm(&s);
		damages[i](&s, first_list(&s));
		found = finish(&s);
		assert_int_equal(found.damaged, 1);
		assert_int_equal(found.finished, 0);
		for (uint32_t r = 0; r <= N; r++)
			assert_int_equal(s.views[r].rec->sequence, 1);
		close_set(&s);
	}
}

/* What no library has written: it must not crash, and leaves one of the two
 * states. */
static void
record_named_twice_is_one_of_both(void **state)
{
	struct handoff__group_list *list;
	struct set s;

	(void)state;
	for (uint32_t first = 1; first <= 2; first++) {
		open_set(&s);
		arm(&s);
		list = first_list(&s);
		list->items[1] = list->items[0];
		list->items[0].sequence = first;
		list->items[1].sequence = 3 - first;
		assert_int_equal(finish(&s).finished, 1);
		assert_state(&s.views[0], "new state");
		assert_state(&s.views[1], "old");
		assert_state(&s.views[2], "new state");
		close_set(&s);
	}
}

/* More than there are lists: nothing behind them is looked at. */
static void
damaged_number_of_lists_is_bounded(void **state)
{
	struct handoff__group other;
	struct set s;

	(void)state;
	open_set(&s);
	arm(&s);
	assert_true(handoff__group_begin(&other, commons(&s), HERE));
	first_list(&s)->most = UINT32_MAX;
	assert_int_equal(finish(&s).finished, 1);
	assert_int_equal(other.list->step, HANDOFF__GROUP_WRITTEN);
	assert_all(&s, "new state");
	close_set(&s);
}

/* Only a list that was ever used has a page. */
static void
looking_for_lists_takes_one_page(void **state)
{
	struct set s;
	off_t at;

	(void)state;
	open_set(&s);
	finish(&s);
	at = lseek(commons(&s)->fd, (off_t)commons(&s)->geo.groups, SEEK_DATA);
	assert_true(at < 0 || at == (off_t)commons(&s)->geo.groups);
	at = lseek(commons(&s)->fd,
		(off_t)(commons(&s)->geo.groups + HANDOFF__GROUP_SIZE),
		SEEK_DATA);
	assert_true(
		at < 0 || at >= (off_t)(commons(&s)->geo.groups +
					HANDOFF__GROUPS * HANDOFF__GROUP_SIZE));
	close_set(&s);
}

/* What a death at this moment would leave: a copy of the records and lists, in
 * an arena that has the same records. */
static void
copy_set(struct set *copy, const struct set *s)
{
	const struct handoff__geometry *geo = &commons(s)->geo;

	for (uint32_t i = 0; i <= N; i++)
		memcpy(copy->views[i].rec, s->views[i].rec, geo->stride);
	memcpy(first_list(copy), first_list(s), HANDOFF__GROUP_SIZE);
}

/* Each instruction of `run`, in a child; `look` is called after each one. */
static unsigned
step_through(struct set *s, void (*run)(struct set *s),
	void (*look)(const struct set *s, void *arg), void *arg)
{
	unsigned steps = 0;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(2);
		raise(SIGSTOP);
		run(s);
		_exit(0);
	}
	for (;; steps++) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		look(s, arg);
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return steps;
}

/* The copy that is looked at, and how often which states were found. */
struct looks {
	struct set copy;
	unsigned old, new, within;
};

static void
run_finish(struct set *s)
{
	struct handoff__group_found found;

	handoff__group_finish(&s->arena, DEAD, &found);
}

/* The survivor died too. */
static void
look_after_another_death(const struct set *s, void *arg)
{
	struct looks *looks = arg;

	copy_set(&looks->copy, s);
	finish(&looks->copy);
	assert_all(&looks->copy, "new state");
	looks->new ++;
}

static void
look_after_death(const struct set *s, void *arg)
{
	struct looks *looks = arg;
	bool new;

	copy_set(&looks->copy, s);
	finish(&looks->copy);
	new = looks->copy.views[0].rec->sequence != 1;
	assert_all(&looks->copy, new ? "new state" : "old");
	looks->new += new;
	looks->old += !new;
	/* the commit point is the list, not the first record */
	looks->within += new && s->views[N - 1].rec->sequence == 1;
}

static void
run_commit(struct set *s)
{
	struct handoff__group group;

	if (!handoff__group_begin(&group, commons(s), DEAD))
		_exit(1);
	for (uint32_t i = 0; i < N; i++) {
		set_state(s, i, "new state");
		handoff__group_add(&group, &s->views[i], 0, s->slots[i],
			sizeof("new state"));
	}
	handoff__group_commit(&group);
}

static void
death_at_any_instruction_leaves_all_or_none(void **state)
{
	struct looks looks = {.old = 0};
	struct set s;
	unsigned steps;

	(void)state;
	support_not_in_valgrind();
	support_not_emulated("it has no ptrace(2)");
	open_set(&s);
	open_set(&looks.copy);
	steps = step_through(&s, run_commit, look_after_death, &looks);
	assert_all(&s, "new state");
	assert_int_equal(looks.old + looks.new, steps);
	/* Both have been seen, and moments at which only the list knew. */
	assert_true(looks.old > 100 && looks.new > 10 && looks.within > 5);
	close_set(&looks.copy);
	close_set(&s);
}

static void
death_of_the_survivor_leaves_as_much(void **state)
{
	struct looks looks = {.old = 0};
	struct set s;

	(void)state;
	support_not_in_valgrind();
	support_not_emulated("it has no ptrace(2)");
	open_set(&s);
	open_set(&looks.copy);
	arm(&s);
	step_through(&s, run_finish, look_after_another_death, &looks);
	assert_all(&s, "new state");
	assert_true(looks.new > 50);
	close_set(&looks.copy);
	close_set(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(all_come_true_together),
		handoff_test(what_is_dropped_changes_nothing),
		handoff_test(record_without_a_transaction_cannot_be_added),
		handoff_test(lists_of_a_peer_are_limited),
		handoff_test(survivor_flips_the_rest),
		handoff_test(damaged_list_is_ignored_as_a_whole),
		handoff_test(record_named_twice_is_one_of_both),
		handoff_test(damaged_number_of_lists_is_bounded),
		handoff_test(looking_for_lists_takes_one_page),
		handoff_test(death_at_any_instruction_leaves_all_or_none),
		handoff_test(death_of_the_survivor_leaves_as_much),
	};

	return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
