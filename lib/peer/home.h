/* SPDX-License-Identifier: MIT */
/*
 * Maintenance as an operator sees it.
 */
#ifndef HANDOFF_PEER_HOME_H
#define HANDOFF_PEER_HOME_H

#include "peer/core.h"

/* Returns 1 if a maintenance would repeat the one in progress, with a sentence
 * that says so in `text`; 0 if not. `name` selects a peer, or is "". A negative
 * errno with a sentence in `error` if there is no such peer, or if the lease of
 * this host does not let it serve. */
int handoff__pair_repeats(
	struct handoff__pair *pair, const char *name, char *text, size_t size);

/* Whether the service is at home, with a standby, so that bringing it home
 * would repeat that, with a sentence that says so in `text`. */
bool handoff__pair_is_home(
	struct handoff__pair *pair, bool silent, char *text, size_t size);

/* Brings the service home to this standby; `silent`: with all connections at
 * once. Errors as above; -EALREADY if this peer serves already, -EAGAIN if the
 * lease of this host does not let it serve. */
int handoff__pair_home(struct handoff__pair *pair, bool silent);

/* The service is at home with this peer from now on, which serves it in the
 * place of another, with a sentence that says so in `text`. -EPERM if it does
 * not serve; and errors as above. */
int handoff__pair_stay(struct handoff__pair *pair, char *text, size_t size);

#endif
