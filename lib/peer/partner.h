/* SPDX-License-Identifier: MIT */
/*
 * What is known of the other peer, without asking it.
 */
#ifndef HANDOFF_PEER_PARTNER_H
#define HANDOFF_PEER_PARTNER_H

#include "peer/core.h"

/* "alt (pid 12)"; for sentences. */
const char *handoff__pair_partner_text(
	const struct handoff__pair *pair, char text[64]);

/* Is it of an older version, so that it cannot take our states? */
bool handoff__partner_older(const struct handoff__pair *pair);

/* Has its user configured it otherwise, as far as the two have told? */
bool handoff__partner_drifted(
	const struct handoff__pair *pair, const struct handoff__hello *hello);

/* Is it the partner whose link broke, and has this peer still its arena? */
bool handoff__partner_again(
	const struct handoff__pair *pair, const struct handoff__hello *hello);

/* Does the other process live, with all that it had, while its link is closed
 * or has only just been made anew? */
bool handoff__pair_rejoining(const struct handoff__pair *pair);

/* Can it give, or take (`give`: by this peer), anything now? -ENOTCONN, -EBUSY,
 * -EPERM with a sentence in `error`. */
int handoff__partner_check(struct handoff__pair *pair, bool give);

#endif
