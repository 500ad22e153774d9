/* SPDX-License-Identifier: MIT */
/*
 * What the board says of a maintenance.
 */
#ifndef HANDOFF_PEER_AWAY_H
#define HANDOFF_PEER_AWAY_H

#include "peer/core.h"

/* What `away` of the board says. */
enum handoff__away {
	HANDOFF__AWAY_NOT = 0,
	HANDOFF__AWAY_MAINTENANCE = 1,
	HANDOFF__AWAY_FAILOVER = 2,
};

/* True while a maintenance lasts: service is away from home. */
bool handoff__pair_away(struct handoff__pair *pair);

/* "maintenance under way since 2026-01-31 12:00:00: alt serves in place of
 * server", or "failed over since ..."; "" if service is at home. */
void handoff__pair_away_text(
	struct handoff__pair *pair, char *text, size_t size);

/* Notes on the board which peer service is away from, as of now. */
void handoff__away_set_home(
	struct handoff__board *board, const char *name, uint64_t instance);

/* Is the other peer, or this one, that which service is away from? */
bool handoff__away_is_home(struct handoff__pair *pair);
bool handoff__away_at_home(struct handoff__pair *pair);

#endif
