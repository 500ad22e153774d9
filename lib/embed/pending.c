/* SPDX-License-Identifier: MIT */
/*
 * The lists of entries that have an event for the program, or that it has
 * released. Does not know the reasons.
 */
#include "embed/embed.h"

/* The entry that leads those that move together with this one. */
static struct handoff_entry *
leader_of(const struct handoff_entry *e)
{
	return handoff__public_entry(handoff__entry_leads(&e->peer->pair,
		(struct handoff__roster_entry *)(uintptr_t)&e->entry));
}

/* Listeners first: a program stops accepting before it releases connections,
 * and has its listeners before it learns that it is the owner. Data is taken
 * before the connections that need it, and released after them. Companions are
 * where their leaders are. */
static int
rank(const struct handoff_entry *e)
{
	uint8_t kind = leader_of(e)->entry.kind;

	if (kind == HANDOFF__LISTENER)
		return 0;
	if (kind != HANDOFF__DATA)
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

static bool
is_pending(const struct handoff_entry *e)
{
	return e->pending == HANDOFF__PENDING_TAKEN ||
	       e->pending == HANDOFF__PENDING_RELEASE;
}

/* The first pending one of those that move together with this one. */
static struct handoff_entry *
first_of(struct handoff_peer *peer, struct handoff_entry *e)
{
	struct handoff__roster_entry *other = &e->entry;
	struct handoff_entry *leader = leader_of(e), *at = NULL;
	bool any = false;

	while ((other = handoff__companions_next(&peer->pair, other)) !=
		&e->entry)
		any |= is_pending(handoff__public_entry(other));
	if (!any || (leader != e && is_pending(leader)))
		return any ? leader : NULL;
	TAILQ_FOREACH (at, &peer->pending, node) {
		if (leader_of(at) == leader)
			break;
	}
	return at;
}

/* The leader comes first, and its companions follow, one after the other. False
 * if none of them is pending yet. */
static bool
insert_beside(struct handoff_peer *peer, struct handoff_entry *e)
{
	struct handoff_entry *leader = leader_of(e), *at;

	if (!(e->entry.marks & HANDOFF__BOUND))
		return false;
	at = first_of(peer, e);
	if (!at)
		return false;
	while (e != leader && at && leader_of(at) == leader)
		at = TAILQ_NEXT(at, node);
	if (at)
		TAILQ_INSERT_BEFORE(at, e, node);
	else
		TAILQ_INSERT_TAIL(&peer->pending, e, node);
	return true;
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
	else if (event != HANDOFF__PENDING_NONE && !insert_beside(peer, e))
		(rank(e) < 2 ? insert_early : insert_late)(&peer->pending, e);
	if (event != HANDOFF__PENDING_NONE)
		handoff__operator_wake(&peer->op);
}
