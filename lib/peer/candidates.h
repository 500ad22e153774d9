/* SPDX-License-Identifier: MIT */
/*
 * Processes that connect to this peer's socket.
 */
#ifndef HANDOFF_PEER_CANDIDATES_H
#define HANDOFF_PEER_CANDIDATES_H

#include "peer/core.h"

void handoff__candidates_init(struct handoff__pair *pair);

/* Listens, and replaces an existing socket file: only while the place's lock is
 * held. */
int handoff__candidates_listen(struct handoff__pair *pair);

/* Stops: removes the socket and closes all candidates. */
void handoff__candidates_stop(struct handoff__pair *pair);

/* Answers one candidate that is due. False if there is none. */
bool handoff__candidates_answer(struct handoff__pair *pair);

void handoff__candidate_close(struct handoff__candidate *candidate);

#endif
