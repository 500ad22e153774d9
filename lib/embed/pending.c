/* SPDX-License-Identifier: MIT */
/*
 * The lists of entries that have an event for the program, or that it has
 * released. Does not know the reasons.
 */
#include "embed/embed.h"

/* Listeners first: a program stops accepting before it releases connections,
 * and has its listeners before it learns that it is the owner. */
static void
append_pending(struct handoff_peer *peer, struct handoff_entry *e)
{
	struct handoff_entry *at = NULL;

	if (e->entry.kind == HANDOFF__LISTENER) {
		TAILQ_FOREACH (at, &peer->pending, node) {
			if (at->entry.kind != HANDOFF__LISTENER)
				break;
		}
	}
	if (at)
		TAILQ_INSERT_BEFORE(at, e, node);
	else
		TAILQ_INSERT_TAIL(&peer->pending, e, node);
}

/* Moves the entry to the list of `event`, or out of all lists. */
void
handoff__embed_pend(struct handoff_entry *e, enum handoff__pending event)
{
	struct handoff_peer *peer = e->peer;

	if (e->pending == HANDOFF__PENDING_RELEASED)
		TAILQ_REMOVE(&peer->released, e, node);
	else if (e->pending != HANDOFF__PENDING_NONE)
		TAILQ_REMOVE(&peer->pending, e, node);
	e->pending = (uint8_t)event;
	if (event == HANDOFF__PENDING_RELEASED)
		TAILQ_INSERT_TAIL(&peer->released, e, node);
	else if (event != HANDOFF__PENDING_NONE)
		append_pending(peer, e);
	if (event != HANDOFF__PENDING_NONE)
		handoff__operator_wake(&peer->op);
}
