/* SPDX-License-Identifier: MIT */
/*
 * A carrier: a peer without a service of its own (`config.carrier`). What it
 * has to know of the service, its identity, it takes from the other peer, or is
 * told.
 */
#ifndef HANDOFF_PEER_CARRIER_H
#define HANDOFF_PEER_CARRIER_H

#include "peer/core.h"

/* Tells a carrier which service it is for; what a peer that joins says counts
 * more, as long as there is no arena. -EPROTO with a sentence in `error` if the
 * arena here is another service's, -EINVAL for sizes that no service has. */
int handoff__pair_identify(
	struct handoff__pair *pair, const struct handoff__identity *identity);

/* False if the service is not known yet. */
bool handoff__pair_identity(
	const struct handoff__pair *pair, struct handoff__identity *identity);

/* Takes the identity from a HELLO that was judged, unless there is an arena
 * already, and reports it by the callback `known`. For peers that are no
 * carriers it does nothing. */
void handoff__carrier_learn(
	struct handoff__pair *pair, const struct handoff__hello *hello);

/* The newest version of states in the arena, or that of the service. */
uint32_t handoff__carrier_newest(const struct handoff__pair *pair);

#endif
