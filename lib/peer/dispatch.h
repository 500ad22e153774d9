/* SPDX-License-Identifier: MIT */
/*
 * Routes messages, and acts on what was noted.
 */
#ifndef HANDOFF_PEER_DISPATCH_H
#define HANDOFF_PEER_DISPATCH_H

#include "peer/core.h"

/* callbacks for the link; its `arg` is the peer */
extern const struct handoff__link_ops handoff__dispatch_ops;

/* Acts on what was noted, and sends what is due to the standby; called once per
 * iteration of the loop, at its end. True if it did anything. */
bool handoff__pair_proceed(struct handoff__pair *pair);

#endif
