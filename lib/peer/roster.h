/* SPDX-License-Identifier: MIT */
/*
 * The roster: this peer's private table, with an entry for each record of the
 * arena. An entry holds the descriptor; everything else is in its record. The
 * layer above may keep its own data behind each entry (`entry_size`).
 */
#ifndef HANDOFF_PEER_ROSTER_H
#define HANDOFF_PEER_ROSTER_H

#include "record/record.h"

#include <sys/queue.h>

/* The standby's copy of an entry that this peer owns. */
enum handoff__copy {
	HANDOFF__COPY_NONE = 0, /* not sent yet */
	HANDOFF__COPY_SENT,     /* MIRROR sent, not answered yet */
	HANDOFF__COPY_HELD,
	HANDOFF__COPY_REFUSED,
};

/* Bits of `marks`. */
enum handoff__mark {
	HANDOFF__FOLLOWS = 1, /* its record names a leader, see companions.h */
	HANDOFF__BOUND = 2,   /* in a ring with its leader or companions */
	HANDOFF__LEADS = 4,   /* that ring is its own */
	HANDOFF__ASKED = 8,   /* not quiet when a give asked: it will be said */
	HANDOFF__PARKED = 16, /* quiet, and waits for others to move with it:
			       * the layer above does not serve it */
};

TAILQ_HEAD(handoff__entries, handoff__roster_entry);

struct handoff__roster_entry {
	TAILQ_ENTRY(handoff__roster_entry) node;
	struct handoff__entries *list; /* the list it is queued in, or NULL */
	uint32_t segment, slot;
	uint32_t batch; /* of the unanswered MIRROR */
	uint8_t copy;
	uint8_t refusal; /* a reason, for COPY_REFUSED */
	uint8_t left;    /* reason why the last give left it behind; 0: it did
			  * not */
	bool barrier;    /* a give waits for the answer to its MIRROR */

	/* Fields read by every request come last, to share cache lines with the
	 * data of the layer above. */
	bool mine;
	uint8_t kind;
	bool leaving;  /* moves as soon as its handler returns */
	uint8_t marks; /* enum handoff__mark */
	int fd;        /* -1: closed, DROP not sent yet */
	uint64_t id;   /* 0: vacant */
	struct handoff__view view;
};

struct handoff__roster {
	struct handoff__arena *arena;
	size_t entry_size;
	unsigned char *entries[HANDOFF__SEGMENTS_MAX];
	struct handoff__entries to_mirror, sent, to_drop;
	uint8_t *present; /* of a carrier: how many ids have each hash */
	/* companions.c: for each entry that is bound the next in its ring, and
	 * the place of the last leader that was searched for */
	struct handoff__roster_entry **rings[HANDOFF__SEGMENTS_MAX];
	uint32_t found_segment, found_slot;
	/* Counts of live entries. */
	uint32_t owned, held;         /* of all kinds */
	uint32_t connections, copies; /* connections among owned, held */
	uint32_t uncovered;           /* owned, without a copy at the standby */
	uint32_t refused;             /* of those, refused by the standby */
	uint32_t followers;           /* entries whose record names a leader */
};

void handoff__roster_init(struct handoff__roster *roster,
	struct handoff__arena *arena, size_t entry_size);

/* Lets handoff__roster_may_have tell most ids that are not here without a
 * search; -ENOMEM. */
int handoff__roster_know_ids(struct handoff__roster *roster);
void handoff__roster_forget_ids(struct handoff__roster *roster);

/* False if no live entry has that id for certain. */
bool handoff__roster_may_have(
	const struct handoff__roster *roster, uint64_t id);

/* Closes every descriptor. */
void handoff__roster_fini(struct handoff__roster *roster);

/* Returns the entry, vacant or not, or NULL if there is no such record;
 * allocates the entries of a segment at first use. */
struct handoff__roster_entry *handoff__roster_at(
	struct handoff__roster *roster, uint32_t segment, uint32_t slot);

/* Returns the live entry with that reference, or NULL. */
struct handoff__roster_entry *handoff__roster_find(
	struct handoff__roster *roster, uint32_t segment, uint32_t slot,
	uint64_t id);

/* Returns the live entry after `entry` (NULL: the first), or NULL at the end.
 * Entries may be closed and vacated during the iteration. */
struct handoff__roster_entry *handoff__roster_next(
	const struct handoff__roster *roster,
	const struct handoff__roster_entry *entry);

/* Fills in a vacant entry; takes the descriptor over. The data of the layer
 * above is left as it was, initially zero. */
void handoff__roster_enter(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, uint32_t segment, uint32_t slot,
	int fd, bool mine);

/* Closes the descriptor; the entry stays in use until it is vacated. */
void handoff__roster_close(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);

/* The same without closing: returns the descriptor. */
int handoff__roster_take(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);

/* Closes the descriptor and makes the entry vacant. */
void handoff__roster_vacate(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);

/* Changes the owner and updates the counts. */
void handoff__roster_set_mine(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, bool mine);
/* The same for an entry that both peers hold: what a give does on either
 * side. */
void handoff__roster_swap(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);
void handoff__roster_set_copy(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, enum handoff__copy copy);

/* Clears a mark, and updates the counts. */
void handoff__roster_unmark(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, enum handoff__mark mark);

/* Moves the entry from any other list to the end of this one. */
void handoff__roster_queue(
	struct handoff__roster_entry *entry, struct handoff__entries *list);
void handoff__roster_unqueue(struct handoff__roster_entry *entry);

#endif
