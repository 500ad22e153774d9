/* SPDX-License-Identifier: MIT */
/*
 * What a survivor does when the other process is dead for certain: it takes
 * every entry that one owned, at whatever instruction it died. Trusts nothing
 * that is in a record; what makes no sense ends one connection, not more.
 */
#include "peer/survive.h"

#include "base/probe.h"
#include "peer/away.h"
#include "peer/blame.h"
#include "peer/convert.h"
#include "peer/core.h"
#include "peer/repair.h"

#include <string.h>

/* Gives the entry up: nobody can go on with it. */
static void
discard_entry(
	struct handoff__peer *peer, struct handoff__entry *e, const char *why)
{
	if (why)
		handoff__log(peer->log, HANDOFF_LOG_ERROR,
			"connection %llu: closed after the other peer died: %s",
			(unsigned long long)e->id, why);
	peer->ops->discard(peer, e);
}

/* Which peer's is it? True if it was the dead peer's and is ours now, or if
 * one of the two had offered it to the other. */
static bool
claim(struct handoff__peer *peer, const struct handoff__entry *e)
{
	return handoff__record_id(e->view.rec) == e->id &&
	       handoff__owner_claim(&e->view.rec->owner, (uint32_t)peer->slot,
		       handoff__peer_other_slot(peer));
}

static void
inherit(struct handoff__peer *peer, struct handoff__entry *e)
{
	struct handoff__load load;
	const char *why = NULL;

	if (!claim(peer, e)) {
		/* It had been closed, and the DROP was never sent. */
		peer->ops->closing(peer, e);
		handoff__roster_vacate(&peer->roster, e);
		return;
	}
	peer->survival.entries++;
	if (e->kind == HANDOFF__CONNECTION)
		why = handoff__entry_repair(e, &peer->survival);
	if (!why)
		why = handoff__entry_blame(e, &peer->survival);
	handoff__load_of(e, &load);
	if (why)
		load.unread = load.unsent = 0; /* nobody gets it */
	handoff__batch_add(&peer->survival.taken, e, &load);
	if (peer->config.trace)
		handoff__tally_trace(
			peer, e, "inherited from", peer->survival.id, &load);
	if (!why) {
		e = handoff__convert_entry(peer, e);
		if (!e) {
			peer->survival.closed++;
			return;
		}
	}
	handoff__roster_set_copy(&peer->roster, e, HANDOFF__COPY_NONE);
	handoff__roster_set_mine(&peer->roster, e, true);
	peer->ops->moved(peer, e);
	if (why) {
		peer->survival.closed++;
		discard_entry(peer, e, why[0] ? why : NULL);
	}
}

/* Records that the dead peer had and that we hold no descriptor for, and those
 * that it was about to free: closed with it, free again. No other process has
 * the arena at this moment, so they may be cleared when they are free. */
static void
free_orphans(struct handoff__peer *peer)
{
	struct handoff__arena *arena = &peer->arena;
	uint32_t other = handoff__peer_other_slot(peer);

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++) {
			struct handoff__record *rec =
				handoff__arena_record(arena, i, s);

			if (handoff__owner_swap(&rec->owner, other, 0)) {
				handoff__arena_clear(arena, i, s);
				handoff__arena_vacate(arena, i, s);
				peer->survival.orphans++;
			}
		}
	}
}

/* It died before anything but the arena had come to us, not even a listener:
 * there is no service any more, and a program that can bind its addresses
 * begins it anew. */
static bool
forget_service(struct handoff__peer *peer)
{
	if (peer->serving || peer->roster.owned + peer->roster.held > 0)
		return false;
	handoff__roster_fini(&peer->roster);
	handoff__arena_fini(&peer->arena);
	peer->arena.version = peer->config.service->state_version;
	peer->segments_sent = 0;
	return true;
}

/* Service is away from the peer that died, unless it was away from here. */
static void
inherit_service(struct handoff__peer *peer, struct handoff__board *board)
{
	uint32_t away = atomic_load(&board->away);

	handoff__owner_set(&board->owner, (uint32_t)peer->slot);
	if (away != HANDOFF__AWAY_NOT && handoff__away_at_home(peer)) {
		away = HANDOFF__AWAY_NOT;
	} else if (away == HANDOFF__AWAY_NOT) {
		handoff__away_set_home(
			board, peer->other.name, peer->other.instance);
		away = HANDOFF__AWAY_FAILOVER;
	}
	atomic_store(&board->away, away);
	atomic_fetch_add(&board->generation, 1);
	peer->serving = true;
}

void
handoff__survive(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	struct handoff__survival *survival = &peer->survival;
	struct handoff__entry *e = NULL;

	memset(survival, 0, sizeof(*survival));
	if (!board || forget_service(peer))
		return;
	survival->bye = peer->other_left;
	survival->started_us = handoff__now_us();
	survival->id = atomic_load(&board->generation) + !peer->serving;
	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (!e->mine)
			inherit(peer, e);
	}
	free_orphans(peer);
	handoff__arena_clear_desks(
		&peer->arena, handoff__peer_other_slot(peer));
	handoff__bulletin_release(peer->arena.segments[0]->bulletin,
		handoff__peer_other_slot(peer));
	if (!peer->serving) {
		inherit_service(peer, board);
		survival->serving = true;
	}
	peer->ops->settle(peer);
	survival->took_us =
		(uint32_t)(handoff__now_us() - survival->started_us);
	HANDOFF__PROBE4(failover, survival->id, survival->taken.connections,
		survival->repaired, survival->took_us);
	handoff__tally_inherited(peer, &survival->taken);
	peer->tally.repaired += survival->repaired;
	peer->tally.handler_deaths += survival->in_handler;
}
