/* SPDX-License-Identifier: MIT */
/*
 * The steps of a give. After handoff__give_begin the caller waits for the
 * standby to be ready, has due copies sent, then calls handoff__give_probe.
 */
#ifndef HANDOFF_PEER_GIVE_H
#define HANDOFF_PEER_GIVE_H

#include "peer/core.h"

void handoff__give_begin(struct handoff__pair *pair, enum handoff__cause cause);
void handoff__give_probe(struct handoff__pair *pair);

/* Takes the next step, if it is due. True if it did. */
bool handoff__give_proceed(struct handoff__pair *pair);

/* READY from a partner that was ready before. */
void handoff__give_on_ready(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* The link broke: accepted entries stay with the other peer, the rest stays
 * here. */
void handoff__give_broken(struct handoff__pair *pair);

#endif
