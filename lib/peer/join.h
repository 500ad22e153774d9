/* SPDX-License-Identifier: MIT */
/*
 * How a peer joins and leaves.
 */
#ifndef HANDOFF_PEER_JOIN_H
#define HANDOFF_PEER_JOIN_H

#include "peer/core.h"

/* Opens the directory, takes a place, joins the other peer if there is one, and
 * listens. */
int handoff__join(struct handoff__pair *pair);
void handoff__join_leave(struct handoff__pair *pair);

#endif
