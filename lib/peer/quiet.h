/* SPDX-License-Identifier: MIT */
/*
 * Entries that follow a give one by one.
 */
#ifndef HANDOFF_PEER_QUIET_H
#define HANDOFF_PEER_QUIET_H

#include "peer/core.h"

/* The entry's handler has returned (see quiesce). */
void handoff__peer_quiet(
	struct handoff__peer *peer, struct handoff__entry *entry);

/* The same for up to HANDOFF_FDPASS_MAX entries, in one message. */
void handoff__peer_quiet_all(struct handoff__peer *peer,
	struct handoff__entry **list, uint32_t count);

/* Takes back what has followed and was not accepted in time. */
void handoff__quiet_strays(struct handoff__peer *peer, int64_t now);

#endif
