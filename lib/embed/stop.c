/* SPDX-License-Identifier: MIT */
/*
 * A stop that an operator has requested: gives what can be given, then emits
 * STOP to the program.
 */
#include "embed/embed.h"

#define STOP_TRIES 3

static void
reply(struct handoff_peer *peer)
{
	struct handoff__buf body = {0};

	handoff__buf_add(&body, "stopped\n");
	handoff__operator_held(&peer->op, &peer->log, &body);
	handoff__operator_stopped(&peer->op, &body);
}

/* The next step of a stop: gives all entries, repeats that for entries that
 * came in the meantime, then asks the program to end. */
void
handoff__embed_stop(struct handoff_peer *peer)
{
	struct handoff__pair *below = &peer->pair;
	bool give = below->partner == HANDOFF__PARTNER_READY &&
		    !below->other_leaving && below->roster.owned > 0 &&
		    !peer->stopped;
	struct handoff__facts facts = {.end = 0};

	if (!peer->op.stopping || handoff__pair_moving(below))
		return;
	if (give && peer->tries > 0) {
		peer->tries--;
		if (handoff__pair_give(below, below->serving
						      ? HANDOFF__MAINTENANCE
						      : HANDOFF__REST) >= 0)
			return;
	}
	if (peer->stopped)
		return;
	peer->stopped = true;
	facts.moved = peer->op.stop_moved;
	facts.passing = below->roster.connections;
	handoff__operator_emit_with(
		&peer->op, HANDOFF_PEER_STOP, &facts, "stop");
	reply(peer);
	handoff__pair_linger(below);
	handoff__pair_retire(below);
}

void
handoff__embed_release(struct handoff_peer *peer)
{
	struct handoff__pair *below = &peer->pair;

	if (!handoff__pair_leased(below) ||
		below->partner != HANDOFF__PARTNER_NONE)
		return;
	handoff__pair_linger(below);
	handoff__pair_retire(below);
	handoff__pair_end_sockets(below);
	while (!handoff__pair_release(below)) {
		if (handoff__loop_dispatch(&peer->loop, -1) < 0)
			return;
	}
}

static void
begin_stop(void *arg)
{
	struct handoff_peer *peer = arg;

	if (peer->stopped)
		reply(peer);
	if (peer->op.stopping)
		return;
	peer->op.stopping = true;
	peer->tries = STOP_TRIES;
	handoff__pair_leave(&peer->pair);
	handoff__operator_wake(&peer->op);
}

const struct handoff__operator_ops handoff__embed_operator_ops = {
	.stop = begin_stop,
	.unknown = "this program knows status, metrics, maintenance, ready, "
		   "stay and "
		   "stop",
	.ready_is_silent = true,
	.types =
		{
			.waiting = HANDOFF_PEER_WAITING,
			.standby = HANDOFF_PEER_STANDBY,
			.joined = HANDOFF_PEER_JOINED,
			.left = HANDOFF_PEER_LEFT,
			.gave = HANDOFF_PEER_GAVE,
			.refused = HANDOFF_PEER_REFUSED,
			.hung = HANDOFF_PEER_HUNG,
			.lagging = HANDOFF_PEER_LAGGING,
			.apart = HANDOFF_PEER_APART,
		},
};
