/* SPDX-License-Identifier: MIT */
/*
 * Killing a peer that hangs.
 */
#ifndef HANDOFF_PEER_FENCE_H
#define HANDOFF_PEER_FENCE_H

#include "peer/core.h"

/* Can the partner be killed, if it ever must be? Notes it in `unfenced`. */
void handoff__fence_check(struct handoff__pair *pair);

/* Kills it, if that is wanted and nothing is lost with it. */
void handoff__fence_kill(struct handoff__pair *pair);

#endif
