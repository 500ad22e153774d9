/* SPDX-License-Identifier: MIT */
/*
 * What the link brings, and what follows from it.
 */
#ifndef HANDOFF_PEER_DISPATCH_H
#define HANDOFF_PEER_DISPATCH_H

#include "peer/core.h"

/* For the link; its `arg` is the peer. */
extern const struct handoff__link_ops handoff__dispatch_ops;

/* Acts upon what was noted and sends what is due to the standby; once a turn
 * of the loop, at its end. True if there was anything. */
bool handoff__pair_proceed(struct handoff__pair *pair);

#endif
