/* SPDX-License-Identifier: MIT */
/*
 * Entries that follow a give one by one.
 */
#ifndef HANDOFF_PEER_QUIET_H
#define HANDOFF_PEER_QUIET_H

#include "peer/core.h"

/* The entry's handler has returned (see quiesce). */
void handoff__pair_quiet(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* The same for up to HANDOFF_FDPASS_MAX entries, in one message. */
void handoff__pair_quiet_all(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t count);

/* Revokes late offers that were not accepted in time. */
void handoff__quiet_revoke_late(struct handoff__pair *pair, int64_t now);

#endif
