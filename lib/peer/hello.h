/* SPDX-License-Identifier: MIT */
/*
 * The handshake of two processes that want to be peers.
 */
#ifndef HANDOFF_PEER_HELLO_H
#define HANDOFF_PEER_HELLO_H

#include "peer/core.h"

#define HANDOFF__HELLO_TIMEOUT_US 5000000

void handoff__hello_make(
	const struct handoff__pair *pair, struct handoff__hello *hello);

/* Sends HELLO over a connected socket, with a pidfd of this process. */
int handoff__hello_send(int fd, const struct handoff__hello *hello);

/* Decides whether the two can be peers. */
enum handoff__reason handoff__hello_judge(
	const struct handoff__pair *pair, const struct handoff__hello *hello);

/* "..., state version 2 there, 1 here": the values to compare. */
void handoff__hello_explain(const struct handoff__pair *pair,
	const struct handoff__hello *hello, enum handoff__reason reason,
	char *text, size_t size);

/* Reports a refused candidate; a repeated cause only once. */
void handoff__hello_refused(struct handoff__pair *pair,
	enum handoff__reason reason, const char *why);

#endif
