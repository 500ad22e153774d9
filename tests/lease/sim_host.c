/* SPDX-License-Identifier: MIT */
/*
 * The processes of the simulated hosts: what a keeper and the peers around it
 * do as the machine says. An action may be the last one, or the last one for a
 * long time.
 */
#include "lease/simulation.h"

#include <string.h>

#define P(w, host, peer) (&(w)->hosts[host].peers[peer])

uint64_t
sim_clock(const struct world *w, unsigned host)
{
	const struct host *h = &w->hosts[host];

	return h->offset_ns + w->t_ns +
	       (uint64_t)((int64_t)(w->t_ns / 1000) * h->drift) - h->lag_ns;
}

static bool
runs(const struct process *p)
{
	return p->alive && p->stopped_until == 0;
}

bool
sim_valid(const struct world *w, unsigned host)
{
	const struct host *h = &w->hosts[host];

	return h->connections != 0 && !h->frozen &&
	       h->connections == h->saved.token &&
	       sim_clock(w, host) < h->saved.valid_until_ns;
}

/* Never in the past: who continues without validity is not to be killed for
 * that. What was armed before stays until everything stands still. */
static void
arm_deadman(struct world *w, unsigned host, struct process *p)
{
	const struct host *h = &w->hosts[host];

	if (w->bug == BUG_NO_DEADMAN)
		return;
	if (sim_clock(w, host) < h->saved.valid_until_ns)
		p->deadman_ns = handoff__lease_deadman_of(
			h->saved.valid_until_ns, h->peers[h->owner].m.ttl_ns);
}

static void
new_end(struct world *w, struct process *p, uint64_t session)
{
	p->id = ++w->engine.last;
	p->up = p->attaching = false;
	p->session = session;
	p->in.len = p->out.len = 0;
}

static void
close_end(struct process *p)
{
	p->keeps = p->up = p->attaching = false;
	p->id = 0;
	p->in.len = p->out.len = 0;
	p->pending = 0;
	p->emptied = p->publishes = p->releases = false;
}

static void
validate(struct world *w, unsigned host, struct process *p)
{
	struct host *h = &w->hosts[host];

	h->saved.valid_until_ns = p->m.valid_until_ns;
	if (w->bug == BUG_FORGETS_FIRST && p->m.state == HANDOFF_LEASE_LOST)
		h->saved.token = 0;
	arm_deadman(w, host, p);
	/* the standby may have frozen them by the validity before */
	if (h->frozen && !p->m.frozen &&
		sim_clock(w, host) < h->saved.valid_until_ns)
		h->frozen = false;
}

static void
store(struct world *w, unsigned host, struct process *p)
{
	struct host *h = &w->hosts[host];

	h->saved.session_len = p->session != 0;
	handoff__lease_save(&p->m, &h->saved);
	h->saved_session = h->saved.session_len ? p->session : 0;
	validate(w, host, p);
}

static void
win(struct world *w, unsigned host, struct process *p)
{
	struct host *h = &w->hosts[host];

	sim_see(w, SAW_WON);
	if (h->connections != 0 && w->bug != BUG_THAWS_ANOTHER)
		sim_bad(w, "won with connections of another token");
	h->generation = h->connections = p->m.token;
	h->frozen = false;
	p->publishes = true;
	/* it may have been stopped since it was told: then it is not valid */
	if (p->m.token > w->won)
		w->won = p->m.token;
	else if (sim_valid(w, host))
		sim_bad(w, "a token that was used before");
}

static void
thaw(struct world *w, unsigned host, struct process *p)
{
	struct host *h = &w->hosts[host];

	sim_see(w, SAW_THAW);
	if (h->connections != p->m.token && h->connections != 0)
		sim_bad(w, "thawed by another token");
	h->connections = p->m.token; /* none after a stop that was broken off */
	h->frozen = false;
	arm_deadman(w, host, p);
}

static void
reset(struct world *w, unsigned host, struct process *p)
{
	struct host *h = &w->hosts[host];

	sim_see(w, SAW_RESET);
	if (w->bug != BUG_ASKS_EARLY && w->bug != BUG_THAWS_ANOTHER)
		h->connections = 0;
	h->frozen = false;
	p->deadman_ns = 0;
	p->emptied = true;
}

