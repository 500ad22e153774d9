/* SPDX-License-Identifier: MIT */
/*
 * Keeps this peer's files in the service directory.
 */
#ifndef HANDOFF_PEER_UPKEEP_H
#define HANDOFF_PEER_UPKEEP_H

#include "peer/core.h"

/* The directory has just been opened by its configured path. */
void handoff__upkeep_init(struct handoff__pair *pair);
void handoff__upkeep_start(struct handoff__pair *pair);
void handoff__upkeep_stop(struct handoff__pair *pair);
void handoff__upkeep_fini(struct handoff__pair *pair);

#endif
