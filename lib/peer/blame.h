/* SPDX-License-Identifier: MIT */
/*
 * Inputs that kill.
 */
#ifndef HANDOFF_PEER_BLAME_H
#define HANDOFF_PEER_BLAME_H

#include "peer/core.h"

/* The same death, and whether it came in the handler: counts that. NULL, or why
 * nobody may run that handler again. */
const char *handoff__entry_blame(struct handoff__roster_entry *entry,
	struct handoff__survival *survival);

/* Has the handler of this connection killed as often as is allowed? */
bool handoff__entry_poisoned(const struct handoff__roster_entry *entry);

/* Is it a connection of this peer's that may have killed another process, and
 * whose handler has not returned since? */
bool handoff__entry_suspected(const struct handoff__roster_entry *entry);

uint32_t handoff__pair_suspects(struct handoff__pair *pair);

#endif
