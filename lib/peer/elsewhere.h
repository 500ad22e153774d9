/* SPDX-License-Identifier: MIT */
/*
 * Entries of a carrier that are on their way to another host or from there.
 * Their owner word is ELSEWHERE and names a slot of the batch table
 * (record/batch.h), whose word alone decides what becomes of them if the
 * carrier dies (fate.h). For a carrier only. Freezes and restores nothing, and
 * writes no batch word: that is the caller's.
 */
#ifndef HANDOFF_PEER_ELSEWHERE_H
#define HANDOFF_PEER_ELSEWHERE_H

#include "peer/core.h"

/* An entry that this peer owns becomes one of a batch: own place to ELSEWHERE.
 * It stays `mine`. False if it is not this peer's any more. */
bool handoff__pair_send_away(struct handoff__pair *pair,
	struct handoff__roster_entry *entry, uint32_t slot);

/* The way back, ELSEWHERE to own place: an abort at the old host, a commit at
 * the new one. False if a survivor has taken it, or it was not ELSEWHERE. */
bool handoff__pair_return(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* Whether the entry is in a batch, and which. */
bool handoff__entry_elsewhere(
	const struct handoff__roster_entry *entry, uint32_t *slot);

/* Offers entries of this peer to the other one, each together with its
 * companions; those that have no copy there, or are not this peer's, are left
 * out. Returns how many were offered. The callback `moved` comes for each at
 * once (`mine` is false from then on), `accepted` when the other peer has
 * accepted what it will; what it has not accepted after two seconds is revoked
 * at a beat, and comes back by `moved`. 0 while a give is in progress. */
uint32_t handoff__pair_offer_list(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t n);

/* Whether the other peer has accepted an entry that was offered to it: it
 * serves there. */
bool handoff__entry_accepted(const struct handoff__pair *pair,
	const struct handoff__roster_entry *entry);

/* Asks the other peer for these entries, at most HANDOFF_FDPASS_MAX: each is
 * given with its companions, at once or when its handler returns, and comes by
 * `moved`. There is no answer for the rest: the caller has a deadline of its
 * own. 0, -ENOTCONN, -EBUSY (a handoff is in progress), -EINVAL. */
int handoff__pair_take_list(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t n);

/* What was asked for and has not come shall stay. One that was given already
 * comes all the same. */
void handoff__pair_take_no_more(struct handoff__pair *pair);

/* Frees the records of an aborted batch of which no entry is here: a carrier
 * died between their allocation and their copy. Returns their number. */
uint32_t handoff__pair_forget_batch(struct handoff__pair *pair, uint32_t slot);

/* Lets the service's generation be at least that: clients order what they are
 * told by it. Where there is a board. */
void handoff__pair_succeed(struct handoff__pair *pair, uint64_t generation);

#endif
