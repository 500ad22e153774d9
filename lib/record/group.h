/* SPDX-License-Identifier: MIT */
/*
 * Several records that commit together, or not at all. Their next sequences are
 * written to a redo list in the commons; one store arms the list, and that is
 * the commit. Then each record is flipped. A survivor that finds a list armed
 * flips the rest of it, before it looks at any record. Only the owner of the
 * records and its survivor work on a list; other transactions know nothing of
 * it.
 */
#ifndef HANDOFF_RECORD_GROUP_H
#define HANDOFF_RECORD_GROUP_H

#include "record/record.h"

/* records of a list */
#define HANDOFF__GROUP_MOST 128u
/* lists of each peer: as many of its threads may commit at once */
#define HANDOFF__GROUP_LISTS (HANDOFF__GROUPS / 2)

enum handoff__group_step {
	HANDOFF__GROUP_FREE = 0,
	HANDOFF__GROUP_WRITTEN = 1, /* a thread has it, and writes to it */
	HANDOFF__GROUP_ARMED = 2,   /* committed: all of it comes true */
};

struct handoff__group_item {
	uint64_t id; /* of the entry, which its record must have */
	uint32_t segment, slot;
	uint32_t sequence; /* of the record, once this has come true */
	uint32_t unused;
};

/* A list, one page of the commons. */
struct handoff__group_list {
	_Atomic uint32_t step;
	uint32_t count;
	_Atomic uint32_t most; /* in the first list of a peer: from that number
				* on none was ever used */
	uint32_t unused;
	struct handoff__group_item items[HANDOFF__GROUP_MOST];
};

/* A commit in progress; belongs to one thread. */
struct handoff__group {
	struct handoff__group_list *list;
	struct handoff__record *records[HANDOFF__GROUP_MOST];
	uint32_t count;
};

/* The lists of the commons; HANDOFF__GROUPS of them, those of place 1 first. */
struct handoff__group_list *handoff__group_list(
	const struct handoff__segment *commons, uint32_t number);

/* Takes a free list of the peer in `place`. False if other threads of this
 * process have them all. End it by commit or drop. */
bool handoff__group_begin(struct handoff__group *group,
	const struct handoff__segment *commons, uint32_t place);

/* Whether the record has a transaction in progress, which can be committed. */
bool handoff__group_can_add(const struct handoff__view *view);

/* Adds a record that has one, whose state is `state_len` bytes long. At most
 * HANDOFF__GROUP_MOST, none of them twice; all are of this peer. */
void handoff__group_add(struct handoff__group *group,
	const struct handoff__view *view, uint32_t segment, uint32_t slot,
	size_t state_len);

void handoff__group_commit(struct handoff__group *group);
void handoff__group_drop(struct handoff__group *group);

/*
 * Finishes what the dead peer of that place has committed and not flipped; its
 * records still name it as their owner. May be repeated, also by another
 * process if this one dies. Trusts nothing in a list: one that makes no sense
 * is ignored as a whole.
 */
struct handoff__group_found {
	uint32_t finished; /* lists that were armed */
	uint32_t damaged;  /* lists that were ignored */
};

void handoff__group_finish(const struct handoff__arena *arena, uint32_t place,
	struct handoff__group_found *found);

#endif
