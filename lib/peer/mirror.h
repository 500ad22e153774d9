/* SPDX-License-Identifier: MIT */
/*
 * The owner's side of copies.
 */
#ifndef HANDOFF_PEER_MIRROR_H
#define HANDOFF_PEER_MIRROR_H

#include "peer/core.h"

/* Sends the segments that the other does not have. */
void handoff__mirror_segments(struct handoff__pair *pair);

/* A new standby gets everything. */
void handoff__mirror_all(struct handoff__pair *pair);

/* Sends what is due, as far as the link takes it. */
void handoff__mirror_pump(struct handoff__pair *pair);

/* What was refused gets another chance, `most` of them. */
void handoff__mirror_retry(struct handoff__pair *pair, uint32_t most);

/* The standby is gone: it has nothing of ours any more. */
void handoff__mirror_forget(struct handoff__pair *pair);

/* HELD, LOST */
void handoff__mirror_answered(
	struct handoff__pair *pair, const struct handoff__msg *msg);
void handoff__mirror_lost(
	struct handoff__pair *pair, const struct handoff__msg *msg);

#endif
