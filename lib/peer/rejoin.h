/* SPDX-License-Identifier: MIT */
/*
 * A link that broke is made anew.
 */
#ifndef HANDOFF_PEER_REJOIN_H
#define HANDOFF_PEER_REJOIN_H

#include "peer/core.h"

void handoff__rejoin_init(struct handoff__pair *pair);

/* Dials from now on, until the link is there or the other process is gone. */
void handoff__rejoin_begin(struct handoff__pair *pair);
void handoff__rejoin_end(struct handoff__pair *pair);

#endif
