/* SPDX-License-Identifier: MIT */
/*
 * Entries that move together: a leader and its companions. A companion's record
 * names its leader. Those of a leader that this peer owns form a ring with it,
 * in this peer's roster only, so that a give finds them without a search.
 */
#ifndef HANDOFF_PEER_COMPANIONS_H
#define HANDOFF_PEER_COMPANIONS_H

#include "peer/core.h"

#define HANDOFF__TOGETHER_MAX 64 /* a leader and its companions */

/* Whether a new entry can become its companion: -EINVAL it is not this peer's,
 * or is a companion itself; -ENOSPC it has too many; -ENOMEM. */
int handoff__companions_check(
	struct handoff__pair *pair, struct handoff__roster_entry *leader);

/* Names the leader in the record of a new entry, before its id is set. */
void handoff__companions_name(struct handoff__record *rec,
	const struct handoff__roster_entry *leader);

/* The entry of this peer joins its leader, if it has one that is this peer's
 * too. One whose leader has ended stands alone from now on. */
void handoff__companions_join_leader(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

static inline void
handoff__companions_join(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	if (e->marks & HANDOFF__FOLLOWS)
		handoff__companions_join_leader(pair, e);
}

/* The same for all entries. */
void handoff__companions_join_all(struct handoff__pair *pair);

/* The entry is about to end: companions of a leader stand alone. Stores those
 * that may now move without it, one of each ring, and returns their number. */
uint32_t handoff__companions_part(struct handoff__pair *pair,
	struct handoff__roster_entry *entry,
	struct handoff__roster_entry *list[HANDOFF__TOGETHER_MAX]);

/* Undoes the ring, since its entries are about to move, and stores them in
 * `list`, the leader first; returns their number. */
uint32_t handoff__companions_undo(struct handoff__pair *pair,
	struct handoff__roster_entry *entry,
	struct handoff__roster_entry *list[HANDOFF__TOGETHER_MAX]);

/* Whether the entry, which is not this peer's, may be accepted or revoked now:
 * its leader, if it has one, is this peer's. */
bool handoff__companions_leader_is_here(
	struct handoff__pair *pair, const struct handoff__roster_entry *entry);

static inline bool
handoff__companions_may_come(
	struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	return !(e->marks & HANDOFF__FOLLOWS) ||
	       handoff__companions_leader_is_here(pair, e);
}

/* The next in the ring; the entry itself if it is alone. */
static inline struct handoff__roster_entry *
handoff__companions_next(
	const struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	return e->marks & HANDOFF__BOUND
		       ? pair->roster.rings[e->segment][e->slot]
		       : e;
}

/* The one that leads the ring; the entry itself if it is alone. */
static inline struct handoff__roster_entry *
handoff__entry_leads(
	const struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	while (e->marks & HANDOFF__BOUND && !(e->marks & HANDOFF__LEADS))
		e = handoff__companions_next(pair, e);
	return e;
}

/* Whether the standby has copies of the entry and of all that move together
 * with it. */
bool handoff__entry_covered(
	const struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* The leader that the record names, owned by either peer; NULL if there is none
 * or it has ended. */
struct handoff__roster_entry *handoff__pair_leader(
	struct handoff__pair *pair, const struct handoff__roster_entry *entry);

/* The live entry with that id, whoever owns it, or NULL; a search. */
struct handoff__roster_entry *handoff__companions_find(
	struct handoff__pair *pair, uint64_t id);

#endif
