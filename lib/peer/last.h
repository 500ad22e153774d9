/* SPDX-License-Identifier: MIT */
/*
 * The last handoff or failover.
 */
#ifndef HANDOFF_PEER_LAST_H
#define HANDOFF_PEER_LAST_H

#include "base/text.h"

struct handoff__pair;

/* "last MS" (since 1970) and lines to be shown as they are; nothing, or null,
 * if there was none. */
void handoff__last_text(
	const struct handoff__pair *pair, struct handoff__buf *buf);
void handoff__last_json(
	const struct handoff__pair *pair, struct handoff__buf *buf);

#endif
