/* SPDX-License-Identifier: MIT */
/*
 * The lists of entries that have an event for the program, or that it has
 * released. Does not know the reasons.
 */
#include "embed/embed.h"

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
		TAILQ_INSERT_TAIL(&peer->pending, e, node);
	if (event != HANDOFF__PENDING_NONE)
		handoff__operator_wake(&peer->op);
}
