/* SPDX-License-Identifier: MIT */
/*
 * Converts records of an older program or library.
 */
#ifndef HANDOFF_PEER_CONVERT_H
#define HANDOFF_PEER_CONVERT_H

#include "peer/core.h"

/* Gives the entry a record of our layout with a state of this program's
 * version; its owner word is ours already, but it is not yet `mine`. Returns
 * the entry, or another in its place, or NULL if that fails; it is then closed.
 */
struct handoff__roster_entry *handoff__convert_entry(
	struct handoff__pair *pair, struct handoff__roster_entry *e);

#endif
