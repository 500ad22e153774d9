/* SPDX-License-Identifier: MIT */
/*
 * Entries that begin and end with this peer.
 */
#ifndef HANDOFF_PEER_ENTRY_H
#define HANDOFF_PEER_ENTRY_H

#include "peer/core.h"

/* Enters a new entry that this peer owns; takes the descriptor over, also on
 * failure. NULL with `*err` set if there is no room. */
struct handoff__roster_entry *handoff__pair_enter(struct handoff__pair *pair,
	int fd, enum handoff__kind kind, const char *name, int *err);

/* The same for a companion of `leader`, unless that is NULL: the two move
 * together, and when the leader ends the companion stands alone. -EINVAL the
 * leader is not this peer's or is a companion; -ENOSPC it has too many. */
struct handoff__roster_entry *handoff__pair_enter_with(
	struct handoff__pair *pair, int fd, enum handoff__kind kind,
	const char *name, struct handoff__roster_entry *leader, int *err);

/* Ends an entry that this peer owns: closes it and has the standby drop its
 * copy. The caller has shut it down. */
void handoff__pair_end(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

#endif
