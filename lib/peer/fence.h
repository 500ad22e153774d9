/* SPDX-License-Identifier: MIT */
/*
 * Killing a peer that hangs.
 */
#ifndef HANDOFF_PEER_FENCE_H
#define HANDOFF_PEER_FENCE_H

#include "peer/core.h"

/* Checks whether the partner can be killed, should that be necessary; notes the
 * result in `unfenced`. */
void handoff__fence_check(struct handoff__pair *pair);

/* Kills it, if fencing is enabled and nothing would be lost. */
void handoff__fence_kill(struct handoff__pair *pair);

#endif