static void
ask(struct world *w, unsigned host, struct process *p, uint32_t action)
{
	struct letter letter = {
		.asks = true, .session = p->session, .token = p->m.token};

	if (action == HANDOFF__LEASE_READ) {
		letter.kind = HANDOFF_LEASE_RETAINED;
		letter.serial = p->m.read.serial;
	} else if (action == HANDOFF__LEASE_ACQUIRE) {
		letter.kind = HANDOFF_LEASE_ACQUIRED;
		letter.serial = p->m.acquire.serial;
		letter.token = handoff__lease_used(&p->m);
	} else if (action == HANDOFF__LEASE_PROVE) {
		letter.kind = HANDOFF_LEASE_PROVEN;
		letter.serial = p->m.prove_serial;
	} else if (action == HANDOFF__LEASE_PUBLISH) {
		letter.kind = HANDOFF_LEASE_PUBLISHED;
		letter.serial = p->m.publish.serial;
		if (p->m.state != HANDOFF_LEASE_OWNER)
			sim_bad(w, "published without the lease");
	} else {
		letter.kind = HANDOFF_LEASE_RELEASED;
		letter.serial = p->m.release.serial;
	}
	if (!p->up || !sim_post(&p->out, &letter))
		p->pending |= handoff__lease_failed(
			&p->m, sim_clock(w, host), letter.serial);
}

static void
act(struct world *w, unsigned host, struct process *p, uint32_t action)
{
	switch (action) {
	case HANDOFF__LEASE_STORE:
		store(w, host, p);
		break;
	case HANDOFF__LEASE_VALID:
		validate(w, host, p);
		break;
	case HANDOFF__LEASE_WON:
		win(w, host, p);
		break;
	case HANDOFF__LEASE_DOUBTED:
		sim_see(w, SAW_DOUBT);
		break;
	case HANDOFF__LEASE_FREEZE:
		sim_see(w, SAW_FREEZE);
		w->hosts[host].frozen = true;
		p->deadman_ns = 0;
		break;
	case HANDOFF__LEASE_THAW:
		thaw(w, host, p);
		break;
	case HANDOFF__LEASE_RESET:
		reset(w, host, p);
		break;
	case HANDOFF__LEASE_CERTAIN:
		break;
	case HANDOFF__LEASE_PUBLISHED:
		sim_see(w, SAW_PUBLISHED);
		break;
	case HANDOFF__LEASE_RELEASED:
		sim_see(w, SAW_RELEASED);
		p->exits = true;
		break;
	case HANDOFF__LEASE_COMPLAIN:
		sim_bad(w, p->m.complaint);
		break;
	default:
		ask(w, host, p, action);
	}
}

static const char *const names[] = {"STORE", "VALID", "WON", "DOUBTED",
	"FREEZE", "THAW", "CERTAIN", "RESET", "READ", "ACQUIRE", "PROVE",
	"PUBLISH", "RELEASE", "PUBLISHED", "RELEASED", "COMPLAIN"};

static uint32_t
next_action(const struct world *w, uint32_t pending)
{
	if (w->bug == BUG_SERVES_FIRST && (pending & HANDOFF__LEASE_WON))
		return HANDOFF__LEASE_WON;
	return pending & -pending;
}

/* Between two actions the process may die, or be stopped for long. */
static void
carry_out(struct world *w, unsigned host, unsigned peer)
{
	struct process *p = P(w, host, peer);

	while (p->pending != 0) {
		uint32_t action = next_action(w, p->pending);

		if (sim_chance(w, w->deaths)) {
			sim_kill(w, host, peer);
			return;
		}
		if (sim_chance(w, w->deaths)) {
			sim_stop(w, host, peer,
				sim_draw(w, 2 * TTL_MS) * UINT64_C(1000000));
			return;
		}
		p->pending &= ~action;
		sim_trace(w, "%c%u: %s, token %llu", 'A' + host, peer + 1,
			names[__builtin_ctz(action)],
			(unsigned long long)p->m.token);
		act(w, host, p, action);
	}
}

