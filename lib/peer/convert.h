/* SPDX-License-Identifier: MIT */
/*
 * States that an older program left.
 */
#ifndef HANDOFF_PEER_CONVERT_H
#define HANDOFF_PEER_CONVERT_H

#include "peer/core.h"

/* The entry, whose owner word is ours already but which is not yet `mine`,
 * with a state of our version: itself, or another in its place. NULL if that
 * can't be; it is closed then. */
struct handoff__roster_entry *handoff__convert_entry(
	struct handoff__pair *pair, struct handoff__roster_entry *e);

#endif
