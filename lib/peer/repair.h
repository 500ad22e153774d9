/* SPDX-License-Identifier: MIT */
/*
 * Records whose process died.
 */
#ifndef HANDOFF_PEER_REPAIR_H
#define HANDOFF_PEER_REPAIR_H

#include "peer/core.h"

/* The process that had the entry died, perhaps in a turn, when positions are
 * hints: asks the kernel. NULL, or why it can't go on; "" if the client is
 * gone. */
const char *handoff__entry_repair(struct handoff__roster_entry *entry,
	struct handoff__survival *survival);

#endif
