/* SPDX-License-Identifier: MIT */
/*
 * Host B of the simulation: what the ferry, the server and the gate do with
 * batches that come. The ferry only carries out what its machines say.
 */
#include "ferry/simulation.h"

#include <string.h>

#define bit(c) ((uint8_t)(1u << (c)))

static unsigned
count(uint8_t mask)
{
	return (unsigned)__builtin_popcount(mask);
}

static void
send(struct world *w, uint32_t type, const struct in *r)
{
	sim_send(w, B, &(struct note){.type = type, .id = r->m.id});
}

static void
tell_gate(struct world *w, uint32_t type, uint8_t mask, const struct in *r)
{
	mask &= (uint8_t)~w->absent;
	if (mask == 0)
		return;
	sim_tell(w, B, FERRY, GATE,
		&(struct note){.type = type,
			.mask = mask,
			.slot = r->slot,
			.id = r->m.id});
}

static bool
in_slot(const struct world *w, const struct in *r, int conn)
{
	return sim_owner(w, B, conn) == handoff__owner_elsewhere(r->slot);
}

/* A prepared connection ends for all that have a copy, without a segment. */
static void
abandon_one(struct world *w, struct in *r, int conn)
{
	struct sock *sock = &w->host[B].sock[conn];

	if (!in_slot(w, r, conn))
		return;
	if (sock->state == LIVE)
		sim_bad(w, "B abandons what it serves");
	sock->state = NONE;
	sock->holders = sock->images = 0;
	sim_set_owner(w, B, conn, 0);
}

static void
open_word(struct world *w, struct in *r)
{
	struct handoff__batch what = {
		.count = r->m.count, .id = r->m.id, .peer = 1};

	r->slot = HANDOFF__BATCHES;
	if (handoff__batch_open(&w->host[B].table, HANDOFF__BATCH_IN, &what) <
		0)
		sim_run_in(w, r, handoff__receiving_give_up(&r->m));
	else
		r->slot = what.slot;
}

static void
drop(struct world *w, struct in *r)
{
	for (int c = 0; c < CONNS; c++) {
		if (r->back & bit(c))
			abandon_one(w, r, c);
		if (sim_dies(w, FB))
			return;
	}
	r->in &= (uint8_t)~r->back;
	tell_gate(w, UNGUARD, r->back, r);
}

static void
decide(struct world *w, struct in *r, bool commit)
{
	struct handoff__batches *table = &w->host[B].table;
	enum handoff__batch_state word;

	word = commit ? handoff__batch_commit(table, r->slot, r->m.id)
		      : handoff__batch_abort(table, r->slot, r->m.id);
	if (sim_dies(w, FB))
		return;
	sim_run_in(w, r, handoff__receiving_word(&r->m, word));
}

static void
abandon_all(struct world *w, struct in *r)
{
	if (w->bug == BUG_LEAVES_RECORDS && r->resumed)
		return;
	for (int c = 0; c < CONNS; c++) {
		abandon_one(w, r, c);
		if (sim_dies(w, FB))
			return;
	}
	tell_gate(w, UNGUARD, r->in, r);
}

/* Without its image a prepared socket is of no use. */
static void
finish_one(struct world *w, int conn)
{
	struct sock *sock = &w->host[B].sock[conn];

	sim_finish(w, conn, FERRY);
	if (sock->state == FROZEN)
		sim_bad(w, "B has not the image of what is its own");
}

static void
finish_all(struct world *w, const struct in *r)
{
	for (int c = 0; c < CONNS; c++) {
		if (in_slot(w, r, c) || (sim_owner(w, B, c) != 0 &&
						w->host[B].batch[c] == r->m.id))
			finish_one(w, c);
		if (sim_dies(w, FB))
			return;
	}
}

static void
offer(struct world *w, int conn)
{
	sim_tell(w, B, FERRY, SERVER,
		&(struct note){.type = OFFER, .mask = bit(conn)});
}

