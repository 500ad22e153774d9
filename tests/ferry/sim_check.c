/* SPDX-License-Identifier: MIT */
/*
 * What must hold after every step: one host at most may serve a connection or
 * let it go on; nobody on B does so before A's word says COMMITTED; no
 * connection is lost unless all processes that could continue it have died.
 */
#include "ferry/simulation.h"

#define bit(c) ((uint8_t)(1u << (c)))

/* Lost with a host, or with both peers of one: which other tests are about. */
bool
sim_is_excused(const struct world *w, int conn)
{
	return w->excused >> conn & 1 || w->committed[w->lost_at_b[conn] % IDS];
}

static bool
is_peer(uint32_t owner)
{
	uint32_t place = owner & HANDOFF__PLACE;

	return place == PLACE_SERVER || place == PLACE_FERRY;
}

/* Whether some process of A may let it go on, now or by a rule. */
static bool
may_a(const struct world *w, int conn)
{
	uint32_t owner = sim_owner(w, A, conn);
	enum handoff__elsewhere whose;

	if (owner == 0 || w->host[A].sock[conn].state == NONE)
		return false;
	whose = sim_whose(w, A, owner);
	return is_peer(owner) || whose == HANDOFF__ELSEWHERE_HERE ||
	       whose == HANDOFF__ELSEWHERE_OPEN;
}

static bool
may_b(const struct world *w, int conn)
{
	uint32_t owner = sim_owner(w, B, conn);

	return owner != 0 &&
	       (is_peer(owner) ||
		       sim_whose(w, B, owner) == HANDOFF__ELSEWHERE_HERE);
}

/* B has it and will know that it is B's. */
static bool
waits_at_b(const struct world *w, int conn)
{
	uint32_t owner = sim_owner(w, B, conn);

	return owner != 0 && w->committed[w->host[B].batch[conn]] &&
	       sim_whose(w, B, owner) == HANDOFF__ELSEWHERE_DOUBT;
}

static void
check_alive(struct world *w, int conn)
{
	const struct sock *a = &w->host[A].sock[conn];
	const struct sock *b = &w->host[B].sock[conn];

	if (may_a(w, conn) && a->holders != 0)
		return;
	if ((may_b(w, conn) || waits_at_b(w, conn)) && b->holders != 0 &&
		(b->state == LIVE || b->state == DEAD ||
			(b->state == FROZEN && b->images != 0)))
		return;
	sim_bad(w, "a connection is lost");
}

/* The slot that an owner word names has that entry's batch, not another. */
static void
check_slot(struct world *w, int host, int conn)
{
	uint32_t owner = sim_owner(w, host, conn);
	struct handoff__batch b;

	if (handoff__owner_is_elsewhere(owner) &&
		(!handoff__batch_read(&w->host[host].table,
			 handoff__owner_slot(owner), &b) ||
			b.id != w->host[host].batch[conn]))
		sim_bad(w, "an entry is elsewhere, in no batch of its own");
}

void
sim_check(struct world *w)
{
	for (int c = 0; c < CONNS; c++) {
		const struct sock *a = &w->host[A].sock[c];
		const struct sock *b = &w->host[B].sock[c];

		check_slot(w, A, c);
		check_slot(w, B, c);
		if (w->ended >> c & 1 || sim_is_excused(w, c))
			continue;
		if (may_a(w, c) && may_b(w, c))
			sim_bad(w, "two hosts may serve a connection");
		if (a->state == LIVE && b->state == LIVE)
			sim_bad(w, "a connection is live on two hosts");
		if ((b->state == LIVE || may_b(w, c)) &&
			!w->committed[w->host[B].batch[c]])
			sim_bad(w, "B claims what is not committed");
		if (a->state == LIVE && a->pos != w->acked[c])
			sim_bad(w, "A serves a copy of the past");
		if (b->state == LIVE && b->pos != w->acked[c])
			sim_bad(w, "B serves a copy of the past");
		check_alive(w, c);
	}
}

/* It has one owner, which is a server, and a descriptor there. */
static void
check_absent(struct world *w, int conn)
{
	int host = sim_owner(w, A, conn) == PLACE_SERVER ? A : B;

	if (sim_owner(w, host, conn) != PLACE_SERVER ||
		w->host[host].sock[conn].state != DEAD ||
		sim_owner(w, 1 - host, conn) != 0 ||
		w->host[1 - host].sock[conn].state != NONE)
		sim_bad(w, "a session is not one server's in the end");
}

static void
check_served(struct world *w, int conn)
{
	int host = w->host[A].sock[conn].state == LIVE ? A : B;
	uint32_t before = w->acked[conn];

	if (sim_owner(w, host, conn) != PLACE_SERVER ||
		w->host[host].sock[conn].state != LIVE ||
		sim_owner(w, 1 - host, conn) != 0 ||
		w->host[1 - host].sock[conn].state != NONE)
		sim_bad(w, "a connection is not one server's in the end");
	sim_client_sends(w, conn);
	for (; w->inflight[conn] > 0; w->inflight[conn]--)
		sim_arrive(w, A, conn);
	sim_trace(w, "in the end %d: host %d, flow %d", conn, host,
		w->gate[A].flow[conn]);
	if (w->acked[conn] == before)
		sim_bad(w, "a client is not heard in the end");
}

/* The network and all processes are back, and nothing is left to do. */
void
sim_check_end(struct world *w)
{
	struct handoff__batch b = {.slot = 0};

	if (handoff__batch_next(&w->host[A].table, &b))
		sim_bad(w, "a batch has not ended at A");
	b.slot = 0;
	if (handoff__batch_next(&w->host[B].table, &b))
		sim_bad(w, "a batch has not ended at B");
	for (int c = 0; c < CONNS; c++) {
		if (sim_is_excused(w, c))
			sim_see(w, SAW_EXCUSED);
		else if (w->absent & bit(c))
			check_absent(w, c);
		else if (!(w->ended & bit(c)))
			check_served(w, c);
	}
}
