/* SPDX-License-Identifier: MIT */
/*
 * Converts records of an older program or library.
 */
#ifndef HANDOFF_PEER_CONVERT_H
#define HANDOFF_PEER_CONVERT_H

#include "peer/core.h"

/* Gives the entry a record of our layout with a state of this program's
 * version. Its owner word must name us already, but `mine` is not yet set.
 * Returns the entry, or the one that replaces it; NULL if the conversion fails
 * and the entry is closed. */
struct handoff__roster_entry *handoff__convert_entry(
	struct handoff__pair *pair, struct handoff__roster_entry *e);

#endif
