/* SPDX-License-Identifier: MIT */
/* The connections of a batch on its way to this host. */
#ifndef HANDOFF_FERRY_UNLOADING_H
#define HANDOFF_FERRY_UNLOADING_H

#include "ferry/freight.h"

/* Prepares those that have come. False if free records have to be waited for:
 * `room` of the peer says when. */
bool handoff__unloading_prepare(struct handoff__freight *load);

/* Tells the gate of them, and keeps their images: `guarded`, `guard_failed`,
 * `guard_empty`. */
void handoff__unloading_guard(struct handoff__freight *load);

/* Names those that WITHDRAW names. */
void handoff__unloading_withdraw(
	struct handoff__freight *load, const struct handoff__letter *letter);

/* Drops those that are named, and tells the gate. */
void handoff__unloading_drop(struct handoff__freight *load);

/* Sends PREPARED, with those that were refused. */
void handoff__unloading_report(struct handoff__freight *load);

/* Whether the server has answered for each copy. Those that it has refused are
 * named, and counted in `*refused`. */
bool handoff__unloading_answered(
	struct handoff__freight *load, uint32_t *refused);

/* They are this host's: they serve, and the server is offered them. */
void handoff__unloading_finish(struct handoff__freight *load);
void handoff__unloading_offer(struct handoff__freight *load);

/* Whether the server serves all that have not ended. */
bool handoff__unloading_served(const struct handoff__freight *load);

/* Nothing of them stays. */
void handoff__unloading_abandon(struct handoff__freight *load);

/* Those of a batch of an earlier ferry, which the server has given to this one
 * to decide. */
void handoff__unloading_collect(struct handoff__freight *load);

#endif
