/* SPDX-License-Identifier: MIT */
/*
 * Adopts a link that both peers have just agreed on.
 */
#ifndef HANDOFF_PEER_ADOPT_H
#define HANDOFF_PEER_ADOPT_H

#include "peer/core.h"

/* Takes over the link and `passed`, the pidfd that came with HELLO, or -1;
 * sends what a new partner needs. */
int handoff__adopt_link(struct handoff__pair *pair, int fd, int passed,
	const struct handoff__hello *hello);

#endif
