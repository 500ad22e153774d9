/* SPDX-License-Identifier: MIT */
/*
 * A lock in shared memory: one word that names its holder, so that a process
 * that outlives the holder can finish or undo what it had begun, and release
 * the lock in its name. No object of a C library is in it: the two peers may
 * have different ones. It does not know what it protects, or which process has
 * died.
 */
#ifndef HANDOFF_RECORD_LOCK_H
#define HANDOFF_RECORD_LOCK_H

#include "record/owner.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeroed: free. 16 bytes in shared memory. */
struct handoff__lock {
	_Atomic uint32_t word;  /* the holder's name, 0: free; and WAITED */
	_Atomic uint32_t holds; /* how often it was taken */
	/* of the holder's process: which of its threads; 0: none yet, or no
	 * longer */
	_Atomic uint64_t thread;
};

/* In the word: a process may be waiting for the release. */
#define HANDOFF__LOCK_WAITED 0x80000000u
#define HANDOFF__LOCK_AGENTS 0x1fffffffu /* the largest agent */
#define HANDOFF__LOCK_ANY    UINT32_MAX  /* any agent of a place */

/* The name of a holder: the place of its peer, and which process of that peer
 * it is, as far as one can die alone: 0 for the peer's own process with all its
 * threads, otherwise the process ID of a child. */
static inline uint32_t
handoff__lock_name(uint32_t place, uint32_t agent)
{
	return (place & HANDOFF__PLACE) | (agent & HANDOFF__LOCK_AGENTS) << 2;
}

static inline uint32_t
handoff__lock_place(uint32_t name)
{
	return name & HANDOFF__PLACE;
}

static inline uint32_t
handoff__lock_agent(uint32_t name)
{
	return name >> 2;
}

/* The holder's name, 0: free. Acquire: one who knows that the holder is dead
 * sees what it wrote before it took the lock. */
static inline uint32_t
handoff__lock_holder(const struct handoff__lock *lock)
{
	return atomic_load_explicit(&lock->word, memory_order_acquire) &
	       ~HANDOFF__LOCK_WAITED;
}

/* How often it was taken; two equal values: held by the same call of take, or
 * free, all the time between. */
static inline uint32_t
handoff__lock_holds(const struct handoff__lock *lock)
{
	return atomic_load_explicit(&lock->holds, memory_order_relaxed);
}

/* Takes the lock in the name `self`, after waiting for at most `wait_ms`; 0
 * does not wait. -ETIMEDOUT; -EDEADLK if this thread holds it. */
int handoff__lock_take(
	struct handoff__lock *lock, uint32_t self, uint32_t wait_ms);

/* Releases the lock that this thread has taken. */
void handoff__lock_release(struct handoff__lock *lock);

/*
 * After the certain death of a holder: whether it held the lock, and the
 * release in its name. What it had begun is finished or undone between the two,
 * by one thread of all; until the release nobody else gets the lock, and if the
 * caller dies too, the next survivor finds the lock as this one did.
 * `agent`: HANDOFF__LOCK_ANY once all processes of the place are dead.
 */
bool handoff__lock_held_by(
	const struct handoff__lock *lock, uint32_t place, uint32_t agent);
/* True if it was held by it. */
bool handoff__lock_release_for(
	struct handoff__lock *lock, uint32_t place, uint32_t agent);

#endif
