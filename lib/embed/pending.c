/* SPDX-License-Identifier: MIT */
/*
 * The lists of entries that have an event for the program, or that it has
 * released. Does not know the reasons.
 */
#include "embed/embed.h"

/* Listeners first: a program stops accepting before it releases connections,
 * and has its listeners before it learns that it is the owner. Data is taken
 * before the connections that need it, and released after them. */
static int
rank(const struct handoff_entry *e)
{
	if (e->entry.kind == HANDOFF__LISTENER)
		return 0;
	if (e->entry.kind != HANDOFF__DATA)
		return 2;
	return e->pending == HANDOFF__PENDING_TAKEN ? 1 : 3;
}

/* Listeners and data are few, and come early. */
static void
insert_early(struct handoff__entry_list *list, struct handoff_entry *e)
{
	struct handoff_entry *at;

	TAILQ_FOREACH (at, list, node) {
		if (rank(at) > rank(e)) {
			TAILQ_INSERT_BEFORE(at, e, node);
			return;
		}
	}
	TAILQ_INSERT_TAIL(list, e, node);
}

/* Only data, if anything, comes after connections. */
static void
insert_late(struct handoff__entry_list *list, struct handoff_entry *e)
{
	struct handoff_entry *prev = TAILQ_LAST(list, handoff__entry_list);
	struct handoff_entry *at = NULL;

	while (prev && rank(prev) > rank(e)) {
		at = prev;
		prev = TAILQ_PREV(prev, handoff__entry_list, node);
	}
	if (at)
		TAILQ_INSERT_BEFORE(at, e, node);
	else
		TAILQ_INSERT_TAIL(list, e, node);
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
		(rank(e) < 2 ? insert_early : insert_late)(&peer->pending, e);
	if (event != HANDOFF__PENDING_NONE)
		handoff__operator_wake(&peer->op);
}
