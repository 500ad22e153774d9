/* SPDX-License-Identifier: MIT */
/*
 * Takes over from a dead peer.
 */
#ifndef HANDOFF_PEER_SURVIVE_H
#define HANDOFF_PEER_SURVIVE_H

#include "peer/core.h"

/* Takes over the other peer's entries and fills in `survival`. Call it only
 * when none of its processes exists or still uses the entries. */
void handoff__survive(struct handoff__pair *pair);

#endif
