/* SPDX-License-Identifier: MIT */
/*
 * Records whose process died.
 */
#ifndef HANDOFF_PEER_REPAIR_H
#define HANDOFF_PEER_REPAIR_H

#include "peer/core.h"

/* Repairs the entry of a dead process by the kernel's counters: if it died in a
 * turn the positions are only hints. Returns NULL, or why the entry cannot
 * continue; "" if the client is gone. */
const char *handoff__entry_repair(struct handoff__roster_entry *entry,
	struct handoff__survival *survival);

#endif
