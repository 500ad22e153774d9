/* SPDX-License-Identifier: MIT */
/*
 * The lease of this host, as its two peers carry it out. The one that owns the
 * board keeps it; both let everything stand still when it ends to be valid,
 * whether or not the other is able to, and go on when it is valid again.
 */
#ifndef HANDOFF_PEER_GUARD_H
#define HANDOFF_PEER_GUARD_H

#include "peer/core.h"
#include "peer/stand.h"

#include <stddef.h>

void handoff__guard_init(struct handoff__pair *pair);

/* Checks the options, that the engine can be opened with them, and that this
 * kernel has what they need; nothing is asked of the engine yet. 0, or a
 * negative errno with a sentence. */
int handoff__guard_open(struct handoff__pair *pair);
/* In a child of this process. */
void handoff__guard_forked(struct handoff__pair *pair);

/* This process serves nothing any more: another goes on with the lease. */
void handoff__guard_retire(struct handoff__pair *pair);

/* From here on a peer that is retired keeps the lease until it is closed: what
 * it still has may be used until then. */
void handoff__pair_linger(struct handoff__pair *pair);

/* A hash of address, host and TTL, for the other peer to compare; 0: no lease.
 */
uint64_t handoff__guard_lease_id(const struct handoff__pair *pair);

/* The arena is new, and nothing may be served before the lease is won. */
void handoff__guard_claim(struct handoff__pair *pair);

/* Work that is due after an iteration. */
void handoff__guard_proceed(struct handoff__pair *pair);

/* The service is about to be offered to the other peer, which goes on with the
 * lease. If that fails this one does. */
void handoff__guard_let_go(struct handoff__pair *pair);

/* The engine keeps this notice for other hosts, soon; `data` is copied. */
void handoff__pair_retain(
	struct handoff__pair *pair, const void *data, size_t len);

/* Nothing is served any more in this host: gives the lease up. True once that
 * is done, or need not be waited for (any more); until then the loop is woken.
 */
bool handoff__pair_release(struct handoff__pair *pair);

/* For an operator: what this peer knows of the lease. */
struct handoff__leased {
	enum handoff_lease_state state;
	uint64_t token;    /* 0: none */
	uint64_t valid_ms; /* how long it may serve yet */
	bool frozen;       /* everything stands still */
	bool kept;         /* this peer keeps it, */
	bool connected;    /* and its engine answers */
};

/* False if the service has no lease, or nothing is known yet. */
bool handoff__pair_lease_seen(
	struct handoff__pair *pair, struct handoff__leased *seen);
void handoff__pair_lease_text(
	struct handoff__pair *pair, struct handoff__buf *buf);
void handoff__pair_lease_json(
	struct handoff__pair *pair, struct handoff__buf *buf);

#endif
