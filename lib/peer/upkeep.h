/* SPDX-License-Identifier: MIT */
/*
 * What this peer has in the service directory stays there.
 */
#ifndef HANDOFF_PEER_UPKEEP_H
#define HANDOFF_PEER_UPKEEP_H

#include "peer/core.h"

/* The directory has just been opened by the path that was given. */
void handoff__upkeep_init(struct handoff__pair *pair);
void handoff__upkeep_start(struct handoff__pair *pair);
void handoff__upkeep_stop(struct handoff__pair *pair);
void handoff__upkeep_fini(struct handoff__pair *pair);

#endif