static void
feed(struct world *w, unsigned host, unsigned peer, uint32_t actions)
{
	P(w, host, peer)->pending |= actions;
	carry_out(w, host, peer);
}

/* Starts the machine with what the arena says. */
static void
keep(struct world *w, unsigned host, unsigned peer)
{
	struct host *h = &w->hosts[host];
	struct process *p = P(w, host, peer);
	struct handoff__lease_saved saved = h->saved;
	uint64_t now = sim_clock(w, host);
	uint32_t actions;

	if (w->bug == BUG_SURVIVOR_TRUSTS && saved.token != 0)
		saved.valid_until_ns = now + TTL_NS / 3 * 2;
	close_end(p);
	p->keeps = true;
	new_end(w, p, h->saved_session);
	handoff__lease_init(&p->m, TTL_MS);
	actions = handoff__lease_start(&p->m, now, &saved);
	h->owner = peer;
	if (saved.token == 0 && h->saved_session != 0)
		sim_see(w, SAW_SURVIVOR_CANDIDATE);
	if (saved.token == 0 && h->connections != 0)
		sim_bad(w, "connections without a token");
	if (saved.token > h->generation) {
		sim_see(w, SAW_SURVIVOR_WON);
		actions |= HANDOFF__LEASE_WON;
	} else if (handoff__lease_valid(&p->m, now)) {
		sim_see(w, SAW_SURVIVOR_VALID);
		h->frozen = false; /* the one before may have frozen them */
		h->connections = saved.token;
	} else if (saved.token != 0) {
		sim_see(w, SAW_SURVIVOR_FROZEN);
	}
	if (w->bug == BUG_SURVIVOR_TRUSTS && saved.token != 0)
		actions |= HANDOFF__LEASE_VALID;
	arm_deadman(w, host, p);
	feed(w, host, peer, actions);
}

/* A host whose memory is gone with its processes. */
void
sim_host_start(struct world *w, unsigned host)
{
	struct host *h = &w->hosts[host];

	memset(&h->saved, 0, sizeof(h->saved));
	h->saved_session = h->generation = h->connections = 0;
	h->frozen = false;
	for (unsigned p = 0; p < PEERS; p++) {
		memset(&h->peers[p], 0, sizeof(h->peers[p]));
		h->peers[p].alive = true;
	}
	keep(w, host, 0);
}

void
sim_kill(struct world *w, unsigned host, unsigned peer)
{
	struct host *h = &w->hosts[host];
	struct process *p = P(w, host, peer);

	if (!p->alive)
		return;
	sim_trace(w, "%c%u: dies", 'A' + host, peer + 1);
	memset(p, 0, sizeof(*p));
	if (!h->peers[0].alive && !h->peers[1].alive)
		h->connections = 0;
}

void
sim_revive(struct world *w, unsigned host, unsigned peer)
{
	struct host *h = &w->hosts[host];

	if (P(w, host, peer)->alive)
		return;
	if (!P(w, host, !peer)->alive) {
		sim_host_start(w, host);
		return;
	}
	memset(P(w, host, peer), 0, sizeof(struct process));
	P(w, host, peer)->alive = true;
	(void)h;
}

void
sim_stop(struct world *w, unsigned host, unsigned peer, uint64_t ns)
{
	struct process *p = P(w, host, peer);

	if (!p->alive)
		return;
	if (p->in_turn)
		sim_see(w, SAW_STOP_IN_TURN);
	sim_trace(w, "%c%u: is stopped", 'A' + host, peer + 1);
	p->stopped_until = w->t_ns + ns + 1;
}

void
sim_give(struct world *w, unsigned host)
{
	struct host *h = &w->hosts[host];
	struct process *p = P(w, host, h->owner), *q = P(w, host, !h->owner);

	if (!runs(p) || !runs(q) || !p->keeps || p->pending || p->in_turn ||
		p->m.state == HANDOFF_LEASE_LOST ||
		!handoff__lease_may_begin(&p->m, sim_clock(w, host)))
		return;
	sim_see(w, SAW_GIVE);
	sim_trace(w, "%c%u: gives", 'A' + host, h->owner + 1);
	close_end(p);
	keep(w, host, !h->owner);
}