static void
offer_all(struct world *w, const struct in *r)
{
	for (int c = 0; c < CONNS; c++) {
		if (!in_slot(w, r, c))
			continue;
		sim_set_owner(w, B, c, PLACE_FERRY);
		offer(w, c);
		if (sim_dies(w, FB))
			return;
	}
}

static void
free_word(struct world *w, const struct in *r)
{
	handoff__batch_free(&w->host[B].table, r->slot, r->m.id);
	tell_gate(w, UNGUARD, r->in, r);
}

static void
send_prepared(struct world *w, const struct in *r)
{
	sim_send(w, B,
		&(struct note){.type = HANDOFF__LETTER_PREPARED,
			.id = r->m.id,
			.round = r->m.round,
			.mask = r->m.round ? 0 : r->refused | r->unheld});
}

/* The gate gets what it needs to finish them. */
static void
guard(struct world *w, struct in *r)
{
	for (int c = 0; c < CONNS && w->bug != BUG_UNGUARDED; c++) {
		if (r->in >> c & 1 && !(w->absent >> c & 1))
			w->host[B].sock[c].images |= 1 << KEPT;
	}
	if (sim_dies(w, FB))
		return;
	tell_gate(w, GUARD, r->in, r);
	if (w->bug != BUG_UNGUARDED && !(r->in & (uint8_t)~w->absent)) {
		if (r->in)
			sim_see(w, SAW_UNGUARDED);
		sim_run_in(w, r, handoff__receiving_guarded(&r->m));
	}
	if (w->bug != BUG_UNGUARDED)
		return;
	sim_run_in(w, r, handoff__receiving_guarded(&r->m));
	if (w->alive[FB])
		sim_run_in(w, r, handoff__receiving_held(&r->m, 0));
}

static void
act(struct world *w, struct in *r, enum handoff__receiving_action action)
{
	switch (action) {
	case HANDOFF__RECEIVING_OPEN:
		open_word(w, r);
		break;
	case HANDOFF__RECEIVING_PREPARE:
		break; /* by the caller */
	case HANDOFF__RECEIVING_GUARD:
		guard(w, r);
		break;
	case HANDOFF__RECEIVING_DROP:
		drop(w, r);
		break;
	case HANDOFF__RECEIVING_SEND_PREPARED:
		send_prepared(w, r);
		break;
	case HANDOFF__RECEIVING_SEND_QUERY:
		sim_see(w, SAW_DOUBT);
		send(w, HANDOFF__LETTER_QUERY, r);
		break;
	case HANDOFF__RECEIVING_COMMIT:
		decide(w, r, true);
		break;
	case HANDOFF__RECEIVING_ABORT:
		decide(w, r, false);
		break;
	case HANDOFF__RECEIVING_ABANDON:
		abandon_all(w, r);
		break;
	case HANDOFF__RECEIVING_FINISH:
		finish_all(w, r);
		break;
	case HANDOFF__RECEIVING_OFFER:
		offer_all(w, r);
		break;
	case HANDOFF__RECEIVING_SEND_SERVING:
		send(w, HANDOFF__LETTER_SERVING, r);
		if (w->bug == BUG_NO_FORGET) {
			free_word(w, r);
			r->m.state = HANDOFF__RECEIVING_DONE;
		}
		break;
	case HANDOFF__RECEIVING_FREE:
		free_word(w, r);
		break;
	case HANDOFF__RECEIVING_SEND_ABORT:
		send(w, HANDOFF__LETTER_ABORT, r);
		break;
	case HANDOFF__RECEIVING_SEND_LOST:
		send(w, HANDOFF__LETTER_LOST, r);
		break;
	}
}

void
sim_run_in(struct world *w, struct in *r, uint32_t actions)
{
	for (uint32_t action = 1; actions != 0; action <<= 1) {
		if (!(actions & action))
			continue;
		actions &= ~action;
		act(w, r, (enum handoff__receiving_action)action);
		if (sim_dies(w, FB))
			return;
	}
	if (handoff__receiving_over(&r->m))
		r->used = false;
}

