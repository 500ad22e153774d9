/* SPDX-License-Identifier: MIT */
/*
 * The roster: this peer's own books of all entries, an entry for each record of
 * the arena. An entry has its descriptor here and the rest in its record. The
 * layer above may have its own data behind each entry (`entry_size`).
 */
#ifndef HANDOFF_PEER_ROSTER_H
#define HANDOFF_PEER_ROSTER_H

#include "record/record.h"

#include <sys/queue.h>

/* What the standby is known to have of an entry that this peer owns. */
enum handoff__copy {
	HANDOFF__COPY_NONE = 0, /* nothing yet */
	HANDOFF__COPY_SENT,     /* a MIRROR is not answered yet */
	HANDOFF__COPY_HELD,
	HANDOFF__COPY_REFUSED,
};

TAILQ_HEAD(handoff__entries, handoff__roster_entry);

struct handoff__roster_entry {
	TAILQ_ENTRY(handoff__roster_entry) node;
	struct handoff__entries *list; /* that it is queued in, or NULL */
	uint32_t segment, slot;
	uint32_t batch; /* of the MIRROR that is not answered */
	uint8_t copy;
	uint8_t refusal; /* a reason, for COPY_REFUSED */
	uint8_t left;    /* behind by the last give, with this reason; 0: not */
	bool barrier;    /* a give waits for the answer to its MIRROR */

	/* What every request asks for, at the end: it shares its lines of
	 * memory with what the layer above has there. */
	bool mine;
	uint8_t kind;
	bool leaving; /* moves as soon as its handler returns */
	int fd;       /* -1: closed, the DROP is still to be sent */
	uint64_t id;  /* 0: vacant */
	struct handoff__view view;
};

struct handoff__roster {
	struct handoff__arena *arena;
	size_t entry_size;
	unsigned char *entries[HANDOFF__SEGMENTS_MAX];
	struct handoff__entries to_mirror, sent, to_drop;
	/* Counts of live entries. */
	uint32_t owned, held;         /* all kinds */
	uint32_t connections, copies; /* owned, held connections */
	uint32_t uncovered;           /* owned, the standby has no copy */
	uint32_t refused;             /* of those, it does not want one */
};

void handoff__roster_init(struct handoff__roster *roster,
	struct handoff__arena *arena, size_t entry_size);

/* Closes every descriptor. */
void handoff__roster_fini(struct handoff__roster *roster);

/* The entry, vacant or not, or NULL if there is no such record; allocates the
 * entries of a segment at first use. */
struct handoff__roster_entry *handoff__roster_at(
	struct handoff__roster *roster, uint32_t segment, uint32_t slot);

/* The live entry that a reference means, or NULL. */
struct handoff__roster_entry *handoff__roster_find(
	struct handoff__roster *roster, uint32_t segment, uint32_t slot,
	uint64_t id);

/* The live entry after `entry` (NULL: the first), NULL at the end. Entries may
 * be closed and vacated meanwhile. */
struct handoff__roster_entry *handoff__roster_next(
	struct handoff__roster *roster,
	const struct handoff__roster_entry *entry);

/* Enters an entry as a vacant one; takes the descriptor over. What the layer
 * above has behind it is as it was left, and zeroed at first. */
void handoff__roster_enter(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, uint32_t segment, uint32_t slot,
	int fd, bool mine);

/* Closes the descriptor; it stays taken until it is vacated. */
void handoff__roster_close(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);

/* The same without closing it: returns the descriptor. */
int handoff__roster_take(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);

/* Leaves it vacant, its descriptor closed. */
void handoff__roster_vacate(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);

/* The entry changes hands; keeps the counts. */
void handoff__roster_set_mine(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, bool mine);
/* The same for an entry that both peers hold: what a give does to each. */
void handoff__roster_swap(
	struct handoff__roster *roster, struct handoff__roster_entry *entry);
void handoff__roster_set_copy(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, enum handoff__copy copy);

/* Puts the entry at the end of one of the lists, out of any other. */
void handoff__roster_queue(
	struct handoff__roster_entry *entry, struct handoff__entries *list);
void handoff__roster_unqueue(struct handoff__roster_entry *entry);

#endif
