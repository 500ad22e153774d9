/* SPDX-License-Identifier: MIT */
/*
 * Whether the other peer is alive and keeps up.
 */
#ifndef HANDOFF_PEER_PULSE_H
#define HANDOFF_PEER_PULSE_H

#include "peer/core.h"

void handoff__pulse_start(struct handoff__pair *pair);
void handoff__pulse_stop(struct handoff__pair *pair);

/* Begin and end a beat that is due; the end judges the other peer and arms the
 * timer for the next one. */
void handoff__pulse_begin(struct handoff__pair *pair, int64_t now);
void handoff__pulse_end(struct handoff__pair *pair, int64_t now);

/* Sends the beat. */
void handoff__pulse_send(struct handoff__pair *pair);

/* The number of refused copies to retry at this beat. */
uint32_t handoff__pulse_retries(struct handoff__pair *pair);

/* BEAT. True if the two disagree for the second time in a row. */
bool handoff__pulse_on_beat(
	struct handoff__pair *pair, const struct handoff__msg *msg);

#endif
