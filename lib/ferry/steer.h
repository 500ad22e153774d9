/* SPDX-License-Identifier: MIT */
/*
 * What the operator's program is told that steers packets (hook.h): the flows
 * of batches, and the end of a move. Nothing without --hook. Nobody waits for
 * it: the gate holds and forwards what comes here all the same. Its failures
 * are logged and shown in the status.
 */
#ifndef HANDOFF_FERRY_STEER_H
#define HANDOFF_FERRY_STEER_H

#include "ferry/freight.h"
#include "ferry/hook.h"

/* Checks the program; -errno with a sentence in the ferry's error. */
int handoff__steer_open(struct handoff__ferry *ferry);

/* Ends what runs. */
void handoff__steer_close(struct handoff__ferry *ferry);

/* Of all connections that are in the batch, */
void handoff__steer_batch(
	struct handoff__freight *load, enum handoff__hook_verb verb);
/* and of those at these places in it. */
void handoff__steer_some(struct handoff__freight *load,
	enum handoff__hook_verb verb, const uint32_t *indices, uint32_t count);

/* The service is the other host's. */
void handoff__steer_final(struct handoff__ferry *ferry);

#endif
