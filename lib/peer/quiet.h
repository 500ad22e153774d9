/* SPDX-License-Identifier: MIT */
/*
 * Entries that follow a give one by one.
 */
#ifndef HANDOFF_PEER_QUIET_H
#define HANDOFF_PEER_QUIET_H

#include "peer/core.h"

/* The entry's handler has returned (see quiesce). If it moves together with
 * others that are not quiet yet it is marked PARKED, and the layer above must
 * not serve it before `moved` or `resume`. */
void handoff__pair_quiet(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* The same for up to HANDOFF_FDPASS_MAX entries, in one message. */
void handoff__pair_quiet_all(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t count);

/* Whether the entry is quiet and waits for others to move with it. */
static inline bool
handoff__entry_parked(const struct handoff__roster_entry *entry)
{
	return entry->marks & HANDOFF__PARKED;
}

/* One that moved together with this entry has ended: the entry may be able to
 * move now. */
void handoff__quiet_again(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* A new companion: it moves with its leader, if that is about to. */
void handoff__quiet_joined(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* Copies of entries that are about to move were answered: offers those that
 * waited for that. False if there were none. */
bool handoff__quiet_recheck(struct handoff__pair *pair);

/* Offers these entries of this peer, at once or when they are quiet, each with
 * those that move together with it; MOVE asks for an answer. Returns how many
 * were offered at once. What has no copy is left out. */
uint32_t handoff__quiet_offer(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t count);

/* TAKE that names entries, or of a carrier none: then those that were named
 * before and are not quiet yet stay. */
void handoff__quiet_on_take(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* The other peer has answered after what followed. False if there is nothing
 * new. */
bool handoff__quiet_confirmed(struct handoff__pair *pair);

/* The link broke: what followed may still be accepted. */
void handoff__quiet_broken(struct handoff__pair *pair);

/* At a beat: revokes late offers that were not accepted in time, and offers
 * them again if the other peer has answered since. */
void handoff__quiet_revoke_late(struct handoff__pair *pair, int64_t now);
void handoff__quiet_retry(struct handoff__pair *pair, int64_t now);

#endif
