/* SPDX-License-Identifier: MIT */
/*
 * The work that is due at each beat.
 */
#ifndef HANDOFF_PEER_BEAT_H
#define HANDOFF_PEER_BEAT_H

#include "peer/core.h"

void handoff__beat(struct handoff__pair *pair);

#endif
