/* SPDX-License-Identifier: MIT */
/*
 * The engine and the network: sessions, the lock, the epoch, the retained
 * notice. It keeps the promise of <handoff/lease.h> and no more: a session ends
 * a TTL after the engine has heard of it, or any time later.
 */
#include "lease/simulation.h"

#include <string.h>

void
sim_engine_init(struct world *w)
{
	memset(&w->engine, 0, sizeof(w->engine));
}

bool
sim_post(struct box *box, const struct letter *letter)
{
	if (box->len == BOX)
		return false;
	box->letters[box->len++] = *letter;
	return true;
}

static void
remove_letter(struct box *box, unsigned i)
{
	box->len--;
	memmove(&box->letters[i], &box->letters[i + 1],
		(box->len - i) * sizeof(box->letters[0]));
}

static bool
is_barrier(const struct letter *letter)
{
	return letter->kind <= HANDOFF_LEASE_EXPIRED;
}

/* What is told of the session keeps its order. Answers may pass each other, and
 * those of an old session may come late if the schedule is like that. */
bool
sim_fetch(struct world *w, struct process *p, struct letter *letter)
{
	unsigned first = 0, i;

	if (p->in.len == 0)
		return false;
	while (first < p->in.len && !is_barrier(&p->in.letters[first]))
		first++;
	i = sim_draw(w, first > 0 ? first : 1);
	if (w->stale && sim_chance(w, 3)) {
		i = sim_draw(w, p->in.len);
		if (is_barrier(&p->in.letters[i]))
			i = first;
	} else if (w->stale && first < p->in.len && sim_chance(w, 2)) {
		i = first; /* those before it come later */
		if (first > 0)
			sim_see(w, SAW_STALE);
	}
	*letter = p->in.letters[i];
	remove_letter(&p->in, i);
	return true;
}

static struct session *
find(struct world *w, uint64_t id)
{
	for (unsigned i = 0; i < SESSIONS && id != 0; i++) {
		if (w->engine.sessions[i].id == id)
			return &w->engine.sessions[i];
	}
	return NULL;
}

static struct session *
alive(struct world *w, uint64_t id)
{
	struct session *s = find(w, id);

	return s && s->alive ? s : NULL;
}

static struct process *
end_of(struct world *w, const struct session *s)
{
	for (unsigned p = 0; p < PEERS; p++) {
		struct process *process = &w->hosts[s->host].peers[p];

		if (process->alive && process->id == s->end)
			return process;
	}
	return NULL;
}

/* To all that are connected. */
static void
tell_all(struct world *w, uint64_t but)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		struct session *s = &w->engine.sessions[i];
		struct process *p =
			s->alive && s->id != but ? end_of(w, s) : NULL;
		struct letter letter = {.kind = w->engine.holder
							? HANDOFF_LEASE_TAKEN
							: HANDOFF_LEASE_VACANT,
			.token = w->engine.token};

		if (p && p->up && s->id != w->engine.holder &&
			!sim_chance(w, 4))
			sim_post(&p->in, &letter);
	}
}

static void
end_session(struct world *w, struct session *s)
{
	sim_trace(w, "engine: session %llu ends", (unsigned long long)s->id);
	s->alive = false;
	if (w->engine.holder != s->id)
		return;
	w->engine.holder = 0;
	tell_all(w, s->id);
}

/* An operator removes the lock of a host that was not heard of for a TTL. */
static void
revoke(struct world *w, struct session *s)
{
	s->heard_ns = w->t_ns;
	w->engine.holder = 0;
	tell_all(w, 0);
}

void
sim_engine_lapse(struct world *w)
{
	for (unsigned i = 0; i < SESSIONS && !w->engine.down; i++) {
		struct session *s = &w->engine.sessions[i];

		if (!s->alive || w->t_ns < s->heard_ns + s->ttl_ns ||
			sim_chance(w, 3))
			continue;
		if (w->engine.holder == s->id && sim_chance(w, 10))
			revoke(w, s);
		else
			end_session(w, s);
	}
}

void
sim_engine_down(struct world *w, bool down)
{
	for (unsigned i = 0; i < SESSIONS && w->engine.down && !down; i++)
		w->engine.sessions[i].heard_ns = w->t_ns;
	w->engine.down = down;
}

