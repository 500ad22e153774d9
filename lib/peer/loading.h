/* SPDX-License-Identifier: MIT */
/*
 * Whether each of the two peers is ready to serve.
 */
#ifndef HANDOFF_PEER_LOADING_H
#define HANDOFF_PEER_LOADING_H

#include "peer/core.h"

/* Says why this peer is not ready to serve yet; "" or NULL: it is. */
void handoff__pair_loading(struct handoff__pair *pair, const char *why);

/* "; it is not ready to serve yet: ..." if this peer is not, else "". */
const char *handoff__pair_loading_text(
	const struct handoff__pair *pair, char text[HANDOFF_TEXT_MAX]);

/* Tells the other peer, if that knows the message. */
void handoff__loading_tell(struct handoff__pair *pair);

/* Tells it of a sentence that has changed since. */
void handoff__loading_beat(struct handoff__pair *pair);

/* LOADING */
void handoff__loading_on_message(
	struct handoff__pair *pair, const struct handoff__msg *msg);

#endif
