/* SPDX-License-Identifier: MIT */
/*
 * Packets of the clients, and what the kernel of a host does with them: a
 * socket acknowledges what arrives, frozen or not. A's gate holds, passes and
 * forwards them. Every byte must be acknowledged once, in order: a socket that
 * is not where the stream is serves a copy of the past.
 */
#include "ferry/simulation.h"

void
sim_arrive(struct world *w, int host, int conn)
{
	struct sock *sock = &w->host[host].sock[conn];

	if (w->ended >> conn & 1 || sim_is_excused(w, conn))
		return;
	if (sock->state == NONE) {
		sim_bad(w, "a packet came where no socket was: reset");
		return;
	}
	if (host == B && sock->state == FROZEN &&
		!w->committed[w->host[B].batch[conn]])
		sim_bad(w, "a packet came to what is only prepared");
	if (sock->pos != w->acked[conn])
		sim_bad(w, "a socket is not where its stream is");
	sock->pos++;
	w->acked[conn]++;
}

void
sim_client_sends(struct world *w, int conn)
{
	struct gate *gate = &w->gate[A];

	if (w->ended >> conn & 1 || !w->alive[GA] || w->absent >> conn & 1)
		return; /* the rules never bypass */
	switch (gate->flow[conn]) {
	case DROPPED:
		break;
	case PASSED:
		if (w->inflight[conn] < 2)
			w->inflight[conn]++;
		break;
	case HELD_BACK:
		if (gate->held[conn] < 3)
			gate->held[conn]++;
		break;
	case FLIPPED:
		sim_arrive(w, B, conn);
		break;
	}
}

/* The gate changes what it does with a flow, and lets go what it held. */
void
sim_flow(struct world *w, int conn, enum flow flow)
{
	struct gate *gate = &w->gate[A];

	gate->flow[conn] = flow;
	if (flow == HELD_BACK)
		return;
	gate->slot[conn] = 0;
	gate->id[conn] = 0;
	for (; gate->held[conn] > 0; gate->held[conn]--) {
		if (flow == PASSED)
			sim_arrive(w, A, conn);
		else if (flow == FLIPPED)
			sim_arrive(w, B, conn);
	}
}

void
sim_thaw(struct world *w, int conn)
{
	struct sock *sock = &w->host[A].sock[conn];

	if (sock->state == FROZEN)
		sock->state = LIVE;
}

/* A prepared socket of B serves, if the role has the image. */
void
sim_finish(struct world *w, int conn, int role)
{
	struct sock *sock = &w->host[B].sock[conn];

	if (sock->state != FROZEN || !(sock->holders >> role & 1) ||
		!(sock->images >> role & 1))
		return;
	if (w->host[A].sock[conn].state == LIVE)
		sim_bad(w, "finished on B while it is live on A");
	sock->state = LIVE;
}
