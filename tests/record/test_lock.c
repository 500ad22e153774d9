/* SPDX-License-Identifier: MIT */
/*
 * The lock: one holder at a time, of all threads and processes; waits end in
 * time; that of a dead holder is released by one that outlives it.
 */
#include "support/support.h"

#include "record/lock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HERE  handoff__lock_name(1, 0)
#define OTHER handoff__lock_name(2, 0)
#define LONG  20000 /* ms: the alarm comes first */

struct shared {
	struct handoff__lock lock;
	_Atomic int inside;
	/* changed under the lock only */
	int first, second;
};

static struct shared *shared;

static int
map_shared(void **state)
{
	int err = support_setup(state);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return err != 0 || shared == MAP_FAILED;
}

static int
unmap_shared(void **state)
{
	munmap(shared, sizeof(*shared));
	return support_teardown(state);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
a_name_has_place_and_agent(void **state)
{
	uint32_t most = handoff__lock_name(2, HANDOFF__LOCK_AGENTS);

	(void)state;
	assert_int_equal(handoff__lock_place(most), 2);
	assert_int_equal(handoff__lock_agent(most), HANDOFF__LOCK_AGENTS);
	assert_int_equal(most & HANDOFF__LOCK_WAITED, 0);
	assert_int_not_equal(HERE, OTHER);
	assert_int_not_equal(HERE, handoff__lock_name(1, 1));
	assert_int_equal(sizeof(struct handoff__lock), 16);
}

static void
it_is_held_until_released(void **state)
{
	struct handoff__lock *lock = &shared->lock;

	(void)state;
	assert_int_equal(handoff__lock_holder(lock), 0);
	assert_int_equal(handoff__lock_take(lock, HERE, 0), 0);
	assert_int_equal(handoff__lock_holder(lock), HERE);
	assert_int_equal(handoff__lock_holds(lock), 1);
	assert_int_equal(handoff__lock_take(lock, OTHER, 0), -ETIMEDOUT);
	handoff__lock_release(lock);
	assert_int_equal(handoff__lock_holder(lock), 0);
	assert_int_equal(handoff__lock_take(lock, OTHER, 0), 0);
	assert_int_equal(handoff__lock_holder(lock), OTHER);
	assert_int_equal(handoff__lock_holds(lock), 2);
	handoff__lock_release(lock);
}

static void
a_wait_is_bounded(void **state)
{
	int64_t start = now_ms(), took;

	(void)state;
	assert_int_equal(handoff__lock_take(&shared->lock, OTHER, 0), 0);
	assert_int_equal(
		handoff__lock_take(&shared->lock, HERE, 50), -ETIMEDOUT);
	took = now_ms() - start;
	assert_in_range(took, 50, 5000);
	assert_int_equal(handoff__lock_holder(&shared->lock), OTHER);
	handoff__lock_release(&shared->lock);
	/* the mark of the waiter that gave up is gone */
	assert_int_equal(atomic_load(&shared->lock.word), 0);
}

static void *
take_elsewhere(void *arg)
{
	int *err = arg;

	*err = handoff__lock_take(&shared->lock, HERE, 20);
	return NULL;
}

static void
the_same_thread_is_told(void **state)
{
	pthread_t thread;
	int err = 0;

	(void)state;
	assert_int_equal(handoff__lock_take(&shared->lock, HERE, 0), 0);
	assert_int_equal(
		handoff__lock_take(&shared->lock, HERE, LONG), -EDEADLK);
	/* not a deadlock for another thread of the same process */
	assert_int_equal(
		pthread_create(&thread, NULL, take_elsewhere, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(err, -ETIMEDOUT);
	handoff__lock_release(&shared->lock);
	assert_int_equal(handoff__lock_take(&shared->lock, HERE, 0), 0);
	handoff__lock_release(&shared->lock);
}

static void
count_under_lock(uint32_t name, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		if (handoff__lock_take(&shared->lock, name, LONG) < 0 ||
			atomic_fetch_add(&shared->inside, 1) != 0)
			abort();
		shared->first++;
		shared->second++;
		atomic_fetch_sub(&shared->inside, 1);
		handoff__lock_release(&shared->lock);
	}
}

static void *
count_in_thread(void *arg)
{
	(void)arg;
	count_under_lock(HERE, 20000);
	return NULL;
}

static void
threads_exclude_each_other(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
					 count_in_thread, NULL),
			0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shared->first, 80000);
	assert_int_equal(shared->second, 80000);
	assert_int_equal(atomic_load(&shared->lock.word), 0);
}

static void
processes_exclude_each_other(void **state)
{
	pid_t pids[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			count_under_lock(
				handoff__lock_name(1 + i % 2, i), 20000);
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++)
		support_reap(pids[i]);
	assert_int_equal(shared->first, 60000);
	assert_int_equal(atomic_load(&shared->lock.word), 0);
}

/* A child that takes the lock and stays. */
static pid_t
hold_in_child(uint32_t agent)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0) {
		while (handoff__lock_holder(&shared->lock) !=
			handoff__lock_name(2, agent))
			sched_yield();
		return pid;
	}
	handoff__lock_take(&shared->lock, handoff__lock_name(2, agent), LONG);
	for (;;)
		pause();
}

