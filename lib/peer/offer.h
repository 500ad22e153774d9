/* SPDX-License-Identifier: MIT */
/*
 * Offers of entries and of the service, in owner words.
 */
#ifndef HANDOFF_PEER_OFFER_H
#define HANDOFF_PEER_OFFER_H

#include "peer/core.h"

/* An offer is accepted within one iteration of the other peer's loop, unless
 * that peer is stopped. */
#define HANDOFF__TAKEN_MS 2000u

/* Offers one entry, which is not served here any more. False if it could not be
 * offered. */
bool handoff__offer_entry(struct handoff__pair *pair,
	struct handoff__roster_entry *entry, struct handoff__moved *moved);

/* Offers the entry with all that move together with it, or none of them: each
 * must be quiet and have a copy. Returns their number, 0 if they must wait;
 * stores references, if `refs` is not NULL, the leader first. */
uint32_t handoff__offer_together(struct handoff__pair *pair,
	struct handoff__roster_entry *entry, struct handoff__moved *moved,
	struct handoff__ref *refs);

/* Whether the entry may move now. If not, it is asked to become quiet, once. */
bool handoff__offer_is_quiet(
	struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* Returns why the entry, or one that moves together with it, cannot be offered:
 * it has no copy; or HANDOFF__OK. */
enum handoff__reason handoff__offer_entry_objection(
	const struct handoff__pair *pair, struct handoff__roster_entry *entry);

/* Leaves the entry and all that move together with it behind, and returns their
 * number. */
uint32_t handoff__offer_leave_together(struct handoff__pair *pair,
	struct handoff__roster_entry *entry, enum handoff__reason reason);

/* What a give finds before it offers anything. */
struct handoff__asked {
	bool any;       /* there are entries that the give takes */
	uint32_t quiet; /* entries that can be offered now, each with those that
			 * move together with it */
	enum handoff__reason stay; /* why another one has no copy; OK: all
				    * have */
};

/* Asks entries to become quiet: with `all` each of them, otherwise until one is
 * found that can be offered. */
void handoff__offer_ask(
	struct handoff__pair *pair, bool all, struct handoff__asked *asked);

/* Names those that keep a give from moving anything in the report: without a
 * copy, or not quiet. */
void handoff__offer_name_all(struct handoff__pair *pair);

/* Offers everything that may move; an entry in a handler is marked `leaving`,
 * and one without a copy is named in the report. */
void handoff__offer_all(
	struct handoff__pair *pair, struct handoff__moved *moved);

/* Offers the service itself. */
void handoff__offer_service(struct handoff__pair *pair);

/* Returns why no listener may move, so that nothing may; or HANDOFF__OK. */
enum handoff__reason handoff__offer_objection(struct handoff__pair *pair);

/* Sends MOVE, the doorbell of an offer. */
void handoff__offer_ring(struct handoff__pair *pair, struct handoff__msg *msg);
void handoff__offer_ref(const struct handoff__roster_entry *entry, uint32_t arg,
	struct handoff__ref *ref);

/* Extends the reported duration of the give to at least `us`, a time. */
void handoff__offer_took_until(struct handoff__give *give, int64_t us);

/* Revokes the offers that were not accepted; `back` counts them. */
void handoff__offer_revoke(struct handoff__pair *pair,
	enum handoff__reason reason, struct handoff__moved *back);
/* Entries have followed: asks the other peer whether it has accepted them, by a
 * message that it answers after that. */
void handoff__offer_confirm(struct handoff__pair *pair);

/* Revokes what has followed and was not accepted, and counts it as left behind:
 * returns the number of connections and listeners. */
uint32_t handoff__offer_take_back(
	struct handoff__pair *pair, enum handoff__reason reason);

/* False if the other peer has accepted it. */
bool handoff__offer_revoke_service(struct handoff__pair *pair);

/* Leaves entries that wait for a handler behind, and names them in the
 * report. */
void handoff__offer_leave_waiting(
	struct handoff__pair *pair, enum handoff__reason reason);

#endif
