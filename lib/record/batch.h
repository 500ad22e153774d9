/* SPDX-License-Identifier: MIT */
/*
 * Batches of a move: the entries that leave for another host together, or have
 * come from one. Each has a slot in a table in the commons, one page, which a
 * helper process can map alone. The slot's word is the decision: out of OPEN it
 * becomes COMMITTED or ABORTED by one compare-and-swap, whoever tries and
 * whatever it believes, and the owner words of the batch's entries name the
 * slot. Trusts nothing in the table. Knows no hosts, no peers and no records.
 */
#ifndef HANDOFF_RECORD_BATCH_H
#define HANDOFF_RECORD_BATCH_H

#include "record/arena.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* HANDOFF__BATCHES, the number of slots, is in arena.h. */

enum handoff__batch_state {
	HANDOFF__BATCH_FREE = 0,
	HANDOFF__BATCH_OPEN = 1,      /* not decided */
	HANDOFF__BATCH_COMMITTED = 2, /* OUT: the entries are the other
				       * host's. IN: they are this one's */
	HANDOFF__BATCH_ABORTED = 3,   /* OUT: they stay. IN: they are closed */
	HANDOFF__BATCH_WRITTEN = 4,   /* a process has the slot and writes its
				       * fields; no owner word names it yet */
};

/* The least bits of a slot's word are the state, then comes the direction, and
 * from bit 8 on a count of how often the slot was taken: so a swap that was
 * meant for an earlier batch of the slot fails. */
#define HANDOFF__BATCH_STATE 0x0fu
#define HANDOFF__BATCH_OUT   0x10u /* it leaves this host */
#define HANDOFF__BATCH_IN    0x20u /* it comes to this host */
#define HANDOFF__BATCH_WAYS  0x30u
#define HANDOFF__BATCH_TURN  0x100u

static inline enum handoff__batch_state
handoff__batch_state(uint32_t word)
{
	return (enum handoff__batch_state)(word & HANDOFF__BATCH_STATE);
}

/* HANDOFF__BATCH_OUT, HANDOFF__BATCH_IN, or what a damaged word has. */
static inline uint32_t
handoff__batch_way(uint32_t word)
{
	return word & HANDOFF__BATCH_WAYS;
}

/* In shared memory, a line of it. The fields but the word change only while it
 * is WRITTEN. */
struct handoff__batch_slot {
	_Atomic uint32_t word;
	_Atomic uint32_t count;   /* of entries */
	_Atomic uint64_t id;      /* of the batch; its sender chose it, not 0 */
	_Atomic uint64_t peer;    /* the arena of the other host, its board's id
				   */
	_Atomic int64_t since_ms; /* CLOCK_REALTIME, when it was opened */
	uint64_t unused[4];
};

/* The table: one page. */
struct handoff__batches {
	struct handoff__batch_slot slots[HANDOFF__BATCHES];
};

/* A copy of one slot. */
struct handoff__batch {
	uint32_t slot;
	uint32_t word; /* see handoff__batch_state, handoff__batch_way */
	uint32_t count;
	uint64_t id, peer;
	int64_t since_ms;
};

/* The arena's table; NULL: it has no commons (all of an older layout). */
struct handoff__batches *handoff__batches_of(
	const struct handoff__arena *arena);

/* The table alone, for a process that maps nothing else: `fd` is the segment
 * that has the commons, `offset` its geo.batches. The segment must be sealed
 * against shrinking, or a process that has it could kill this one with SIGBUS:
 * -EBADMSG, also for an offset that is not within the file or no multiple of
 * 4096. The descriptor stays the caller's. */
struct handoff__batches_map {
	struct handoff__batches *batches;
	void *base; /* of the mapping */
	size_t len;
};

int handoff__batches_map(
	struct handoff__batches_map *map, int fd, uint64_t offset);
void handoff__batches_unmap(struct handoff__batches_map *map);

/* Opens a batch: takes a free slot, writes its fields, and then lets it be OPEN
 * in that direction, so that nobody ever sees half of it. `what` has all but
 * the slot and the word, which are stored in it. -ENOSPC if all slots are in
 * use, -EEXIST if that batch has one, -EINVAL without an id. One process opens
 * batches at a time. */
int handoff__batch_open(struct handoff__batches *batches, uint32_t way,
	struct handoff__batch *what);

/* Copies a slot as it is at one instant. False if it is free, or not opened
 * yet, or there is no such slot. */
bool handoff__batch_read(const struct handoff__batches *batches, uint32_t slot,
	struct handoff__batch *batch);

/* The next batch from slot `batch->slot` on; the slot after it is where to go
 * on: for (b.slot = 0; handoff__batch_next(t, &b); b.slot++). */
bool handoff__batch_next(
	const struct handoff__batches *batches, struct handoff__batch *batch);

/* The batch of that id in that direction (0: either), sent to or by that arena
 * (0: any). False if there is none. */
bool handoff__batch_find(const struct handoff__batches *batches, uint32_t way,
	uint64_t id, uint64_t peer, struct handoff__batch *batch);

/*
 * Decides batch `id` in that slot, if it is OPEN. Returns what it is then,
 * by this call or before: HANDOFF__BATCH_COMMITTED or _ABORTED, and
 * HANDOFF__BATCH_FREE if the batch is no longer there. Exactly one of all
 * commits and aborts of a batch changes its word.
 */
enum handoff__batch_state handoff__batch_commit(
	struct handoff__batches *batches, uint32_t slot, uint64_t id);
enum handoff__batch_state handoff__batch_abort(
	struct handoff__batches *batches, uint32_t slot, uint64_t id);

/* Frees the slot of a decided batch, when no owner word names it any more.
 * False if it is not decided, or not there. */
bool handoff__batch_free(
	struct handoff__batches *batches, uint32_t slot, uint64_t id);

/* Frees what a process that is dead for certain had taken and not opened; no
 * entry is in such a batch. Returns how many these were. */
uint32_t handoff__batches_recover(struct handoff__batches *batches);

/* What becomes of an entry whose owner word says ELSEWHERE once the process
 * that moved it is dead: by the batch that the word names. */
enum handoff__elsewhere {
	HANDOFF__ELSEWHERE_DOUBT, /* IN and not decided: nobody may touch it */
	HANDOFF__ELSEWHERE_HERE,  /* it is this host's */
	HANDOFF__ELSEWHERE_AWAY,  /* the other host's: end it here, without a
				   * segment */
	HANDOFF__ELSEWHERE_OPEN,  /* OUT and not decided: abort the batch, and
				   * ask again */
	HANDOFF__ELSEWHERE_NONE,  /* there is no such batch: damaged */
};

enum handoff__elsewhere handoff__batch_whose(
	const struct handoff__batches *batches, uint32_t owner_word);

#endif
