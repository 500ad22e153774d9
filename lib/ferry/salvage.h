/* SPDX-License-Identifier: MIT */
/* Sockets that a ferry before this one has left in repair mode, and its gate
 * too: a survivor has claimed their entries, and may not switch it off. */
#ifndef HANDOFF_FERRY_SALVAGE_H
#define HANDOFF_FERRY_SALVAGE_H

#include "ferry/freight.h"

/* A copy came: looks at its socket. */
void handoff__salvage_entered(
	struct handoff__ferry *ferry, struct handoff__roster_entry *entry);

/* Lets go on what was frozen here, and finishes what has come from the other
 * host; as soon as the gate is ready, which may have done it. */
void handoff__salvage_proceed(struct handoff__ferry *ferry);

/* Whether no socket of that batch, which an earlier ferry has committed, is
 * left. One that does not come here is not waited for for ever. */
bool handoff__salvage_done(const struct handoff__freight *load);

void handoff__salvage_close(struct handoff__ferry *ferry);

#endif
