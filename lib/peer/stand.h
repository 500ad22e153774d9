/* SPDX-License-Identifier: MIT */
/*
 * What a peer does about the lease of its host, whichever of the two keeps it:
 * when that ends to be valid everything stands still, whether or not the other
 * peer is able to do the same.
 */
#ifndef HANDOFF_PEER_STAND_H
#define HANDOFF_PEER_STAND_H

#include "peer/core.h"
#include "record/tenure.h"

/* With a lease only. A negative errno: there is no timer. */
int handoff__stand_open(struct handoff__pair *pair);
/* Harmless if it was not opened. Neither does a timer end this process any
 * more. */
void handoff__stand_close(struct handoff__pair *pair);

/* NULL: the service has no lease, or the arena has not come yet. */
struct handoff__tenure *handoff__stand_tenure(const struct handoff__pair *pair);

enum handoff_lease_state handoff__stand_state(
	const struct handoff__tenure *tenure);

/* Whether the host has the lease as far as it knows, valid or not. */
bool handoff__stand_holds(const struct handoff__tenure *tenure);

/* Whether it is of those that stand still. */
bool handoff__stand_socket(const struct handoff__roster_entry *e);

/* Does what the tenure says now, and sets the timers for what follows. */
void handoff__stand(struct handoff__pair *pair);

/* Whether the service has a lease. */
static inline bool
handoff__pair_leased(const struct handoff__pair *pair)
{
	return pair->config.lease != NULL;
}

/* Whether something may be accepted, published or begun now. */
bool handoff__pair_may_begin(const struct handoff__pair *pair);

/* Whether something may be committed and sent now. */
bool handoff__pair_valid(const struct handoff__pair *pair);

/* Nothing is served any more: connections end after what the kernel still has
 * of them, and are reset if the lease is not valid; listeners listen no more.
 */
void handoff__pair_end_sockets(struct handoff__pair *pair);

/* Whether the host has the lease, valid or not: its listeners are open. */
bool handoff__pair_holds(const struct handoff__pair *pair);

#endif
