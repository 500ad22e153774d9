/* SPDX-License-Identifier: MIT */
/*
 * States of several entries that come true together, also when their owner is
 * killed at any moment; and changes that are refused as a whole.
 */
#include "embed/sides.h"

#include "embed/embed.h"
#include "record/group.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OTHERS 60u /* so many that a kill may well be between two flips */
#define DATA   4u
#define ALL    (OTHERS + DATA)
#define KILLS  60
#define WORDS  4u /* of a state */

static struct handoff_entry *
deposit_data(struct handoff_peer *peer, const char *name, size_t capacity)
{
	struct handoff_entry_opts opts = {.size = sizeof(opts),
		.kind = HANDOFF_ENTRY_DATA,
		.name = name,
		.capacity = capacity};
	struct handoff_entry *e = NULL;

	return handoff_peer_deposit(peer, &e, &opts) < 0 ? NULL : e;
}

/* Two connections and data. */
struct three {
	struct pair p;
	struct handoff_entry *a, *b, *data;
	int fds[4];
};

static void
open_three(struct three *t)
{
	pair_open(&t->p);
	t->a = side_deposit(&t->p.a, &t->fds[0], &t->fds[1], "a", "old a");
	t->b = side_deposit(&t->p.a, &t->fds[2], &t->fds[3], "b", "old b");
	t->data = deposit_data(t->p.a.peer, "log", 100);
	assert_non_null(t->data);
	assert_int_equal(handoff_entry_update(t->data, "old log", 7), 0);
}

static void
close_three(struct three *t)
{
	for (int i = 0; i < 4; i++)
		close(t->fds[i]);
	pair_close(&t->p);
}

static void
assert_old(const struct three *t)
{
	assert_state(t->a, "old a");
	assert_state(t->b, "old b");
	assert_state(t->data, "old log");
}

static int
commit(struct three *t, const struct handoff_change *changes, size_t count)
{
	return handoff_peer_commit(
		t->p.a.peer, changes, count, sizeof(*changes));
}

static void
states_come_true_together(void **state)
{
	struct three t;
	char *edit;

	(void)state;
	open_three(&t);
	edit = handoff_entry_edit(t.b);
	memcpy(edit, "new", 3);
	assert_old(&t);
	struct handoff_change changes[] = {
		{t.a, "a state", 7},
		{t.b, NULL, 5},
		{t.data, "log, longer", 11},
	};

	assert_int_equal(commit(&t, changes, 3), 0);
	assert_state(t.a, "a state");
	assert_state(t.b, "new b");
	assert_state(t.data, "log, longer");
	/* what was being edited is replaced; a state may be empty */
	handoff_entry_edit(t.b);
	changes[1] = (struct handoff_change){t.b, "", 0};
	assert_int_equal(commit(&t, changes, 2), 0);
	assert_state(t.a, "a state");
	assert_state(t.b, "");
	assert_int_equal(handoff_entry_commit(t.b, 0), -EINVAL);
	/* one alone */
	changes[0] = (struct handoff_change){t.data, "log", 3};
	assert_int_equal(commit(&t, changes, 1), 0);
	assert_state(t.data, "log");
	close_three(&t);
}

/* A structure of a later version, with members that are not known here. */
struct later_change {
	struct handoff_change known;
	uint64_t more;
};

static void
changes_may_be_of_another_version(void **state)
{
	struct later_change changes[2] = {{.more = 0}};
	struct three t;

	(void)state;
	open_three(&t);
	changes[0].known = (struct handoff_change){t.a, "new a", 5};
	changes[1].known = (struct handoff_change){t.b, "new b", 5};
	changes[1].more = 1;
	assert_int_equal(handoff_peer_commit(t.p.a.peer, &changes[0].known, 2,
				 sizeof(changes[0])),
		-E2BIG);
	assert_old(&t);
	changes[1].more = 0;
	assert_int_equal(handoff_peer_commit(t.p.a.peer, &changes[0].known, 2,
				 sizeof(changes[0])),
		0);
	assert_state(t.a, "new a");
	assert_state(t.b, "new b");
	assert_int_equal(handoff_peer_commit(t.p.a.peer, &changes[0].known, 1,
				 sizeof(changes[0].known) - 1),
		-EINVAL);
	close_three(&t);
}

static void
assert_refused(struct three *t, int err, const char *why,
	const struct handoff_change *changes, size_t count)
{
	assert_int_equal(commit(t, changes, count), err);
	if (!strstr(handoff_peer_errmsg(t->p.a.peer), why))
		fail_msg("\"%s\" does not say: %s",
			handoff_peer_errmsg(t->p.a.peer), why);
	assert_old(t);
}

