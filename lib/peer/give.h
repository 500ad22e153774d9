/* SPDX-License-Identifier: MIT */
/*
 * The steps of a give. A caller of handoff__give_begin has the copies sent
 * that are due, and then calls handoff__give_probe.
 */
#ifndef HANDOFF_PEER_GIVE_H
#define HANDOFF_PEER_GIVE_H

#include "peer/core.h"

void handoff__give_begin(struct handoff__pair *pair, enum handoff__cause cause);
void handoff__give_probe(struct handoff__pair *pair);

/* Takes the next step, if what it waits for has come. True if it did. */
bool handoff__give_proceed(struct handoff__pair *pair);

/* READY, of a partner that was ready before. */
void handoff__give_on_ready(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* The link broke: what the other has accepted it keeps, the rest stays. */
void handoff__give_broken(struct handoff__pair *pair);

#endif
