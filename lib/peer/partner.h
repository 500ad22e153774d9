/* SPDX-License-Identifier: MIT */
/*
 * What is known of the other peer without asking it.
 */
#ifndef HANDOFF_PEER_PARTNER_H
#define HANDOFF_PEER_PARTNER_H

#include "peer/core.h"

/* "alt (pid 12)", for sentences. */
const char *handoff__pair_partner_text(
	const struct handoff__pair *pair, char text[64]);

/* The layout of the records that a peer creates. */
static inline uint32_t
handoff__partner_layout(const struct handoff__hello *hello)
{
	return hello->makes ? hello->makes : hello->layout;
}

/* Why the partner is too old to take our records: BAD_LAYOUT or
 * BAD_STATE_VERSION; OK if it is not. */
enum handoff__reason handoff__partner_older(const struct handoff__pair *pair);

/* Whether the partner can read the records of that segment. */
bool handoff__partner_reads(
	const struct handoff__pair *pair, const struct handoff__segment *seg);

/* Whether its configuration differs, as far as both have one. */
bool handoff__partner_drifted(
	const struct handoff__pair *pair, const struct handoff__hello *hello);

/* Whether this is the partner whose link broke, and the arena is still the
 * same. */
bool handoff__partner_again(
	const struct handoff__pair *pair, const struct handoff__hello *hello);

/* Whether the other process lives, with all its entries, while its link is
 * closed or has only just been renewed. */
bool handoff__pair_rejoining(const struct handoff__pair *pair);

/* Whether it can give, or take (`give`: this peer gives), anything now.
 * -ENOTCONN, -EBUSY, -EPERM with a sentence in `error`. */
int handoff__partner_check(struct handoff__pair *pair, bool give);

#endif
