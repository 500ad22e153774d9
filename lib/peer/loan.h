/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the two peers keep open for each other.
 */
#ifndef HANDOFF_PEER_LOAN_H
#define HANDOFF_PEER_LOAN_H

#include "peer/core.h"

/* Sends those of this peer. */
void handoff__loan_give(struct handoff__pair *pair);

/* LEND: takes the descriptor over. */
void handoff__loan_keep(struct handoff__pair *pair, int fd);

/* Closes those of the other, beside its work. */
void handoff__loan_return(struct handoff__pair *pair);
void handoff__loan_fini(struct handoff__pair *pair);

#endif
