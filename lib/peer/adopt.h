/* SPDX-License-Identifier: MIT */
/*
 * A link that has just been agreed upon.
 */
#ifndef HANDOFF_PEER_ADOPT_H
#define HANDOFF_PEER_ADOPT_H

#include "peer/core.h"

/* Takes the link over, and `passed`, the pidfd that came with HELLO, or -1;
 * sends what a new partner must have. */
int handoff__adopt_link(struct handoff__pair *pair, int fd, int passed,
	const struct handoff__hello *hello);

#endif
