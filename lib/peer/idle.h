/* SPDX-License-Identifier: MIT */
/*
 * Whether the peer that owns the service serves it: without the lease of its
 * host, or while that is not valid, it does not.
 */
#ifndef HANDOFF_PEER_IDLE_H
#define HANDOFF_PEER_IDLE_H

#include "peer/core.h"

enum handoff__idle {
	HANDOFF__IDLE_NOT,
	HANDOFF__IDLE_WAITS, /* another host has the lease, or none has it */
	HANDOFF__IDLE_STILL, /* everything stands still until it is confirmed */
};

/* Of the peer that owns the service, this one or the other. */
enum handoff__idle handoff__pair_idle(const struct handoff__pair *pair);

/* Whether this peer owns the service, and serves it now. */
bool handoff__idle_serves(const struct handoff__pair *pair);

/* 0, or -EAGAIN with a sentence that says what is waited for, and which host
 * has the lease as far as this peer knows. */
int handoff__idle_check(struct handoff__pair *pair);

#endif
