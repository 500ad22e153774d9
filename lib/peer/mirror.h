/* SPDX-License-Identifier: MIT */
/*
 * The owner's side of mirroring.
 */
#ifndef HANDOFF_PEER_MIRROR_H
#define HANDOFF_PEER_MIRROR_H

#include "peer/core.h"

/* Sends the segments that the other peer does not have. */
void handoff__mirror_segments(struct handoff__pair *pair);

/* Sends everything to a new standby. */
void handoff__mirror_all(struct handoff__pair *pair);

/* Sends what is due, as far as the link accepts it. */
void handoff__mirror_pump(struct handoff__pair *pair);

/* Sends up to `most` refused copies again. */
void handoff__mirror_retry(struct handoff__pair *pair, uint32_t most);

/* The standby is gone: none of our entries has a copy any more. */
void handoff__mirror_forget(struct handoff__pair *pair);

/* HELD, LOST */
void handoff__mirror_answered(
	struct handoff__pair *pair, const struct handoff__msg *msg);
void handoff__mirror_lost(
	struct handoff__pair *pair, const struct handoff__msg *msg);

#endif