void
sim_release(struct world *w, unsigned host)
{
	struct host *h = &w->hosts[host];
	struct process *p = P(w, host, h->owner);

	if (!runs(p) || !p->keeps || p->pending || p->in_turn)
		return;
	h->connections = 0;
	sim_kill(w, host, !h->owner);
	p->releases = true;
}

/* The standby freezes by a timer of its own, and the kernel kills. */
void
sim_timers(struct world *w, unsigned host)
{
	struct host *h = &w->hosts[host];
	uint64_t now = sim_clock(w, host);

	for (unsigned i = 0; i < PEERS; i++) {
		struct process *p = P(w, host, i);

		if (p->alive && p->deadman_ns != 0 && now >= p->deadman_ns) {
			sim_see(w, SAW_DEADMAN);
			sim_kill(w, host, i);
		}
		if (p->stopped_until != 0 && w->t_ns >= p->stopped_until)
			p->stopped_until = 0;
	}
	if (runs(P(w, host, !h->owner)) && h->saved.token != 0 &&
		now >= h->saved.valid_until_ns && !h->frozen &&
		sim_draw(w, 2) == 0 && w->bug != BUG_STATE_ONLY)
		h->frozen = true;
}

static void
begin_turn(struct world *w, unsigned host, struct process *p)
{
	const struct host *h = &w->hosts[host];

	if (!sim_valid(w, host) &&
		(w->bug != BUG_STATE_ONLY || h->connections == 0))
		return;
	p->in_turn = true;
	p->turn_token = h->connections;
}

static void
end_turn(struct world *w, unsigned host, struct process *p)
{
	(void)host;
	p->in_turn = false;
	sim_see(w, SAW_COMMIT);
	if (p->turn_token != w->won)
		sim_bad(w, "committed after another host has won");
}

static uint32_t
read_letter(struct world *w, unsigned host, struct process *p,
	const struct letter *letter)
{
	struct handoff_lease_event event = {.kind = letter->kind,
		.serial = letter->serial,
		.token = letter->token,
		.ttl_ms = letter->ttl_ms,
		.by = "x"};
	uint64_t now = sim_clock(w, host), before = p->m.valid_until_ns;
	uint32_t actions;

	if (letter->kind == HANDOFF_LEASE_CONNECTED)
		p->session = letter->session;
	if (letter->kind == HANDOFF_LEASE_EXPIRED)
		p->session = 0;
	if (letter->kind == HANDOFF_LEASE_RETAINED && p->m.read.wanted)
		handoff__lease_above(&p->m, letter->token);
	if (w->bug == BUG_GRANT_IGNORED)
		event.ttl_ms = 0;
	if (w->bug == BUG_ANY_SERIAL && event.kind == HANDOFF_LEASE_PROVEN)
		event.serial = p->m.prove_serial;
	if (w->bug == BUG_FOUND_IS_PROOF &&
		event.kind == HANDOFF_LEASE_ACQUIRED && event.serial == 0) {
		p->m.proofs[0].serial = event.serial = UINT64_MAX;
		p->m.proofs[0].sent_ns = now;
	}
	actions = handoff__lease_event(&p->m, now, &event);
	if (w->bug == BUG_FROM_THE_ANSWER && p->m.valid_until_ns > before)
		p->m.valid_until_ns = now + p->m.ttl_ns / 3 * 2;
	if (letter->kind == HANDOFF_LEASE_PROVEN && p->m.frozen &&
		(actions & HANDOFF__LEASE_VALID))
		sim_see(w, SAW_LATE_PROOF);
	return actions;
}

static void
see_letter(struct world *w, const struct letter *letter)
{
	if (letter->kind == HANDOFF_LEASE_EXPIRED)
		sim_see(w, SAW_EXPIRED);
	if (letter->kind == HANDOFF_LEASE_REFUSED)
		sim_see(w, SAW_REFUSED);
	if (letter->kind == HANDOFF_LEASE_ERROR)
		sim_see(w, SAW_ERROR);
	if (letter->kind == HANDOFF_LEASE_ACQUIRED && letter->serial == 0)
		sim_see(w, SAW_FOUND);
	if (letter->kind == HANDOFF_LEASE_CONNECTED && letter->ttl_ms < TTL_MS)
		sim_see(w, SAW_SHORT_TTL);
}

