/* SPDX-License-Identifier: MIT */
/*
 * Offers of entries and of the service, in owner words.
 */
#ifndef HANDOFF_PEER_OFFER_H
#define HANDOFF_PEER_OFFER_H

#include "peer/core.h"

/* An offer is taken within an iteration of the other's loop, or that is
 * stopped. */
#define HANDOFF__TAKEN_MS 2000u

/* Offers one entry: from here on it is not served here. False if it could not
 * be offered. */
bool handoff__offer_entry(struct handoff__pair *pair,
	struct handoff__roster_entry *entry, struct handoff__moved *moved);

/* Offers everything that may move; what is in a handler is left `leaving`, and
 * what has no copy is named in the report. */
void handoff__offer_all(
	struct handoff__pair *pair, struct handoff__moved *moved);

/* The service itself: the other is to serve from here on. */
void handoff__offer_service(struct handoff__pair *pair);

/* Why no listener may move, so that nothing may; or HANDOFF__OK. */
enum handoff__reason handoff__offer_objection(struct handoff__pair *pair);

/* Tells the other to look: rings its bell. */
void handoff__offer_ring(struct handoff__pair *pair, struct handoff__msg *msg);
void handoff__offer_ref(const struct handoff__roster_entry *entry, uint32_t arg,
	struct handoff__ref *ref);

/* The give took until then, at least. */
void handoff__offer_took_until(struct handoff__give *give, int64_t us);

/* Takes back what was offered and not accepted; `back` counts it. */
void handoff__offer_revoke(struct handoff__pair *pair,
	enum handoff__reason reason, struct handoff__moved *back);
/* False if the other has accepted it. */
bool handoff__offer_revoke_service(struct handoff__pair *pair);

/* What waits for a handler stays, and is named in the report. */
void handoff__offer_leave_waiting(
	struct handoff__pair *pair, enum handoff__reason reason);

#endif
