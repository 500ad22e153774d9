/* SPDX-License-Identifier: MIT */
/*
 * Processes that connect to this peer's socket.
 */
#ifndef HANDOFF_PEER_CANDIDATES_H
#define HANDOFF_PEER_CANDIDATES_H

#include "peer/core.h"

void handoff__candidates_init(struct handoff__pair *pair);

/* Listens, in place of the socket of before if there is one: only with the lock
 * of the place held. */
int handoff__candidates_listen(struct handoff__pair *pair);

/* No more: the socket is removed, and all candidates are closed. */
void handoff__candidates_deafen(struct handoff__pair *pair);

/* Answers one that it is time to answer. False if there is none. */
bool handoff__candidates_answer(struct handoff__pair *pair);

void handoff__candidate_close(struct handoff__candidate *candidate);

#endif
