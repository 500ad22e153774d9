/* SPDX-License-Identifier: MIT */
/*
 * What two processes say of themselves before they are peers.
 */
#ifndef HANDOFF_PEER_HELLO_H
#define HANDOFF_PEER_HELLO_H

#include "peer/core.h"

#define HANDOFF__HELLO_TIMEOUT_US 5000000

void handoff__hello_make(
	const struct handoff__pair *pair, struct handoff__hello *hello);

/* Says it over a connected socket, with a pidfd of this process. */
int handoff__hello_say(int fd, const struct handoff__hello *hello);

/* Can the two be peers? */
enum handoff__reason handoff__hello_judge(
	const struct handoff__pair *pair, const struct handoff__hello *hello);

/* "..., state version 2 there, 1 here": what to compare. */
void handoff__hello_explain(const struct handoff__pair *pair,
	const struct handoff__hello *hello, enum handoff__reason reason,
	char *text, size_t size);

/* A candidate was turned away. One cause that comes again and again is told
 * once. */
void handoff__hello_refused(struct handoff__pair *pair,
	enum handoff__reason reason, const char *why);

#endif
