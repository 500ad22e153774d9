/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the two peers keep open for each other.
 */
#ifndef HANDOFF_PEER_LOAN_H
#define HANDOFF_PEER_LOAN_H

#include "peer/core.h"

/* Lends this peer's descriptors. */
void handoff__loan_give(struct handoff__pair *pair);

/* LEND: takes the descriptor over. */
void handoff__loan_keep(struct handoff__pair *pair, int fd);

/* Closes the other peer's descriptors, in a thread of its own. */
void handoff__loan_return(struct handoff__pair *pair);

/* Waits until that thread is through. */
void handoff__loan_settle(struct handoff__pair *pair);
void handoff__loan_fini(struct handoff__pair *pair);

#endif
