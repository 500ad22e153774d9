/* SPDX-License-Identifier: MIT */
/*
 * Processes, sockets and links of the simulated hosts: what a death takes along
 * and what outlives it. Knows no batches but for their table.
 */
#include "ferry/simulation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
sim_trace(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	printf("%4u ", w->step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void
sim_bad(struct world *w, const char *what)
{
	if (!w->bad)
		w->bad = what;
	sim_trace(w, "BAD: %s", what);
}

void
sim_see(struct world *w, enum sight sight)
{
	w->seen[sight]++;
}

void
sim_begin(struct world *w, uint64_t seed, enum bug bug)
{
	unsigned *seen = w->seen;
	bool trace = w->trace;

	memset(w, 0, sizeof(*w));
	w->seen = seen;
	w->trace = trace;
	w->seed = seed;
	w->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	w->bug = bug;
	w->network = true;
	w->next_id = 1;
	w->faults = 10 + sim_draw(w, 150);
	w->deaths = 20 + sim_draw(w, 400);
	w->stale = sim_draw(w, 4) == 0;
	for (int i = 0; i < PARTIES; i++)
		w->alive[i] = true;
	w->host[A].joined = w->host[B].joined = true;
	/* two of them, in every other schedule */
	if (seed & 1)
		w->absent = 1 << (CONNS - 1) | 1 << (CONNS - 2);
	for (int c = 0; c < CONNS; c++) {
		struct sock *sock = &w->host[A].sock[c];

		sock->state = w->absent >> c & 1 ? DEAD : LIVE;
		sock->holders = 1 << SERVER | 1 << FERRY;
		sim_set_owner(w, A, c, PLACE_SERVER);
		w->gate[A].flow[c] = PASSED;
	}
}

uint32_t
sim_owner(const struct world *w, int host, int conn)
{
	return handoff__owner_word(&w->host[host].owner[conn]);
}

void
sim_set_owner(struct world *w, int host, int conn, uint32_t word)
{
	handoff__owner_set(&w->host[host].owner[conn], word);
}

enum handoff__elsewhere
sim_whose(const struct world *w, int host, uint32_t owner)
{
	return handoff__batch_whose(&w->host[host].table, owner);
}

void
sim_push(struct queue *queue, const struct note *note)
{
	if (queue->len < QUEUE)
		queue->notes[(queue->head + queue->len++) % QUEUE] = *note;
}

bool
sim_pop(struct queue *queue, struct note *note)
{
	if (queue->len == 0)
		return false;
	*note = queue->notes[queue->head];
	queue->head = (queue->head + 1) % QUEUE;
	queue->len--;
	return true;
}

void
sim_tell(struct world *w, int host, int from, int to, const struct note *note)
{
	struct queue *queue = &w->host[host].to[to][from];

	if (queue->len == QUEUE)
		sim_bad(w, "a queue of the simulator is too short");
	sim_trace(w, "%c tells %d: %u of %llu, connections %x", "AB"[host], to,
		note -> type, (unsigned long long)note -> id, note -> mask);
	if (w->alive[host * ROLES + to])
		sim_push(queue, note);
}

void
sim_send(struct world *w, int host, const struct note *note)
{
	struct link *link = &w->link;

	if (link->to[1 - host].len == QUEUE)
		sim_bad(w, "a link of the simulator is too short");
	if (!link->open[host] || !link->up[host] || link->cut)
		return;
	sim_trace(w, "%c sends %s of %llu, connections %x, round %u%s",
		"AB"[host], handoff__letter_name(note->type),
		(unsigned long long)note -> id, note -> mask, note -> round,
		note -> flag ? ", committed" : "");
	sim_push(&link->to[1 - host], note);
}

/* The role closes its copy: that of a live connection which nobody else has
 * sends FIN. */
void
sim_unhold(struct world *w, int host, int conn, int role)
{
	struct sock *sock = &w->host[host].sock[conn];

	sock->holders &= (uint8_t) ~(1 << role);
	sock->images &= (uint8_t) ~(1 << role);
	if (sock->holders != 0 || sock->state == NONE)
		return;
	if (sock->state == LIVE && !sim_is_excused(w, conn) &&
		!(w->ended >> conn & 1))
		sim_bad(w, "a connection was closed for its client");
	sock->state = NONE;
}

/* What the link still carries may arrive, up to any letter. */
void
sim_cut(struct world *w)
{
	struct link *link = &w->link;
	struct note note;

	if (link->cut || (!link->open[A] && !link->open[B]))
		return;
	link->cut = true;
	for (int side = 0; side < HOSTS; side++) {
		struct queue *queue = &link->to[side];
		unsigned keep = sim_draw(w, queue->len + 1);

		while (queue->len > keep) {
			note = queue->notes[(queue->head + --queue->len) %
					    QUEUE];
			if (!w->stale || w->nlate == STALE)
				continue;
			w->late[w->nlate] = note;
			w->late_to[w->nlate++] = (uint8_t)side;
		}
	}
}

/* No process is left with the records: what was not the other host's is lost
 * with them. */
static void
lose_records_a(struct world *w)
{
	for (int c = 0; c < CONNS; c++) {
		uint32_t owner = sim_owner(w, A, c);

		if (owner == 0)
			continue;
		if (!handoff__owner_is_elsewhere(owner) ||
			sim_whose(w, A, owner) != HANDOFF__ELSEWHERE_AWAY)
			w->excused |= (uint8_t)(1 << c);
		sim_set_owner(w, A, c, 0);
	}
}

static void
lose_records_b(struct world *w)
{
	for (int c = 0; c < CONNS; c++) {
		uint32_t owner = sim_owner(w, B, c);

		if (owner == 0)
			continue;
		if (handoff__owner_is_elsewhere(owner) &&
			sim_whose(w, B, owner) == HANDOFF__ELSEWHERE_DOUBT)
			w->lost_at_b[c] = w->host[B].batch[c];
		else if (sim_whose(w, B, owner) != HANDOFF__ELSEWHERE_AWAY)
			w->excused |= (uint8_t)(1 << c);
		sim_set_owner(w, B, c, 0);
		w->host[B].sock[c].state = NONE;
		w->host[B].sock[c].holders = w->host[B].sock[c].images = 0;
	}
}

/* No process is left with the table. */
static void
lose_host(struct world *w, int host)
{
	for (int c = 0; c < CONNS; c++) {
		uint32_t there = sim_owner(w, B, c);

		if (host == A && handoff__owner_is_elsewhere(there) &&
			sim_whose(w, B, there) == HANDOFF__ELSEWHERE_DOUBT)
			w->excused |= (uint8_t)(1 << c);
		w->host[host].sock[c].state = NONE;
		w->host[host].sock[c].holders = 0;
		if (host == A)
			w->inflight[c] = 0;
	}
	memset(&w->host[host].table, 0, sizeof(w->host[host].table));
}

static void
die_ferry(struct world *w, int host)
{
	struct host *h = &w->host[host];

	h->joined = false;
	h->server_notice = w->alive[host * ROLES + SERVER];
	h->gate_notice = w->alive[host * ROLES + GATE];
	h->ferry_of_server = h->ferry_of_gate = false;
	/* What it has told the gate is read to its end. */
	h->to[SERVER][FERRY].len = h->to[FERRY][SERVER].len = 0;
	h->to[FERRY][GATE].len = 0;
	if (host == A)
		memset(w->out, 0, sizeof(w->out));
	else
		memset(w->in, 0, sizeof(w->in));
	sim_cut(w);
	w->link.open[host] = w->link.up[host] = false;
	w->link.to[host].len = 0;
}

static void
die_gate(struct world *w, int host)
{
	struct host *h = &w->host[host];

	memset(&w->gate[host], 0, sizeof(w->gate[host]));
	h->to[GATE][FERRY].len = h->to[FERRY][GATE].len = 0;
	h->gate_notice = false;
	h->ferry_of_gate = h->joined;
}

static void
die_server(struct world *w, int host)
{
	struct host *h = &w->host[host];

	h->to[SERVER][FERRY].len = h->to[FERRY][SERVER].len = 0;
	h->server_notice = false;
	h->ferry_of_server = h->joined;
}

static const char *const party_names[PARTIES] = {
	"S", "ferry A", "gate A", "AS", "ferry B", "gate B"};

void
sim_kill(struct world *w, int party)
{
	int host = party / ROLES, role = party % ROLES;
	bool *alive = &w->alive[host * ROLES];

	if (!w->alive[party])
		return;
	sim_trace(w, "%s dies", party_names[party]);
	w->alive[party] = false;
	if (role == FERRY)
		die_ferry(w, host);
	else if (role == GATE)
		die_gate(w, host);
	else
		die_server(w, host);
	/* a ferry that has not joined has nothing yet */
	if (!alive[SERVER] && !w->host[host].joined) {
		if (host == A)
			lose_records_a(w);
		else
			lose_records_b(w);
		if (!alive[GATE])
			lose_host(w, host);
	}
	for (int c = 0; c < CONNS; c++)
		sim_unhold(w, host, c, role);
}

bool
sim_dies(struct world *w, int party)
{
	if (w->alive[party] && sim_chance(w, w->deaths))
		sim_kill(w, party);
	return !w->alive[party];
}
