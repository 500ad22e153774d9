/* SPDX-License-Identifier: MIT */
/*
 * Counts what a give waits for: answers to MIRRORs, among them the ping, an
 * empty MIRROR that only shows that the other peer answers.
 */
#ifndef HANDOFF_PEER_BARRIER_H
#define HANDOFF_PEER_BARRIER_H

#include "peer/core.h"

/* Marks and counts the entries whose MIRROR is unanswered. */
void handoff__barrier_await(struct handoff__pair *pair);

/* Clears all marks. */
void handoff__barrier_lift(struct handoff__pair *pair);

/* The other peer has answered for the entry, or never will. */
void handoff__barrier_answered(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* The other peer has answered that MIRROR, which may be the ping. */
void handoff__barrier_ping_answered(struct handoff__pair *pair, uint32_t batch);

/* An entry that the give in progress waited for, or not, has ended. */
void handoff__barrier_ended(struct handoff__pair *pair, bool waited);

/* Whether it waits for this one. */
bool handoff__barrier_waits(const struct handoff__pair *pair,
	const struct handoff__roster_entry *entry);

#endif
