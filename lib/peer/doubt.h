/* SPDX-License-Identifier: MIT */
/* Entries in doubt: a carrier that has died left them undecided. */
#ifndef HANDOFF_PEER_DOUBT_H
#define HANDOFF_PEER_DOUBT_H

#include "peer/core.h"

/* How many a carrier that died has left undecided: they wait for the next
 * one. */
uint32_t handoff__pair_in_doubt(const struct handoff__pair *pair);

/* How many of them end with this process, because no carrier has copies yet;
 * with a sentence, unless there are none. */
uint32_t handoff__pair_doubt(
	const struct handoff__pair *pair, char text[HANDOFF_TEXT_MAX]);

#endif
