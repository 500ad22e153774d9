/* SPDX-License-Identifier: MIT */
/*
 * Owner words: which peer owns an entry, or the whole service. A word holds the
 * place of the owner (1 or 2; 0: free), and OFFERED while a give waits for the
 * other peer to accept. An offered entry is served by neither peer: either the
 * taker accepts it, or the giver revokes the offer, and one compare-and-swap
 * decides which, whatever either of them believes.
 *
 * An entry on its way to or from another host belongs to neither peer: its word
 * is ELSEWHERE with the number of a batch, and the batch says what becomes of
 * it, see batch.h. None of the swaps of a give or a claim changes such a word.
 */
#ifndef HANDOFF_RECORD_OWNER_H
#define HANDOFF_RECORD_OWNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__PLACE      3u /* the bits that name a peer, or: */
#define HANDOFF__ELSEWHERE  3u /* a batch says whose it is; its slot follows */
#define HANDOFF__OFFERED    4u
#define HANDOFF__SLOT_SHIFT 8

typedef _Atomic uint32_t handoff__owner;

static inline uint32_t
handoff__owner_word(const handoff__owner *owner)
{
	return atomic_load_explicit(owner, memory_order_acquire);
}

/* The place of the peer that owns it or was offered it; 0: free;
 * HANDOFF__ELSEWHERE: neither's. */
static inline uint32_t
handoff__owner_place(const handoff__owner *owner)
{
	return handoff__owner_word(owner) & HANDOFF__PLACE;
}

/* Release: the next owner sees what this peer wrote before. Acquire: this peer
 * sees what the previous owner wrote. */
static inline bool
handoff__owner_swap(handoff__owner *owner, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(
		owner, &from, to, memory_order_acq_rel, memory_order_acquire);
}

static inline bool
handoff__owner_offer(handoff__owner *owner, uint32_t own, uint32_t other)
{
	return handoff__owner_swap(owner, own, other | HANDOFF__OFFERED);
}

/* Accepts what was offered to `own`. */
static inline bool
handoff__owner_accept(handoff__owner *owner, uint32_t own)
{
	return handoff__owner_swap(owner, own | HANDOFF__OFFERED, own);
}

/* Revokes what was offered to `other` and not accepted. */
static inline bool
handoff__owner_revoke(handoff__owner *owner, uint32_t own, uint32_t other)
{
	return handoff__owner_swap(owner, other | HANDOFF__OFFERED, own);
}

/* Claims what the dead peer `other` owned, was offered or had offered. True if
 * `own` is the owner now, even if it was before. */
static inline bool
handoff__owner_claim(handoff__owner *owner, uint32_t own, uint32_t other)
{
	return handoff__owner_swap(owner, other, own) ||
	       handoff__owner_revoke(owner, own, other) ||
	       handoff__owner_accept(owner, own) ||
	       handoff__owner_word(owner) == own;
}

/* The word of an entry of the batch in that slot. */
static inline uint32_t
handoff__owner_elsewhere(uint32_t slot)
{
	return HANDOFF__ELSEWHERE | slot << HANDOFF__SLOT_SHIFT;
}

static inline bool
handoff__owner_is_elsewhere(uint32_t word)
{
	return (word & HANDOFF__PLACE) == HANDOFF__ELSEWHERE;
}

/* The batch's slot in such a word; a damaged one may be any number. */
static inline uint32_t
handoff__owner_slot(uint32_t word)
{
	return word >> HANDOFF__SLOT_SHIFT;
}

static inline void
handoff__owner_set(handoff__owner *owner, uint32_t place)
{
	atomic_store_explicit(owner, place, memory_order_release);
}

#endif
