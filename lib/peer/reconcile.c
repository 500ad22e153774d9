/* SPDX-License-Identifier: MIT */
/*
 * What no message told of, because it was lost with a link: the owner words
 * are compared with what this peer believes, and it believes them.
 */
#include "peer/reconcile.h"

#include "peer/copies.h"
#include "peer/core.h"
#include "peer/take.h"

/* Does this peer serve, and has not known? Or does it not any more? */
static bool
reconcile_service(struct handoff__peer *peer, struct handoff__board *board)
{
	bool own;

	handoff__owner_accept(&board->owner, (uint32_t)peer->slot);
	own = handoff__owner_word(&board->owner) == (uint32_t)peer->slot;
	if (own == peer->serving)
		return false;
	handoff__log(peer->log, HANDOFF_LOG_WARNING,
		"handoff %llu: no message told that this peer %s",
		(unsigned long long)handoff__peer_generation(peer),
		own ? "serves" : "does not serve any more");
	peer->serving = own;
	return true;
}

/* Takes what the owner words say is this peer's, though no message has told;
 * and closes copies of what is no more. */
void
handoff__reconcile(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	struct handoff__batch batch = {.connections = 0};
	struct handoff__report report = {.id = handoff__peer_generation(peer)};
	bool changed;

	if (!board || handoff__peer_moving(peer))
		return;
	/* The service before its entries: whichever peer has the one gets the
	 * others. It is told of after them. */
	changed = reconcile_service(peer, board);
	handoff__take_all(peer, HANDOFF__REST, report.id, &batch);
	if (batch.connections + batch.listeners > 0) {
		handoff__tally_moved(peer, HANDOFF__WAY_IN, &batch, &report);
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"handoff %llu: no message told of %u connection%s and "
			"%u listener%s, served here from now on",
			(unsigned long long)report.id, batch.connections,
			batch.connections == 1 ? "" : "s", batch.listeners,
			batch.listeners == 1 ? "" : "s");
	}
	handoff__copies_sweep(peer);
	peer->ops->settle(peer);
	if (changed)
		peer->ops->role(
			peer, (enum handoff__cause)atomic_load(&board->cause));
}