/* Of the rows that are free the one that is longest so. */
static struct session *
new_session(struct world *w, unsigned host)
{
	struct session *oldest = NULL;

	for (unsigned i = 0; i < SESSIONS; i++) {
		struct session *s = &w->engine.sessions[i];

		if (!s->alive && (!oldest || s->id < oldest->id))
			oldest = s;
	}
	if (!oldest) {
		sim_bad(w, "too many sessions");
		return &w->engine.sessions[0];
	}
	*oldest = (struct session){.id = ++w->engine.last,
		.ttl_ns = w->granted_ms * UINT64_C(1000000),
		.alive = true,
		.host = host};
	return oldest;
}

static void
tell_holder(struct world *w, struct process *p, const struct session *s,
	uint64_t serial)
{
	struct letter letter = {.serial = serial, .token = w->engine.token};

	if (w->engine.holder == 0)
		letter = (struct letter){.kind = HANDOFF_LEASE_VACANT};
	else if (w->engine.holder == s->id)
		letter.kind = HANDOFF_LEASE_ACQUIRED;
	else
		letter.kind = HANDOFF_LEASE_TAKEN;
	sim_post(&p->in, &letter);
}

static void
attach(struct world *w, unsigned host, struct process *p, uint64_t id)
{
	struct session *s = alive(w, id);
	struct letter letter = {.kind = HANDOFF_LEASE_EXPIRED};

	if (!s && id != 0)
		sim_post(&p->in, &letter);
	for (unsigned i = 0; i < SESSIONS; i++) {
		if (w->engine.sessions[i].end == p->id)
			w->engine.sessions[i].end = 0; /* it has one only */
	}
	if (!s)
		s = new_session(w, host);
	s->heard_ns = w->t_ns;
	s->end = p->id;
	p->up = true;
	p->attaching = false;
	letter = (struct letter){.kind = HANDOFF_LEASE_CONNECTED,
		.session = s->id,
		.ttl_ms = (uint32_t)(s->ttl_ns / 1000000)};
	sim_post(&p->in, &letter);
	tell_holder(w, p, s, 0);
}

static void
acquire(struct world *w, struct process *p, const struct session *s,
	const struct letter *letter)
{
	struct engine *e = &w->engine;

	if (e->holder == 0) {
		e->holder = s->id;
		e->token =
			(e->token > letter->token ? e->token : letter->token) +
			1;
		tell_all(w, s->id);
	}
	tell_holder(w, p, s, letter->serial);
}

static void
release(struct world *w, const struct session *s)
{
	if (w->engine.holder != s->id)
		return;
	w->engine.holder = 0;
	tell_all(w, s->id);
}

/* The answer to a request of a session that lives. */
static void
answer(struct world *w, struct process *p, const struct session *s,
	const struct letter *letter)
{
	struct letter out = *letter;
	bool granted =
		w->engine.holder == s->id && w->engine.token == letter->token;

	out.asks = false;
	if (sim_chance(w, 40))
		out.kind = HANDOFF_LEASE_ERROR;
	else if (letter->kind == HANDOFF_LEASE_ACQUIRED) {
		acquire(w, p, s, letter);
		return;
	} else if (letter->kind == HANDOFF_LEASE_RETAINED)
		out.token = w->engine.notice;
	else if (letter->kind == HANDOFF_LEASE_RELEASED)
		release(w, s);
	else if (letter->kind != HANDOFF_LEASE_MEMBERS && !granted)
		out.kind = HANDOFF_LEASE_REFUSED;
	if (out.kind == HANDOFF_LEASE_PUBLISHED) {
		if (letter->token < w->engine.notice)
			sim_bad(w, "an older notice was retained");
		w->engine.notice = letter->token;
	}
	if (out.kind != HANDOFF_LEASE_MEMBERS) /* that was a ping */
		sim_post(&p->in, &out);
}

void
sim_engine_take(struct world *w, unsigned host, unsigned peer)
{
	struct process *p = &w->hosts[host].peers[peer];
	struct letter letter;
	struct session *s;

	if (!p->alive || p->id == 0 || p->out.len == 0 || w->engine.down ||
		w->hosts[host].cut)
		return;
	letter = p->out.letters[0];
	remove_letter(&p->out, 0);
	if (letter.kind == HANDOFF_LEASE_CONNECTED) {
		attach(w, host, p, letter.session);
		return;
	}
	s = alive(w, letter.session);
	if (!s) { /* the connection is closed too */
		letter = (struct letter){.kind = HANDOFF_LEASE_EXPIRED};
		p->up = false;
		p->out.len = 0;
		sim_post(&p->in, &letter);
	} else if (s->end == p->id) {
		s->heard_ns = w->t_ns;
		answer(w, p, s, &letter);
	}
}
