/* SPDX-License-Identifier: MIT */
/*
 * Inputs that kill a process.
 */
#ifndef HANDOFF_PEER_BLAME_H
#define HANDOFF_PEER_BLAME_H

#include "peer/core.h"

/* If the death came in the entry's handler, counts it. Returns NULL, or the
 * reason why the handler may not run again. */
const char *handoff__entry_blame(struct handoff__roster_entry *entry,
	struct handoff__survival *survival);

/* Whether the handler of this connection has killed as often as is allowed. */
bool handoff__entry_poisoned(const struct handoff__roster_entry *entry);

/* Whether this is a connection of this peer that may have killed another
 * process, and whose handler has not returned since. */
bool handoff__entry_suspected(const struct handoff__roster_entry *entry);

uint32_t handoff__pair_suspects(struct handoff__pair *pair);

#endif
