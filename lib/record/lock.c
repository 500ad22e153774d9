/* SPDX-License-Identifier: MIT */
/*
 * The lock's word and the kernel's wait queue behind it (futex(2), not PRIVATE:
 * it is found by the memory, not by the address). A waiter that was woken and
 * is killed before it takes the lock loses that wake-up, and so does a holder
 * killed between its store and the wake-up: therefore no wait is longer than a
 * slice, and a loss costs the others that long.
 */
#include "record/lock.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINS    100 /* below a microsecond: less than a call of the kernel */
#define SLICE_MS 10

/* A thread's own address: of all data that a thread has, errno is the one that
 * each C library provides. */
static uint64_t
this_thread(void)
{
	return (uint64_t)(uintptr_t)&errno;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until woken, or for `ms`, unless the word is no longer `expected`. The
 * call by this number takes its time in two longs, whatever time_t is. */
static void
wait_for(struct handoff__lock *lock, uint32_t expected, int64_t ms)
{
	long slice[2] = {0, (long)(ms < SLICE_MS ? ms : SLICE_MS) * 1000000};

	syscall(SYS_futex, &lock->word, FUTEX_WAIT, expected, slice, NULL, 0);
}

static void
wake_one(struct handoff__lock *lock)
{
	syscall(SYS_futex, &lock->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool
try_take(struct handoff__lock *lock, uint32_t name)
{
	uint32_t none = 0;

	if (!atomic_compare_exchange_strong_explicit(&lock->word, &none, name,
		    memory_order_acquire, memory_order_relaxed))
		return false;
	atomic_store_explicit(&lock->holds, handoff__lock_holds(lock) + 1,
		memory_order_relaxed);
	atomic_store_explicit(
		&lock->thread, this_thread(), memory_order_relaxed);
	return true;
}

/* Taken without a call of the kernel, after a moment at most. */
static bool
take_soon(struct handoff__lock *lock, uint32_t self)
{
	for (int i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) ==
				0 &&
			try_take(lock, self))
			return true;
	}
	return false;
}

/* The word, marked as waited for; 0 if the lock is free. */
static uint32_t
mark_waited(struct handoff__lock *lock)
{
	uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

	while (word != 0 && !(word & HANDOFF__LOCK_WAITED)) {
		if (atomic_compare_exchange_weak_explicit(&lock->word, &word,
			    word | HANDOFF__LOCK_WAITED, memory_order_relaxed,
			    memory_order_relaxed))
			return word | HANDOFF__LOCK_WAITED;
	}
	return word;
}

static int
take_late(struct handoff__lock *lock, uint32_t self, uint32_t wait_ms)
{
	int64_t end = now_ms() + wait_ms, left = wait_ms;

	/* Others may wait behind the mark, so it is left with the name. */
	while (!try_take(lock, self | HANDOFF__LOCK_WAITED)) {
		uint32_t word = mark_waited(lock);

		if (word == 0)
			continue;
		if (left <= 0)
			return -ETIMEDOUT;
		wait_for(lock, word, left);
		left = end - now_ms();
	}
	return 0;
}

int
handoff__lock_take(struct handoff__lock *lock, uint32_t self, uint32_t wait_ms)
{
	assert(self != 0);
	/* No other thread can have stored this thread's address, and it was
	 * cleared before the last release. */
	if (handoff__lock_holder(lock) == self &&
		atomic_load_explicit(&lock->thread, memory_order_relaxed) ==
			this_thread())
		return -EDEADLK;
	if (take_soon(lock, self))
		return 0;
	return wait_ms > 0 ? take_late(lock, self, wait_ms) : -ETIMEDOUT;
}

void
handoff__lock_release(struct handoff__lock *lock)
{
	atomic_store_explicit(&lock->thread, 0, memory_order_relaxed);
	if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) &
		HANDOFF__LOCK_WAITED)
		wake_one(lock);
}

bool
handoff__lock_held_by(
	const struct handoff__lock *lock, uint32_t place, uint32_t agent)
{
	uint32_t holder = handoff__lock_holder(lock);

	return holder != 0 && handoff__lock_place(holder) == place &&
	       (agent == HANDOFF__LOCK_ANY ||
		       handoff__lock_agent(holder) == agent);
}

bool
handoff__lock_release_for(
	struct handoff__lock *lock, uint32_t place, uint32_t agent)
{
	if (!handoff__lock_held_by(lock, place, agent))
		return false;
	handoff__lock_release(lock);
	return true;
}
