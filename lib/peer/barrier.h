/* SPDX-License-Identifier: MIT */
/*
 * What a give waits for, counted.
 */
#ifndef HANDOFF_PEER_BARRIER_H
#define HANDOFF_PEER_BARRIER_H

#include "peer/core.h"

/* Counts what has no answer yet, and marks it. */
void handoff__barrier_await(struct handoff__pair *pair);

/* Nothing is waited for any more. */
void handoff__barrier_lift(struct handoff__pair *pair);

/* The other has answered for the entry, or never will. */
void handoff__barrier_answered(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* The other has answered that MIRROR: it may be the ping. */
void handoff__barrier_ping_answered(struct handoff__pair *pair, uint32_t batch);

/* An entry has ended that had these marks. */
void handoff__barrier_ended(
	struct handoff__pair *pair, bool barrier, bool leaving);

#endif
