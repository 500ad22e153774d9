/* SPDX-License-Identifier: MIT */
/*
 * Entries whose states are updated by threads of the program, each its own,
 * while the thread of the handle dispatches, deposits and withdraws others.
 */
#include "embed/sides.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS  200

struct worker {
	pthread_t thread;
	struct handoff_entry *entry;
	atomic_bool *stop;
	int fd, client;
	uint64_t last; /* that was committed */
	bool failed;
};

/* Counts up in the state, in turns by update and in place. */
static void *
count_up(void *arg)
{
	struct worker *w = arg;
	uint64_t n[8] = {0};

	do {
		n[0]++;
		if (n[0] % 2 == 0) {
			w->failed |= handoff_entry_update(
					     w->entry, n, sizeof(n)) < 0;
		} else {
			memcpy(handoff_entry_edit(w->entry), n, sizeof(n));
			w->failed |=
				handoff_entry_commit(w->entry, sizeof(n)) < 0;
		}
		w->last = n[0];
	} while (!atomic_load(w->stop)); /* once, even if it begins late */
	return NULL;
}

static struct worker *
worker_of(struct worker *workers, uint64_t id)
{
	for (int i = 0; i < THREADS; i++) {
		if (handoff_entry_id(workers[i].entry) == id)
			return &workers[i];
	}
	fail_msg("no such entry");
	return NULL;
}

static void
threads_update_entries_of_their_own(void **state)
{
	struct worker workers[THREADS];
	atomic_bool stop = false;
	struct pair p;

	(void)state;
	pair_open(&p);
	memset(workers, 0, sizeof(workers));
	for (int i = 0; i < THREADS; i++) {
		struct worker *w = &workers[i];

		w->stop = &stop;
		w->entry = side_deposit(&p.a, &w->fd, &w->client, NULL, "");
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL,
					 count_up, &workers[i]),
			0);
	for (int i = 0; i < ROUNDS; i++) {
		int fd, client;
		struct handoff_entry *e =
			side_deposit(&p.a, &fd, &client, NULL, "short");

		handoff_peer_wait(p.a.peer, 0);
		handoff_peer_wait(p.b.peer, 0);
		handoff_entry_withdraw(e);
		close(fd);
		close(client);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	pair_settle(&p);
	assert_int_equal(handoff_peer_give(p.a.peer), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(handoff_entry_release(pair_expect(
					 &p, &p.a, HANDOFF_PEER_RELEASE)),
			0);
	for (int i = 0; i < THREADS; i++) {
		struct handoff_entry *e =
			pair_expect(&p, &p.b, HANDOFF_PEER_TAKEN);
		size_t len;
		const uint64_t *n = handoff_entry_state(e, &len);
		struct worker *w = worker_of(workers, handoff_entry_id(e));

		assert_false(w->failed);
		assert_true(w->last > 0);
		assert_int_equal(len, 8 * sizeof(*n));
		assert_int_equal(n[0], w->last);
		close(p.b.event.fd);
		close(w->fd);
		close(w->client);
	}
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(threads_update_entries_of_their_own),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