static void
end_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
a_stopped_holder_costs_no_more_than_the_bound(void **state)
{
	pid_t pid = hold_in_child(0);
	int64_t start;
	int status;

	(void)state;
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	start = now_ms();
	assert_int_equal(
		handoff__lock_take(&shared->lock, HERE, 30), -ETIMEDOUT);
	assert_in_range(now_ms() - start, 30, 5000);
	assert_int_equal(handoff__lock_holder(&shared->lock), OTHER);
	end_child(pid);
}

static void
a_dead_holder_is_known_and_released(void **state)
{
	struct handoff__lock *lock = &shared->lock;

	(void)state;
	end_child(hold_in_child(77));
	assert_int_equal(handoff__lock_take(lock, HERE, 20), -ETIMEDOUT);
	assert_false(handoff__lock_held_by(lock, 1, 77));
	assert_false(handoff__lock_held_by(lock, 2, 0));
	assert_false(handoff__lock_held_by(lock, 1, HANDOFF__LOCK_ANY));
	assert_true(handoff__lock_held_by(lock, 2, 77));
	assert_true(handoff__lock_held_by(lock, 2, HANDOFF__LOCK_ANY));
	assert_false(handoff__lock_release_for(lock, 2, 0));
	assert_int_equal(handoff__lock_holder(lock), handoff__lock_name(2, 77));
	assert_true(handoff__lock_release_for(lock, 2, 77));
	assert_false(handoff__lock_release_for(lock, 2, HANDOFF__LOCK_ANY));
	assert_false(handoff__lock_held_by(lock, 0, HANDOFF__LOCK_ANY));
	assert_int_equal(handoff__lock_take(lock, HERE, 0), 0);
	handoff__lock_release(lock);
}

/* The address of a thread that died with its process is no thread of this
 * one. */
static void
a_dead_holder_of_the_same_name_is_no_deadlock(void **state)
{
	struct handoff__lock *lock = &shared->lock;

	(void)state;
	end_child(hold_in_child(5));
	assert_true(handoff__lock_release_for(lock, 2, 5));
	assert_int_equal(atomic_load(&lock->thread), 0);
	assert_int_equal(
		handoff__lock_take(lock, handoff__lock_name(2, 5), 0), 0);
	handoff__lock_release(lock);
}

static void
a_release_for_a_dead_holder_wakes(void **state)
{
	pid_t holder = hold_in_child(1), waiter = fork();

	(void)state;
	assert_true(waiter >= 0);
	if (waiter == 0) {
		if (handoff__lock_take(&shared->lock, HERE, LONG) < 0)
			_exit(1);
		handoff__lock_release(&shared->lock);
		_exit(0);
	}
	while (!(atomic_load(&shared->lock.word) & HANDOFF__LOCK_WAITED))
		sched_yield();
	end_child(holder);
	assert_true(handoff__lock_release_for(&shared->lock, 2, 1));
	support_reap(waiter);
	assert_int_equal(atomic_load(&shared->lock.word), 0);
}

/* Waiters are killed at any moment: the others go on. */
static void
dead_waiters_stop_nobody(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		pid_t pid;

		assert_int_equal(
			handoff__lock_take(&shared->lock, HERE, LONG), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			count_under_lock(handoff__lock_name(1, 9), 1 << 30);
		for (int spin = 0; spin < i; spin++)
			sched_yield();
		handoff__lock_release(&shared->lock);
		assert_in_range(
			handoff__lock_take(&shared->lock, HERE, LONG), 0, 0);
		handoff__lock_release(&shared->lock);
		end_child(pid);
		handoff__lock_release_for(&shared->lock, 1, 9);
		atomic_store(&shared->inside, 0);
	}
}

/* What a damaged word names is nobody: the wait ends, no more. */
static void
nonsense_is_bounded(void **state)
{
	static const uint32_t words[] = {3, 4, HANDOFF__LOCK_WAITED, UINT32_MAX,
		HANDOFF__LOCK_WAITED | 3};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		atomic_store(&shared->lock.word, words[i]);
		assert_int_equal(
			handoff__lock_take(&shared->lock, HERE, 5), -ETIMEDOUT);
		assert_false(handoff__lock_held_by(
			&shared->lock, 1, HANDOFF__LOCK_ANY));
	}
}

#define lock_test(f)                                                           \
	cmocka_unit_test_setup_teardown(f, map_shared, unmap_shared)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		lock_test(a_name_has_place_and_agent),
		lock_test(it_is_held_until_released),
		lock_test(a_wait_is_bounded),
		lock_test(the_same_thread_is_told),
		lock_test(threads_exclude_each_other),
		lock_test(processes_exclude_each_other),
		lock_test(a_stopped_holder_costs_no_more_than_the_bound),
		lock_test(a_dead_holder_is_known_and_released),
		lock_test(a_dead_holder_of_the_same_name_is_no_deadlock),
		lock_test(a_release_for_a_dead_holder_wakes),
		lock_test(dead_waiters_stop_nobody),
		lock_test(nonsense_is_bounded),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
