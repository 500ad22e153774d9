/* SPDX-License-Identifier: MIT */
/*
 * The standby's side of mirroring.
 */
#ifndef HANDOFF_PEER_COPIES_H
#define HANDOFF_PEER_COPIES_H

#include "peer/core.h"

/* MIRROR, and a MIRROR whose descriptors did not fit into the descriptor
 * table. */
void handoff__copies_arrived(struct handoff__pair *pair,
	const struct handoff__msg *msg, const int *fds, size_t nfds);
void handoff__copies_overflow(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* DROP */
void handoff__copies_dropped(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* SEGMENT, and a SEGMENT whose descriptor did not fit into the descriptor
 * table. */
void handoff__copies_on_segment(
	struct handoff__pair *pair, const struct handoff__msg *msg, int fd);
void handoff__copies_lost_segment(
	struct handoff__pair *pair, const struct handoff__msg *msg);

/* Closes copies of entries that their owner has ended without a DROP having
 * arrived. */
void handoff__copies_sweep(struct handoff__pair *pair);

#endif
