/* SPDX-License-Identifier: MIT */
/*
 * A maintenance as people mean it.
 */
#ifndef HANDOFF_PEER_HOME_H
#define HANDOFF_PEER_HOME_H

#include "peer/core.h"

/* Would a maintenance repeat the one that is under way? True with a sentence
 * that says so. `name`: of the peer that is meant, or "". Negative errno with a
 * sentence in `error` if no such peer is here. */
int handoff__pair_repeats(
	struct handoff__pair *pair, const char *name, char *text, size_t size);

/* Brings the service home to this standby; `silent`: all of it at once. Errors
 * as above, -EALREADY if it serves already. */
int handoff__pair_home(struct handoff__pair *pair, bool silent);

#endif
