/* SPDX-License-Identifier: MIT */
/*
 * The maintenance state on the board.
 */
#ifndef HANDOFF_PEER_AWAY_H
#define HANDOFF_PEER_AWAY_H

#include "peer/core.h"

/* values of the board's `away` */
enum handoff__away {
	HANDOFF__AWAY_NOT = 0,
	HANDOFF__AWAY_MAINTENANCE = 1,
	HANDOFF__AWAY_FAILOVER = 2,
	HANDOFF__AWAY_HOST = 3, /* on another host, and its ferry has died */
};

/* True during a maintenance: the service is away from home. */
bool handoff__pair_away(struct handoff__pair *pair);

/* The ferry that had the board has died, and nothing of the service was here:
 * it is on another host. Over as soon as this one listens or serves. */
bool handoff__pair_hosted(struct handoff__pair *pair);

/* "maintenance under way since 2026-01-31 12:00:00: alt serves in place of
 * server", or "failed over since ..."; "" if the service is at home. */
void handoff__pair_away_text(
	struct handoff__pair *pair, char *text, size_t size);

/* Records on the board which peer the service is away from, as of now. */
void handoff__away_set_home(
	struct handoff__board *board, const char *name, uint64_t instance);

/* Whether the other peer, or this one, is the service's home. */
bool handoff__away_is_home(struct handoff__pair *pair);
bool handoff__away_at_home(struct handoff__pair *pair);

#endif