static struct in *
unused(struct world *w)
{
	for (int i = 0; i < MACHINES; i++) {
		if (!w->in[i].used) {
			memset(&w->in[i], 0, sizeof(w->in[i]));
			return &w->in[i];
		}
	}
	return NULL;
}

static struct in *
find(struct world *w, uint64_t id)
{
	for (int i = 0; i < MACHINES; i++) {
		if (w->in[i].used && w->in[i].m.id == id)
			return &w->in[i];
	}
	return NULL;
}

static void
begin(struct world *w, const struct note *note)
{
	struct in *r = unused(w);
	uint32_t actions;

	if (!r) {
		sim_send(w, B,
			&(struct note){
				.type = HANDOFF__LETTER_ABORT, .id = note->id});
		return;
	}
	handoff__receiving_init(&r->m, w->link.up[B]);
	actions = handoff__receiving_begin(&r->m, note->id, note->round);
	if (!actions)
		return;
	r->used = true;
	sim_run_in(w, r, actions);
}

static void
unknown(struct world *w, const struct note *note)
{
	if (note->type == HANDOFF__LETTER_BATCH)
		begin(w, note);
	else if ((note->type == HANDOFF__LETTER_COMMIT ||
			 (note->type == HANDOFF__LETTER_VERDICT &&
				 note->flag)) &&
		 handoff__receiving_unknown_commit())
		sim_send(w, B,
			&(struct note){
				.type = HANDOFF__LETTER_LOST, .id = note->id});
}

/* This host may still have the connection, or another reason not to. */
static void
prepare(struct world *w, struct in *r, const struct note *note)
{
	struct host *h = &w->host[B];
	int c = __builtin_ctz(note->mask);
	struct sock *sock = &h->sock[c];

	if (sim_owner(w, B, c) != 0 || sock->state != NONE ||
		sim_chance(w, 12)) {
		r->refused |= bit(c);
		return;
	}
	sim_set_owner(w, B, c, handoff__owner_elsewhere(r->slot));
	h->batch[c] = (uint32_t)note->id;
	sock->state = w->absent & bit(c) ? DEAD : FROZEN;
	sock->pos = note->pos;
	sock->holders = 1 << FERRY;
	sock->images = sock->state == DEAD ? 0 : 1 << FERRY;
	r->in |= bit(c);
	r->waiting |= bit(c);
	sim_tell(w, B, FERRY, SERVER,
		&(struct note){.type = MIRROR, .mask = bit(c), .id = note->id});
	sim_dies(w, FB);
}

static void
decided(struct world *w, struct in *r, bool commit)
{
	if (handoff__receiving_in_doubt(&r->m))
		sim_see(w, commit ? SAW_DOUBT_COMMITTED : SAW_DOUBT_ABORTED);
	sim_run_in(w, r,
		commit ? handoff__receiving_commit(&r->m)
		       : handoff__receiving_abort(&r->m));
}

static void
give_up(struct world *w, struct in *r)
{
	if (w->bug == BUG_GIVES_UP && r->m.state == HANDOFF__RECEIVING_PREPARED)
		sim_run_in(w, r, handoff__receiving_abort(&r->m));
	else
		sim_run_in(w, r, handoff__receiving_give_up(&r->m));
}

static void
entry(struct world *w, struct in *r, const struct note *note)
{
	uint32_t actions = handoff__receiving_entry(&r->m);

	if (actions & HANDOFF__RECEIVING_PREPARE)
		prepare(w, r, note);
	if (w->alive[FB])
		sim_run_in(w, r, actions);
}

