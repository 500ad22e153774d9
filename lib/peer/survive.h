/* SPDX-License-Identifier: MIT */
/*
 * What a dead peer leaves.
 */
#ifndef HANDOFF_PEER_SURVIVE_H
#define HANDOFF_PEER_SURVIVE_H

#include "peer/core.h"

/* Takes everything that the other peer owned, and tells `survival` of it. Only
 * when no process of it runs any more, or touches anything. */
void handoff__survive(struct handoff__pair *pair);

#endif
