/* SPDX-License-Identifier: MIT */
/*
 * Renews a link that broke.
 */
#ifndef HANDOFF_PEER_REJOIN_H
#define HANDOFF_PEER_REJOIN_H

#include "peer/core.h"

void handoff__rejoin_init(struct handoff__pair *pair);

/* Redials until the link is renewed or the other process is gone. */
void handoff__rejoin_begin(struct handoff__pair *pair);
void handoff__rejoin_end(struct handoff__pair *pair);

#endif