static void
bad_changes_are_refused_as_a_whole(void **state)
{
	static char big[STATE_SIZE + 1];
	struct handoff_change many[HANDOFF_CHANGES_MAX + 1] = {{.len = 0}};
	struct handoff_change changes[2];
	struct handoff_entry *other;
	struct three t;
	struct side c;
	char dir[100];

	(void)state;
	open_three(&t);
	snprintf(dir, sizeof(dir), "%s/other", t.p.a.opts.dir);
	side_init(&c, dir, "three");
	assert_int_equal(handoff_peer_open(&c.peer, &c.opts), 0);
	other = deposit_data(c.peer, "other", 100);
	changes[0] = (struct handoff_change){t.a, "new a", 5};
	changes[1] = (struct handoff_change){t.b, "new b", 5};
	assert_int_equal(
		handoff_peer_commit(NULL, changes, 2, sizeof(changes[0])),
		-EINVAL);
	assert_refused(&t, -EINVAL, "no changes", changes, 0);
	assert_refused(&t, -EINVAL, "no changes", NULL, 2);
	assert_refused(&t, -E2BIG, "128", many, sizeof(many) / sizeof(many[0]));
	changes[1].entry = NULL;
	assert_refused(&t, -EINVAL, "change 2: it has no entry", changes, 2);
	changes[1].entry = t.a;
	assert_refused(&t, -EINVAL, "change 2: its entry has one", changes, 2);
	changes[1].entry = other;
	assert_refused(&t, -EINVAL, "change 2: its entry is of another peer",
		changes, 2);
	changes[1] = (struct handoff_change){t.b, NULL, 5};
	assert_refused(&t, -EINVAL, "change 2: it has no state", changes, 2);
	changes[1] = (struct handoff_change){t.b, big, STATE_SIZE + 1};
	assert_refused(
		&t, -EMSGSIZE, "change 2: its state is longer", changes, 2);
	changes[1] = (struct handoff_change){t.data, big, 4097};
	assert_refused(
		&t, -EMSGSIZE, "change 2: its state is longer", changes, 2);
	/* also where there is no other */
	assert_refused(
		&t, -EMSGSIZE, "change 1: its state is longer", &changes[1], 1);
	handoff_peer_free(c.peer);
	close_three(&t);
}

/* One that is being edited can still be committed when others are refused. */
static void
refusal_leaves_what_is_edited(void **state)
{
	struct three t;

	(void)state;
	open_three(&t);
	memcpy(handoff_entry_edit(t.a), "new", 3);
	assert_refused(&t, -EINVAL, "nothing is being edited",
		(struct handoff_change[]){{t.a, NULL, 5}, {t.b, NULL, 5}}, 2);
	assert_int_equal(handoff_entry_commit(t.a, 5), 0);
	assert_state(t.a, "new a");
	close_three(&t);
}

