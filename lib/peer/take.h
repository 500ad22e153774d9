/* SPDX-License-Identifier: MIT */
/*
 * The taker.
 */
#ifndef HANDOFF_PEER_TAKE_H
#define HANDOFF_PEER_TAKE_H

#include "peer/core.h"

/* Asks the other peer, which serves, to give. */
void handoff__take_begin(struct handoff__pair *pair, enum handoff__cause cause);

/* Accepts all that is offered to this peer; `moved` counts it. */
void handoff__take_all(struct handoff__pair *pair, enum handoff__cause cause,
	uint64_t id, struct handoff__moved *moved);

/* MOVE, GAVE */
void handoff__take_on_move(
	struct handoff__pair *pair, const struct handoff__msg *msg);
void handoff__take_on_gave(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* Ends a take whose answer is late. True if it was. */
bool handoff__take_proceed(struct handoff__pair *pair);

/* The link broke before GAVE. */
void handoff__take_broken(struct handoff__pair *pair);

#endif
