/* SPDX-License-Identifier: MIT */
/*
 * What begins a move of ownership.
 */
#ifndef HANDOFF_PEER_MOVES_H
#define HANDOFF_PEER_MOVES_H

#include "peer/core.h"

/* Begins to give this peer's entries (HOME: only listeners and extra
 * descriptors). -ENOTCONN, -EBUSY, -EPERM with a sentence in `error`. */
int handoff__pair_give(struct handoff__pair *pair, enum handoff__cause cause);

/* How it is given; 0: the default. */
struct handoff__give_how {
	uint32_t wait_ms; /* for a standby that is not ready to serve yet;
			   * default give_timeout_ms */
	bool whole;       /* everything moves, or nothing */
};

int handoff__pair_give_how(struct handoff__pair *pair,
	enum handoff__cause cause, const struct handoff__give_how *how);

/* Goes on with a give whose standby has become ready to serve. True if it
 * did. */
bool handoff__moves_proceed(struct handoff__pair *pair);

/* Asks the other peer, which serves, for entries. Errors as above. */
int handoff__pair_take(struct handoff__pair *pair, enum handoff__cause cause);

/* For a stop in a hurry: limits what is left of a move to HANDOFF__HURRY_MS. */
void handoff__pair_hurry(struct handoff__pair *pair);

/* TAKE: the other peer asks for entries. */
void handoff__moves_on_take(
	struct handoff__pair *pair, const struct handoff__msg *msg);

#endif
