/* SPDX-License-Identifier: MIT */
/*
 * The owner's side of copies.
 */
#ifndef HANDOFF_PEER_MIRROR_H
#define HANDOFF_PEER_MIRROR_H

#include "peer/core.h"

/* Sends the segments that the other does not have. */
void handoff__mirror_segments(struct handoff__peer *peer);

/* A new standby gets everything. */
void handoff__mirror_all(struct handoff__peer *peer);

/* Sends what is due, as far as the link takes it. */
void handoff__mirror_pump(struct handoff__peer *peer);

/* What was refused gets another chance, `most` of them. */
void handoff__mirror_retry(struct handoff__peer *peer, uint32_t most);

/* The standby is gone: it has nothing of ours any more. */
void handoff__mirror_forget(struct handoff__peer *peer);

/* HELD, LOST */
void handoff__mirror_answered(
	struct handoff__peer *peer, const struct handoff__msg *msg);
void handoff__mirror_lost(
	struct handoff__peer *peer, const struct handoff__msg *msg);

#endif