static void
entry_of_the_other_peer_is_refused(void **state)
{
	struct handoff_change changes[2];
	struct three t;

	(void)state;
	open_three(&t);
	pair_settle(&t.p);
	assert_int_equal(handoff_peer_give(t.p.a.peer), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(handoff_entry_release(pair_expect(
					 &t.p, &t.p.a, HANDOFF_PEER_RELEASE)),
			0);
	pair_expect(&t.p, &t.p.a, HANDOFF_PEER_GAVE);
	changes[0] = (struct handoff_change){t.a, "never", 5};
	changes[1] = (struct handoff_change){t.data, "never", 5};
	assert_int_equal(commit(&t, changes, 2), -EINVAL);
	assert_non_null(strstr(handoff_peer_errmsg(t.p.a.peer),
		"change 1: its entry is not this peer's"));
	for (int i = 0; i < 3; i++) {
		pair_expect(&t.p, &t.p.b, HANDOFF_PEER_TAKEN);
		if (t.p.b.event.fd >= 0)
			close(t.p.b.event.fd);
	}
	close_three(&t);
}

static void
as_many_as_the_limit_says(void **state)
{
	struct handoff_change changes[HANDOFF_CHANGES_MAX];
	struct pair p;

	(void)state;
	support_need_descriptors(1000);
	pair_open(&p);
	for (size_t i = 0; i < HANDOFF_CHANGES_MAX; i++) {
		struct handoff_entry_opts opts = {.size = sizeof(opts),
			.kind = HANDOFF_ENTRY_OTHER,
			.fd = STDIN_FILENO};

		changes[i] = (struct handoff_change){.state = "both", .len = 4};
		assert_int_equal(handoff_peer_deposit(
					 p.a.peer, &changes[i].entry, &opts),
			0);
	}
	assert_int_equal(handoff_peer_commit(p.a.peer, changes,
				 HANDOFF_CHANGES_MAX, sizeof(changes[0])),
		0);
	for (size_t i = 0; i < HANDOFF_CHANGES_MAX; i++)
		assert_state(changes[i].entry, "both");
	pair_close(&p);
}

static void
more_threads_than_lists_are_told(void **state)
{
	struct handoff__group groups[HANDOFF__GROUP_LISTS];
	struct three t;

	(void)state;
	open_three(&t);
	struct handoff_change changes[] = {
		{t.a, "new a", 5}, {t.data, "new log", 7}};

	for (size_t i = 0; i < HANDOFF__GROUP_LISTS; i++)
		assert_true(handoff__group_begin(&groups[i],
			handoff__arena_commons(&t.p.a.peer->pair.arena), 1));
	assert_refused(&t, -EAGAIN, "too many threads", changes, 2);
	handoff__group_drop(&groups[3]);
	assert_int_equal(commit(&t, changes, 2), 0);
	assert_state(t.data, "new log");
	close_three(&t);
}

/* Each thread has entries of its own; nothing of the handle is touched. */
struct worker {
	pthread_t thread;
	struct handoff_peer *peer;
	struct handoff_entry *entries[2];
	atomic_bool *stop;
	uint64_t last;
	bool failed;
};

static void *
commit_in_a_thread(void *arg)
{
	struct worker *w = arg;
	struct handoff_change changes[2];
	uint64_t n[WORDS] = {0};

	do {
		n[0]++;
		for (int i = 0; i < 2; i++)
			changes[i] = (struct handoff_change){
				w->entries[i], n, sizeof(n)};
		w->failed |= handoff_peer_commit(w->peer, changes, 2,
				     sizeof(changes[0])) < 0;
		/* and one that fails, whose sentence nobody reads */
		w->failed |= handoff_peer_commit(w->peer, changes, 0,
				     sizeof(changes[0])) != -EINVAL;
		w->last = n[0];
	} while (!atomic_load(w->stop));
	return NULL;
}

static void
threads_commit_entries_of_their_own(void **state)
{
	struct worker workers[4];
	atomic_bool stop = false;
	struct pair p;
	int fds[4][4];

	(void)state;
	pair_open(&p);
	memset(workers, 0, sizeof(workers));
	for (int i = 0; i < 4; i++) {
		struct worker *w = &workers[i];

		w->stop = &stop;
		w->peer = p.a.peer;
		for (int j = 0; j < 2; j++)
			w->entries[j] = side_deposit(&p.a, &fds[i][2 * j],
				&fds[i][2 * j + 1], NULL, "");
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL,
					 commit_in_a_thread, &workers[i]),
			0);
	for (int i = 0; i < 100; i++) {
		struct handoff_entry *e = deposit_data(p.a.peer, "short", 100);

		assert_int_equal(
			handoff_peer_commit(p.a.peer, NULL, 1, 0), -EINVAL);
		assert_string_equal(handoff_peer_errmsg(p.a.peer),
			"commit: there are no changes");
		handoff_peer_wait(p.a.peer, 0);
		handoff_peer_wait(p.b.peer, 0);
		handoff_entry_withdraw(e);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		assert_false(w->failed);
		assert_true(w->last > 0);
		for (int j = 0; j < 2; j++) {
			size_t len;
			const uint64_t *n =
				handoff_entry_state(w->entries[j], &len);

			assert_int_equal(len, WORDS * sizeof(*n));
			assert_int_equal(n[0], w->last);
		}
		for (int j = 0; j < 4; j++)
			close(fds[i][j]);
	}
	pair_close(&p);
}

/* In the child: deposits all of them. */
static bool
deposit_all(struct handoff_peer *peer, struct handoff_change *changes,
	uint64_t numbers[ALL][WORDS])
{
	for (size_t i = 0; i < ALL; i++) {
		bool data = i % (ALL / DATA) == 0;
		char name[16];
		struct handoff_entry_opts opts = {.size = sizeof(opts),
			.kind = data ? HANDOFF_ENTRY_DATA : HANDOFF_ENTRY_OTHER,
			.fd = STDIN_FILENO,
			.name = name,
			.capacity = data ? sizeof(numbers[i]) : 0};

		snprintf(name, sizeof(name), "number %zu", i);
		if (handoff_peer_deposit(peer, &changes[i].entry, &opts) < 0)
			return false;
		changes[i].state = numbers[i];
		changes[i].len = sizeof(numbers[i]);
	}
	return true;
}

