/* SPDX-License-Identifier: MIT */
/*
 * Recovers from messages that were lost with a link: compares this peer's view
 * with the owner words, which are authoritative.
 */
#include "peer/reconcile.h"

#include "peer/copies.h"
#include "peer/core.h"
#include "peer/take.h"

/* Corrects this peer's view of whether it serves. True if it changed. */
static bool
reconcile_service(struct handoff__pair *pair, struct handoff__board *board)
{
	bool own;

	handoff__owner_accept(&board->owner, (uint32_t)pair->place);
	own = handoff__owner_word(&board->owner) == (uint32_t)pair->place;
	if (own == pair->serving)
		return false;
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"handoff %llu: a message was lost: this peer %s",
		(unsigned long long)handoff__pair_generation(pair),
		own ? "serves" : "does not serve any more");
	pair->serving = own;
	return true;
}

void
handoff__reconcile(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	struct handoff__moved moved = {.connections = 0};
	struct handoff__report report = {.id = handoff__pair_generation(pair)};
	bool changed;

	if (!board || handoff__pair_changing(pair))
		return;
	/* The service first: its owner gets the entries. Its role is reported
	 * after them. */
	changed = reconcile_service(pair, board);
	handoff__take_all(pair, HANDOFF__REST, report.id, &moved);
	if (moved.connections + moved.listeners > 0) {
		handoff__tally_moved(pair, HANDOFF__WAY_IN, &moved, &report);
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"handoff %llu: a message was lost: %u connection%s and "
			"%u listener%s are served here from now on",
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