void
sim_b_letter(struct world *w, const struct note *note)
{
	struct in *r = find(w, note->id);

	if (!r) {
		unknown(w, note);
		return;
	}
	switch (note->type) {
	case HANDOFF__LETTER_ENTRY:
		entry(w, r, note);
		break;
	case HANDOFF__LETTER_END:
		r->ended = true;
		sim_run_in(w, r, handoff__receiving_end(&r->m));
		break;
	case HANDOFF__LETTER_WITHDRAW:
		r->back = note->mask;
		sim_run_in(
			w, r, handoff__receiving_withdrawn(&r->m, note->round));
		break;
	case HANDOFF__LETTER_COMMIT:
		if (r->m.state == HANDOFF__RECEIVING_SERVING)
			sim_see(w, SAW_SERVING_AGAIN);
		decided(w, r, true);
		break;
	case HANDOFF__LETTER_VERDICT:
		decided(w, r, note->flag);
		break;
	case HANDOFF__LETTER_ABORT:
		decided(w, r, false);
		break;
	case HANDOFF__LETTER_FORGET:
		sim_run_in(w, r, handoff__receiving_forget(&r->m));
		break;
	}
}

static void
server_note(struct world *w, const struct note *note)
{
	struct sock *sock = &w->host[B].sock[__builtin_ctz(note->mask)];
	bool held;

	if (note->type == OFFER) {
		handoff__owner_swap(
			&w->host[B].owner[__builtin_ctz(note->mask)],
			PLACE_FERRY, PLACE_SERVER);
		return;
	}
	held = sock->state != NONE && !sim_chance(w, 16);
	if (held)
		sock->holders |= 1 << SERVER;
	sim_tell(w, B, SERVER, FERRY,
		&(struct note){.type = HELD,
			.mask = note->mask,
			.flag = held,
			.id = note->id});
}

static void
gate_note(struct world *w, const struct note *note)
{
	struct gate *gate = &w->gate[B];

	for (int c = 0; c < CONNS; c++) {
		struct sock *sock = &w->host[B].sock[c];

		if (!(note->mask & bit(c)))
			continue;
		if (note->type == GUARD && sock->state != NONE &&
			w->host[B].batch[c] == note->id) {
			sock->holders |= 1 << GATE;
			sock->images |= 1 << GATE;
			gate->slot[c] = note->slot;
			gate->id[c] = note->id;
		} else if (note->type == UNGUARD && gate->id[c] == note->id) {
			gate->id[c] = 0;
			sim_unhold(w, B, c, GATE);
		}
		if (sim_dies(w, GB))
			return;
	}
	if (note->type == GUARD)
		sim_tell(w, B, GATE, FERRY,
			&(struct note){.type = GUARDED, .id = note->id});
}

static void
ferry_note(struct world *w, const struct note *note)
{
	struct in *r = find(w, note->id);

	if (!r)
		return;
	if (note->type == GUARDED) {
		sim_run_in(w, r, handoff__receiving_guarded(&r->m));
		return;
	}
	r->waiting &= (uint8_t)~note->mask;
	if (!note->flag)
		r->unheld |= note->mask & r->in;
}

void
sim_b_note(struct world *w, int to, int from)
{
	struct note note;

	if (!sim_pop(&w->host[B].to[to][from], &note))
		return;
	if (to == SERVER)
		server_note(w, &note);
	else if (to == GATE)
		gate_note(w, &note);
	else
		ferry_note(w, &note);
}

static void
resume(struct world *w)
{
	struct handoff__batch b = {.slot = 0};

	for (; handoff__batch_next(&w->host[B].table, &b); b.slot++) {
		struct in *r = unused(w);
		uint32_t actions;

		if (!r) {
			sim_bad(w, "B has too many batches");
			return;
		}
		r->used = r->resumed = true;
		r->slot = b.slot;
		actions = handoff__receiving_resume(
			&r->m, b.id, b.count, handoff__batch_state(b.word));
		for (int c = 0; c < CONNS; c++) {
			if (in_slot(w, r, c))
				r->in |= bit(c);
		}
		if (handoff__receiving_in_doubt(&r->m))
			sim_see(w, SAW_RESUMED_DOUBT);
		sim_run_in(w, r, actions);
		if (!w->alive[FB])
			return;
	}
}

/* The gate has all that the server has said HELD for. */
static void
guard_again(struct world *w)
{
	for (int i = 0; i < MACHINES; i++) {
		if (w->in[i].used)
			tell_gate(w, GUARD, w->in[i].in, &w->in[i]);
	}
}