/* In the child: counts up in all states at once, until it is killed. */
static int
count_up(const char *dir, int told, void *arg)
{
	static uint64_t numbers[ALL][WORDS];
	struct handoff_change changes[ALL];
	bool giving = arg;
	struct side side;

	side_init(&side, dir, "one");
	if (handoff_peer_open(&side.peer, &side.opts) < 0 ||
		!deposit_all(side.peer, changes, numbers) ||
		write(told, "x", 1) < 0)
		return 1;
	for (uint64_t n = 1;; n++) {
		if (n % 256 == 1)
			handoff_peer_dispatch(side.peer);
		/* a standby has come, and is offered nothing: the program goes
		 * on with all entries */
		if (giving)
			giving = handoff_peer_give(side.peer) < 0;
		for (size_t i = 0; i < ALL * WORDS; i++)
			numbers[i / WORDS][i % WORDS] = n;
		/* with one that is edited in place, in turns */
		changes[n % ALL].state = NULL;
		memcpy(handoff_entry_edit(changes[n % ALL].entry),
			numbers[n % ALL], sizeof(numbers[0]));
		if (handoff_peer_commit(
			    side.peer, changes, ALL, sizeof(changes[0])) < 0)
			return 1;
		changes[n % ALL].state = numbers[n % ALL];
	}
}

/* At a moment that nobody chooses. */
static void
wait_at_random(unsigned round)
{
	struct timespec time = {.tv_nsec = (random() % 3000 + round) * 1000L};

	nanosleep(&time, NULL);
}

/* One number in all states, whichever that is. */
static uint64_t
assert_one_number(struct pair *p)
{
	uint64_t number = 0;

	for (size_t i = 0; i < ALL; i++) {
		struct handoff_entry *e =
			pair_expect(p, &p->b, HANDOFF_PEER_TAKEN);
		size_t len;
		const uint64_t *n = handoff_entry_state(e, &len);

		if (p->b.event.fd >= 0)
			close(p->b.event.fd);
		assert_int_equal(len, WORDS * sizeof(*n));
		if (i == 0)
			number = n[0];
		for (size_t w = 0; w < WORDS; w++)
			assert_int_equal(n[w], number);
	}
	return number;
}

static void
killed_owner_leaves_all_or_none(void **state)
{
	const char *dir = support_dir();
	unsigned finished = 0;

	(void)state;
	srandom((unsigned)time(NULL));
	for (unsigned round = 0; round < KILLS; round++) {
		bool giving = round % 2; /* in half of the rounds */
		struct pair p;
		pid_t pid;

		memset(&p, 0, sizeof(p));
		pid = side_child(count_up, dir, giving ? &giving : NULL);
		side_init(&p.b, dir, "two");
		assert_int_equal(handoff_peer_open(&p.b.peer, &p.b.opts), 0);
		pair_expect(&p, &p.b, HANDOFF_PEER_STANDBY);
		while (p.b.peer->pair.roster.held < ALL)
			handoff_peer_wait(p.b.peer, 10);
		for (long i = giving ? random() % 8 : 0; i > 0; i--)
			handoff_peer_wait(p.b.peer, 1);
		wait_at_random(round);
		side_kill(pid);
		assert_true(assert_one_number(&p) > 0);
		pair_expect(&p, &p.b, HANDOFF_PEER_OWNER);
		finished += p.b.peer->pair.survival.finished;
		assert_null(strstr(p.b.logged, "damaged"));
		handoff_peer_free(p.b.peer);
	}
	print_message("%u of %d commits were finished by the survivor\n",
		finished, KILLS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(states_come_true_together),
		handoff_test(changes_may_be_of_another_version),
		handoff_test(bad_changes_are_refused_as_a_whole),
		handoff_test(refusal_leaves_what_is_edited),
		handoff_test(entry_of_the_other_peer_is_refused),
		handoff_test(as_many_as_the_limit_says),
		handoff_test(more_threads_than_lists_are_told),
		handoff_test(threads_commit_entries_of_their_own),
		handoff_test(killed_owner_leaves_all_or_none),
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
