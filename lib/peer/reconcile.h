/* SPDX-License-Identifier: MIT */
/*
 * Compares the owner words with this peer's view.
 */
#ifndef HANDOFF_PEER_RECONCILE_H
#define HANDOFF_PEER_RECONCILE_H

#include "peer/core.h"

/* Takes entries that are this peer's by their owner words although no message
 * said so, and closes copies of ended entries. */
void handoff__reconcile(struct handoff__pair *pair);

#endif