/* A ferry that has just started: gets what the gate and the server have, and
 * reads the table. */
void
sim_b_join(struct world *w)
{
	struct host *h = &w->host[B];

	for (int c = 0; c < CONNS; c++) {
		struct sock *sock = &h->sock[c];

		if (sim_owner(w, B, c) == 0 || sock->state == NONE)
			continue;
		sock->holders |= 1 << FERRY;
		if (sock->images >> GATE & 1 || sock->images >> KEPT & 1)
			sock->images |= 1 << FERRY;
	}
	handoff__batches_recover(&h->table);
	resume(w);
	for (int c = 0; c < CONNS && w->alive[FB]; c++) {
		if (sim_owner(w, B, c) == PLACE_SERVER)
			finish_one(w, c);
		if (sim_dies(w, FB))
			return;
	}
	if (!w->alive[FB])
		return;
	if (!w->alive[GB]) {
		w->alive[GB] = true;
		guard_again(w);
	}
	h->joined = true;
	if (w->link.up[B])
		sim_b_link(w, true);
}

static void
give_up_all(struct world *w)
{
	for (int i = 0; i < MACHINES && w->alive[FB]; i++) {
		if (w->in[i].used)
			give_up(w, &w->in[i]);
	}
}

/* The ferry notices the death of the server, or of the gate. */
void
sim_b_ferry_lost(struct world *w, int role)
{
	struct host *h = &w->host[B];

	if (role == SERVER) {
		for (int c = 0; c < CONNS; c++) {
			sim_unhold(w, B, c, SERVER);
			handoff__owner_swap(
				&h->owner[c], PLACE_SERVER, PLACE_FERRY);
		}
		h->ferry_of_server = false;
		give_up_all(w);
		return;
	}
	give_up_all(w);
	if (!w->alive[FB])
		return;
	h->ferry_of_gate = false;
	w->alive[GB] = true;
	guard_again(w);
}

void
sim_b_link(struct world *w, bool up)
{
	for (int i = 0; i < MACHINES && w->alive[FB]; i++) {
		uint32_t actions;

		if (!w->in[i].used)
			continue;
		actions = handoff__receiving_link(&w->in[i].m, up);
		if (actions & HANDOFF__RECEIVING_SEND_SERVING)
			sim_see(w, SAW_SERVING_AGAIN);
		sim_run_in(w, &w->in[i], actions);
	}
}

/* Whether the server has taken all of a batch. */
static bool
is_served(const struct world *w, const struct in *r)
{
	for (int c = 0; c < CONNS; c++) {
		if (in_slot(w, r, c) || (sim_owner(w, B, c) == PLACE_FERRY &&
						w->host[B].batch[c] == r->m.id))
			return false;
	}
	return true;
}

void
sim_b_poll(struct world *w)
{
	struct host *h = &w->host[B];

	for (int i = 0; i < MACHINES && w->alive[FB]; i++) {
		struct in *r = &w->in[i];

		if (!r->used)
			continue;
		if (r->m.state == HANDOFF__RECEIVING_PREPARING && !r->waiting &&
			!r->m.held) {
			r->back = r->unheld;
			sim_run_in(w, r,
				handoff__receiving_held(
					&r->m, count(r->unheld)));
		} else if (r->m.state == HANDOFF__RECEIVING_COMMITTED &&
			   h->joined && is_served(w, r)) {
			sim_run_in(w, r, handoff__receiving_served(&r->m));
		}
	}
	/* a server that has come gets what waits for one */
	for (int c = 0; c < CONNS; c++) {
		if (w->alive[FB] && h->joined && w->alive[AS] &&
			!h->ferry_of_server &&
			sim_owner(w, B, c) == PLACE_FERRY &&
			h->to[SERVER][FERRY].len == 0)
			offer(w, c);
	}
}

void
sim_b_late(struct world *w)
{
	give_up_all(w);
}
