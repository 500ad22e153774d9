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
reconcile_service(struct handoff__pair *pair, struct handoff__board *board)
{
	bool own;

	handoff__owner_accept(&board->owner, (uint32_t)pair->place);
	own = handoff__owner_word(&board->owner) == (uint32_t)pair->place;
	if (own == pair->serving)
		return false;
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"handoff %llu: no message told that this peer %s",
		(unsigned long long)handoff__pair_generation(pair),
		own ? "serves" : "does not serve any more");
	pair->serving = own;
	return true;
}

/* Takes what the owner words say is this peer's, though no message has told;
 * and closes copies of what is no more. */
void
handoff__reconcile(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	struct handoff__moved moved = {.connections = 0};
	struct handoff__report report = {.id = handoff__pair_generation(pair)};
	bool changed;

	if (!board || handoff__pair_moving(pair))
		return;
	/* The service before its entries: whichever peer has the one gets the
	 * others. It is told of after them. */
	changed = reconcile_service(pair, board);
	handoff__take_all(pair, HANDOFF__REST, report.id, &moved);
	if (moved.connections + moved.listeners > 0) {
		handoff__tally_moved(pair, HANDOFF__WAY_IN, &moved, &report);
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"handoff %llu: no message told of %u connection%s and "
			"%u listener%s, served here from now on",
			(unsigned long long)report.id, moved.connections,
			handoff__plural(moved.connections), moved.listeners,
			handoff__plural(moved.listeners));
	}
	handoff__copies_sweep(pair);
	pair->ops->settle(pair);
	if (changed)
		pair->ops->role(
			pair, (enum handoff__cause)atomic_load(&board->cause));
}