static bool
take_letter(struct world *w, unsigned host, unsigned peer)
{
	struct process *p = P(w, host, peer);
	struct letter letter;

	if (!sim_fetch(w, p, &letter))
		return false;
	sim_trace(w, "%c%u: event %d, serial %llu, token %llu", 'A' + host,
		peer + 1, letter.kind, (unsigned long long)letter.serial,
		(unsigned long long)letter.token);
	see_letter(w, &letter);
	if (w->bug == BUG_REFUSAL_IGNORED &&
		(letter.kind == HANDOFF_LEASE_REFUSED ||
			letter.kind == HANDOFF_LEASE_TAKEN ||
			letter.kind == HANDOFF_LEASE_EXPIRED))
		return true;
	feed(w, host, peer, read_letter(w, host, p, &letter));
	return true;
}

/* The network below the machine: connects, pings, finds that it is cut. */
static void
tend_end(struct world *w, unsigned host, struct process *p)
{
	struct letter letter = {.session = p->session};

	if (!p->up && !p->attaching) {
		letter.kind = HANDOFF_LEASE_CONNECTED;
		p->attaching = sim_post(&p->out, &letter);
	} else if (p->up && w->hosts[host].cut && sim_draw(w, 20) == 0) {
		letter.kind = HANDOFF_LEASE_SUSPENDED;
		p->up = p->attaching = false;
		p->out.len = 0;
		if (!w->stale)
			p->in.len = 0;
		sim_post(&p->in, &letter);
	} else if (p->up && p->m.connected && w->t_ns >= p->ping_ns) {
		letter.kind = HANDOFF_LEASE_MEMBERS;
		p->ping_ns = w->t_ns + TTL_NS / 6;
		sim_post(&p->out, &letter);
	}
}

/* What is noted to be done after the actions. */
static bool
do_noted(struct world *w, unsigned host, unsigned peer)
{
	struct process *p = P(w, host, peer);
	uint64_t now = sim_clock(w, host);

	if (p->emptied) {
		p->emptied = false;
		feed(w, host, peer, handoff__lease_emptied(&p->m, now));
	} else if (p->publishes) {
		p->publishes = false;
		feed(w, host, peer, handoff__lease_publish(&p->m, now));
	} else if (p->releases) {
		p->releases = false;
		feed(w, host, peer, handoff__lease_release(&p->m, now));
	} else {
		return false;
	}
	return true;
}

static void
run_owner(struct world *w, unsigned host, unsigned peer)
{
	struct process *p = P(w, host, peer);
	uint64_t now = sim_clock(w, host);

	if (p->in_turn) {
		end_turn(w, host, p);
	} else if (p->pending) {
		carry_out(w, host, peer);
	} else if (p->exits) {
		sim_kill(w, host, peer);
	} else if (do_noted(w, host, peer)) {
		return;
	} else if (now >= handoff__lease_due(&p->m) && sim_draw(w, 2) == 0) {
		feed(w, host, peer, handoff__lease_time(&p->m, now));
	} else {
		tend_end(w, host, p);
		if (sim_draw(w, 3) == 0)
			begin_turn(w, host, p);
		else if (take_letter(w, host, peer) && p->alive &&
			 !p->stopped_until && sim_chance(w, 30))
			p->publishes = true;
	}
}

void
sim_run(struct world *w, unsigned host, unsigned peer)
{
	struct host *h = &w->hosts[host];
	struct process *p = P(w, host, peer);

	if (!runs(p))
		return;
	if (peer == h->owner) {
		if (p->keeps)
			run_owner(w, host, peer);
		else
			keep(w, host, peer);
		return;
	}
	if (!P(w, host, h->owner)->alive) {
		sim_trace(w, "%c%u: survives", 'A' + host, peer + 1);
		keep(w, host, peer);
		return;
	}
	if (sim_clock(w, host) >= h->saved.valid_until_ns)
		p->deadman_ns = 0; /* it has frozen */
	else
		arm_deadman(w, host, p);
}
