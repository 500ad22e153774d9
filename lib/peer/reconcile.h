/* SPDX-License-Identifier: MIT */
/*
 * Owner words against what this peer believes.
 */
#ifndef HANDOFF_PEER_RECONCILE_H
#define HANDOFF_PEER_RECONCILE_H

#include "peer/core.h"

/* Takes what the owner words say is this peer's, though no message has told;
 * and closes copies of what is no more. */
void handoff__reconcile(struct handoff__pair *pair);

#endif
