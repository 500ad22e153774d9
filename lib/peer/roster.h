/* SPDX-License-Identifier: MIT */
/*
 * The roster: this peer's own books of all entries, a cell for each record of
 * the arena. An entry has its descriptor here and the rest in its record. The
 * layer above may have its own data behind each entry (`cell_size`).
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

TAILQ_HEAD(handoff__entries, handoff__entry);

struct handoff__entry {
	TAILQ_ENTRY(handoff__entry) node;
	struct handoff__entries *list; /* that it is queued in, or NULL */
	uint32_t segment, slot;
	uint32_t batch; /* of the MIRROR that is not answered */
	uint8_t copy;
	uint8_t refusal; /* a reason, for COPY_REFUSED */
	bool barrier;    /* a give waits for the answer to its MIRROR */

	/* What every request asks for, at the end: it shares its lines of
	 * memory with what the layer above has there. */
	bool mine;
	uint8_t kind;
	bool leaving; /* moves as soon as its handler returns */
	int fd;       /* -1: closed, the DROP is still to be sent */
	uint64_t id;  /* 0: the cell is vacant */
	struct handoff__view view;
};

struct handoff__roster {
	struct handoff__arena *arena;
	size_t cell_size;
	unsigned char *cells[HANDOFF__SEGMENTS_MAX];
	struct handoff__entries to_mirror, sent, to_drop;
	/* Counts of live entries. */
	uint32_t owned, held;         /* all kinds */
	uint32_t connections, copies; /* owned, held connections */
	uint32_t uncovered;           /* owned, the standby has no copy */
	uint32_t refused;             /* of those, it does not want one */
};

void handoff__roster_init(struct handoff__roster *roster,
	struct handoff__arena *arena, size_t cell_size);

/* Closes every descriptor. */
void handoff__roster_fini(struct handoff__roster *roster);

/* The cell, vacant or not, or NULL if there is no such record; allocates the
 * cells of a segment at first use. */
struct handoff__entry *handoff__roster_cell(
	struct handoff__roster *roster, uint32_t segment, uint32_t slot);

/* The live entry that a reference means, or NULL. */
struct handoff__entry *handoff__roster_find(struct handoff__roster *roster,
	uint32_t segment, uint32_t slot, uint64_t id);

/* The live entry after `entry` (NULL: the first), NULL at the end. Entries may
 * be closed and vacated meanwhile. */
struct handoff__entry *handoff__roster_next(
	struct handoff__roster *roster, const struct handoff__entry *entry);

/* Enters an entry in a vacant cell; takes the descriptor over. What the layer
 * above has behind it is as it was left, and zeroed at first. */
void handoff__roster_enter(struct handoff__roster *roster,
	struct handoff__entry *entry, uint32_t segment, uint32_t slot, int fd,
	bool mine);

/* Closes the descriptor; the cell stays taken until it is vacated. */
void handoff__roster_close(
	struct handoff__roster *roster, struct handoff__entry *entry);

/* The same without closing it: returns the descriptor. */
int handoff__roster_take(
	struct handoff__roster *roster, struct handoff__entry *entry);

/* Leaves the cell vacant, its descriptor closed. */
void handoff__roster_vacate(
	struct handoff__roster *roster, struct handoff__entry *entry);

/* The entry changes hands; keeps the counts. */
void handoff__roster_set_mine(struct handoff__roster *roster,
	struct handoff__entry *entry, bool mine);
/* The same for an entry that both peers hold: what a give does to each. */
void handoff__roster_swap(
	struct handoff__roster *roster, struct handoff__entry *entry);
void handoff__roster_set_copy(struct handoff__roster *roster,
	struct handoff__entry *entry, enum handoff__copy copy);

/* Puts the entry at the end of one of the lists, out of any other. */
void handoff__roster_queue(
	struct handoff__entry *entry, struct handoff__entries *list);
void handoff__roster_unqueue(struct handoff__entry *entry);

#endif
