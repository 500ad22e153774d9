/* SPDX-License-Identifier: MIT */
/*
 * Host A of the simulation: what the ferry, the server and the gate do with
 * batches that leave. The ferry only carries out what its machines say.
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
tell_gate(struct world *w, uint32_t type, uint8_t mask, const struct out *o)
{
	mask &= (uint8_t)~w->absent;
	if (mask == 0 && type != TELL)
		return;
	sim_tell(w, A, FERRY, GATE,
		&(struct note){.type = type,
			.mask = mask,
			.slot = o ? o->slot : 0,
			.id = o ? o->m.id : 0});
}

static void
send(struct world *w, uint32_t type, const struct out *o)
{
	sim_send(w, A,
		&(struct note){.type = type,
			.id = o->m.id,
			.round = o->m.round,
			.flag = o->m.state == HANDOFF__SENDING_COMMITTED});
}

/* Without a packet there is nothing to wait for. */
static void
hold(struct world *w, struct out *o)
{
	tell_gate(w, HOLD, o->asked, o);
	if (o->asked & (uint8_t)~w->absent)
		return;
	sim_see(w, SAW_UNHELD);
	sim_run_out(w, o, handoff__sending_held(&o->m));
}

/* What is the ferry's and in no batch goes to the server, if there is one. */
static void
give_back(struct world *w, int conn)
{
	if (w->alive[S] && !w->host[A].ferry_of_server)
		handoff__owner_swap(
			&w->host[A].owner[conn], PLACE_FERRY, PLACE_SERVER);
}

static void
return_one(struct world *w, const struct out *o, int conn)
{
	sim_thaw(w, conn);
	handoff__owner_swap(&w->host[A].owner[conn],
		handoff__owner_elsewhere(o->slot), PLACE_FERRY);
	give_back(w, conn);
	tell_gate(w, PASS, bit(conn), o);
}

/* They may be in another batch soon. */
static void
forget(struct out *o, uint8_t mask)
{
	o->asked &= (uint8_t)~mask;
	o->came &= (uint8_t)~mask;
	o->in &= (uint8_t)~mask;
}

static void
open_word(struct world *w, struct out *o)
{
	struct handoff__batch what = {
		.count = o->m.count, .id = o->m.id, .peer = 2};

	if (handoff__batch_open(&w->host[A].table, HANDOFF__BATCH_OUT, &what) <
		0)
		sim_bad(w, "A's table of batches is full");
	o->slot = what.slot;
}

static void
take(struct world *w, struct out *o)
{
	for (int c = 0; c < CONNS; c++) {
		if (!(o->asked & bit(c)))
			continue;
		if (sim_owner(w, A, c) == PLACE_FERRY)
			o->came |= bit(c);
		else
			sim_tell(w, A, FERRY, SERVER,
				&(struct note){.type = TAKE, .mask = bit(c)});
	}
}

/* Those that the server did not give, or that cannot be frozen, stay. */
static void
freeze(struct world *w, struct out *o)
{
	struct host *h = &w->host[A];

	tell_gate(w, PASS, o->asked & (uint8_t)~o->came, o);
	o->asked = o->came;
	for (int c = 0; c < CONNS; c++) {
		if (!(o->came & bit(c)) ||
			!handoff__owner_swap(&h->owner[c], PLACE_FERRY,
				handoff__owner_elsewhere(o->slot)))
			continue;
		h->batch[c] = (uint32_t)o->m.id;
		o->in |= bit(c);
		if (sim_dies(w, FA))
			return;
		if (sim_chance(w, 12)) {
			return_one(w, o, c);
			forget(o, bit(c));
			continue;
		}
		if (h->sock[c].state != DEAD)
			h->sock[c].state = FROZEN;
		h->sock[c].image_pos = h->sock[c].pos;
		if (sim_dies(w, FA))
			return;
	}
	sim_run_out(w, o, handoff__sending_frozen(&o->m, count(o->in)));
}

static void
ship(struct world *w, struct out *o)
{
	struct note note = {.type = HANDOFF__LETTER_BATCH,
		.id = o->m.id,
		.round = count(o->in)};

	sim_send(w, A, &note);
	for (int c = 0; c < CONNS; c++) {
		if (!(o->in & bit(c)))
			continue;
		note.type = HANDOFF__LETTER_ENTRY;
		note.mask = bit(c);
		note.pos = w->host[A].sock[c].image_pos;
		sim_send(w, A, &note);
		if (sim_dies(w, FA))
			return;
	}
	note.type = HANDOFF__LETTER_END;
	sim_send(w, A, &note);
}

/* What was past the gate when it began to hold has arrived by now. */
static void
check(struct world *w, struct out *o)
{
	o->back = 0;
	for (int c = 0; c < CONNS; c++) {
		const struct sock *sock = &w->host[A].sock[c];

		if (!(o->in & bit(c)))
			continue;
		for (; w->inflight[c] > 0; w->inflight[c]--)
			sim_arrive(w, A, c);
		if (sock->pos != sock->image_pos && w->bug != BUG_UNCHECKED)
			o->back |= bit(c);
	}
	if (o->back)
		sim_see(w, SAW_STALE);
	sim_run_out(w, o, handoff__sending_checked(&o->m, count(o->back)));
}

static void
return_some(struct world *w, struct out *o)
{
	for (int c = 0; c < CONNS; c++) {
		if (!(o->back & o->in & bit(c)))
			continue;
		return_one(w, o, c);
		if (sim_dies(w, FA))
			return;
	}
	forget(o, o->back);
}

static void
decide(struct world *w, struct out *o, bool commit)
{
	struct handoff__batches *table = &w->host[A].table;
	enum handoff__batch_state word;

	if (commit && w->bug == BUG_SENDS_FIRST) {
		send(w, HANDOFF__LETTER_COMMIT, o);
		if (sim_dies(w, FA))
			return;
	}
	word = commit ? handoff__batch_commit(table, o->slot, o->m.id)
		      : handoff__batch_abort(table, o->slot, o->m.id);
	if (word == HANDOFF__BATCH_COMMITTED)
		w->committed[o->m.id % IDS] = true;
	sim_see(w, word == HANDOFF__BATCH_COMMITTED ? SAW_COMMIT : SAW_ABORT);
	if (sim_dies(w, FA))
		return;
	sim_run_out(w, o, handoff__sending_word(&o->m, word));
}

static void
thaw(struct world *w, struct out *o)
{
	for (int c = 0; c < CONNS; c++) {
		if (sim_owner(w, A, c) == handoff__owner_elsewhere(o->slot))
			return_one(w, o, c);
		else if (o->came & bit(c))
			give_back(w, c);
		if (sim_dies(w, FA))
			return;
	}
	tell_gate(w, PASS, o->asked & (uint8_t)~o->in, o);
}

static void
end_all(struct world *w, struct out *o)
{
	for (int c = 0; c < CONNS; c++) {
		if (sim_owner(w, A, c) != handoff__owner_elsewhere(o->slot))
			continue;
		if (w->host[A].sock[c].state == LIVE)
			sim_bad(w, "a connection was ended that is not frozen");
		w->host[A].sock[c].state = NONE;
		w->host[A].sock[c].holders = 0;
		sim_set_owner(w, A, c, 0);
		if (sim_dies(w, FA))
			return;
	}
}

static void
free_word(struct world *w, const struct out *o)
{
	handoff__batch_free(&w->host[A].table, o->slot, o->m.id);
}

static void
act(struct world *w, struct out *o, enum handoff__sending_action action)
{
	switch (action) {
	case HANDOFF__SENDING_OPEN:
		open_word(w, o);
		break;
	case HANDOFF__SENDING_HOLD:
		hold(w, o);
		break;
	case HANDOFF__SENDING_TAKE:
		take(w, o);
		break;
	case HANDOFF__SENDING_FREEZE:
		freeze(w, o);
		break;
	case HANDOFF__SENDING_RETURN:
		return_some(w, o);
		break;
	case HANDOFF__SENDING_SHIP:
		ship(w, o);
		break;
	case HANDOFF__SENDING_SEND_WITHDRAW:
		sim_send(w, A,
			&(struct note){.type = HANDOFF__LETTER_WITHDRAW,
				.id = o->m.id,
				.mask = o->back,
				.round = o->m.round});
		break;
	case HANDOFF__SENDING_CHECK:
		check(w, o);
		break;
	case HANDOFF__SENDING_COMMIT:
		decide(w, o, true);
		break;
	case HANDOFF__SENDING_ABORT:
		decide(w, o, false);
		break;
	case HANDOFF__SENDING_THAW:
		thaw(w, o);
		break;
	case HANDOFF__SENDING_FLIP:
		tell_gate(w, FLIP, o->in, o);
		break;
	case HANDOFF__SENDING_PASS:
		tell_gate(w, PASS, o->in, o);
		break;
	case HANDOFF__SENDING_END:
		end_all(w, o);
		break;
	case HANDOFF__SENDING_FREE:
		free_word(w, o);
		break;
	case HANDOFF__SENDING_SEND_COMMIT:
		send(w, HANDOFF__LETTER_COMMIT, o);
		if (w->bug == BUG_FREES_EARLY)
			free_word(w, o);
		break;
	case HANDOFF__SENDING_SEND_ABORT:
		send(w, HANDOFF__LETTER_ABORT, o);
		break;
	case HANDOFF__SENDING_SEND_VERDICT:
		send(w, HANDOFF__LETTER_VERDICT, o);
		break;
	case HANDOFF__SENDING_SEND_FORGET:
		send(w, HANDOFF__LETTER_FORGET, o);
		break;
	}
}

void
sim_run_out(struct world *w, struct out *o, uint32_t actions)
{
	for (uint32_t action = 1; actions != 0; action <<= 1) {
		if (!(actions & action))
			continue;
		actions &= ~action;
		act(w, o, (enum handoff__sending_action)action);
		if (sim_dies(w, FA))
			return;
	}
	if (handoff__sending_over(&o->m))
		o->used = false;
}

static struct out *
unused(struct world *w)
{
	for (int i = 0; i < MACHINES; i++) {
		if (!w->out[i].used) {
			memset(&w->out[i], 0, sizeof(w->out[i]));
			return &w->out[i];
		}
	}
	return NULL;
}

/* In a batch that is not decided. */
static uint8_t
under_way(const struct world *w)
{
	uint8_t mask = 0;

	for (int i = 0; i < MACHINES; i++) {
		if (w->out[i].used)
			mask |= w->out[i].asked | w->out[i].in;
	}
	return mask;
}

static unsigned
undecided(const struct world *w)
{
	unsigned n = 0;

	for (int i = 0; i < MACHINES; i++)
		n += w->out[i].used &&
		     w->out[i].m.state != HANDOFF__SENDING_COMMITTED;
	return n;
}

void
sim_move(struct world *w)
{
	struct out *o = unused(w);
	uint8_t busy = under_way(w), asked = 0;
	unsigned most = 1 + sim_draw(w, 3);
	uint32_t actions;

	for (int c = 0; c < CONNS && count(asked) < most; c++) {
		uint32_t owner = sim_owner(w, A, c);

		if ((owner == PLACE_SERVER || owner == PLACE_FERRY) &&
			!(busy & bit(c)) && sim_draw(w, 4) > 0)
			asked |= bit(c);
	}
	if (!o || !asked || undecided(w) >= 2 || w->next_id >= IDS)
		return;
	handoff__sending_init(&o->m, w->link.up[A]);
	actions = handoff__sending_begin(&o->m, w->next_id, count(asked));
	if (!actions)
		return;
	if (undecided(w) > 0)
		sim_see(w, SAW_OVERLAP);
	w->next_id++;
	o->used = true;
	o->asked = asked;
	sim_run_out(w, o, actions);
}

static struct out *
find(struct world *w, uint64_t id)
{
	for (int i = 0; i < MACHINES; i++) {
		if (w->out[i].used && w->out[i].m.id == id)
			return &w->out[i];
	}
	return NULL;
}

/* No machine has it: it is not in the table, as far as this ferry knows. */
static void
unknown(struct world *w, const struct note *note)
{
	struct note answer = {.id = note->id};

	if (note->type == HANDOFF__LETTER_PREPARED &&
		handoff__sending_unknown_prepared())
		answer.type = HANDOFF__LETTER_ABORT;
	else if (note->type == HANDOFF__LETTER_SERVING &&
		 handoff__sending_unknown_serving())
		answer.type = HANDOFF__LETTER_FORGET;
	else if (note->type == HANDOFF__LETTER_QUERY &&
		 handoff__sending_unknown_query())
		answer.type = HANDOFF__LETTER_VERDICT;
	else
		return;
	answer.flag = w->bug == BUG_UNKNOWN_COMMITS;
	sim_send(w, A, &answer);
}

void
sim_a_letter(struct world *w, const struct note *note)
{
	struct out *o = find(w, note->id);

	if (!o) {
		unknown(w, note);
		return;
	}
	switch (note->type) {
	case HANDOFF__LETTER_PREPARED:
		o->back = note->mask & o->in;
		if (o->back)
			sim_see(w, SAW_REFUSED);
		sim_run_out(w, o,
			handoff__sending_prepared(
				&o->m, note->round, count(o->back)));
		break;
	case HANDOFF__LETTER_SERVING:
		sim_run_out(w, o, handoff__sending_serving(&o->m));
		break;
	case HANDOFF__LETTER_QUERY:
		sim_run_out(w, o, handoff__sending_query(&o->m));
		break;
	case HANDOFF__LETTER_ABORT:
		sim_run_out(w, o, handoff__sending_give_up(&o->m));
		break;
	case HANDOFF__LETTER_LOST:
		sim_see(w, SAW_LOST);
		sim_run_out(w, o, handoff__sending_lost(&o->m));
		break;
	}
}

static void
server_note(struct world *w, const struct note *note)
{
	int c = __builtin_ctz(note->mask);

	/* in a handler for too long */
	if (sim_chance(w, 8))
		return;
	if (handoff__owner_swap(
		    &w->host[A].owner[c], PLACE_SERVER, PLACE_FERRY))
		sim_tell(w, A, SERVER, FERRY,
			&(struct note){.type = CAME, .mask = note->mask});
}

static void
came(struct world *w, uint8_t mask)
{
	/* given for a batch that has ended, and back already */
	if (sim_owner(w, A, __builtin_ctz(mask)) != PLACE_FERRY)
		return;
	for (int i = 0; i < MACHINES; i++) {
		struct out *o = &w->out[i];

		if (o->used && o->came & mask)
			return; /* it was the ferry's already */
		if (o->used && o->asked & mask && !o->m.taken &&
			o->m.state == HANDOFF__SENDING_TAKING) {
			o->came |= mask;
			return;
		}
	}
	give_back(w, __builtin_ctz(mask));
}

static void
gate_note(struct world *w, const struct note *note)
{
	struct gate *gate = &w->gate[A];

	for (int c = 0; c < CONNS; c++) {
		if (!(note->mask & bit(c)) &&
			(note->type != TELL || gate->flow[c] != DROPPED))
			continue;
		if (note->type == HOLD) {
			sim_flow(w, c, HELD_BACK);
			gate->slot[c] = note->slot;
			gate->id[c] = note->id;
			if (w->host[A].sock[c].state != NONE)
				w->host[A].sock[c].holders |= 1 << GATE;
		} else if (note->type == FLIP ||
			   (note->type == TELL && !(note->mask & bit(c)))) {
			sim_flow(w, c, FLIPPED);
			sim_unhold(w, A, c, GATE);
		} else {
			sim_flow(w, c, PASSED);
			sim_unhold(w, A, c, GATE);
		}
		if (sim_dies(w, GA))
			return;
	}
	if (note->type == HOLD)
		sim_tell(w, A, GATE, FERRY,
			&(struct note){.type = HOLDING, .id = note->id});
}

void
sim_a_note(struct world *w, int to, int from)
{
	struct note note;
	struct out *o;

	if (!sim_pop(&w->host[A].to[to][from], &note))
		return;
	if (to == SERVER) {
		server_note(w, &note);
	} else if (to == GATE) {
		gate_note(w, &note);
	} else if (note.type == CAME) {
		came(w, note.mask);
	} else {
		o = find(w, note.id);
		if (o)
			sim_run_out(w, o, handoff__sending_held(&o->m));
	}
}

/* Flows that a new gate has to pass: all others are on the other host. */
static void
tell_flows(struct world *w)
{
	uint8_t mask = 0;

	for (int c = 0; c < CONNS; c++) {
		uint32_t owner = sim_owner(w, A, c);

		if (owner == PLACE_SERVER || owner == PLACE_FERRY)
			mask |= bit(c);
	}
	tell_gate(w, TELL, mask, NULL);
}

static void
resume(struct world *w)
{
	struct handoff__batch b = {.slot = 0};

	for (; handoff__batch_next(&w->host[A].table, &b); b.slot++) {
		struct out *o = unused(w);

		if (!o) {
			sim_bad(w, "A has too many batches");
			return;
		}
		o->used = true;
		o->slot = b.slot;
		sim_run_out(w, o,
			handoff__sending_resume(&o->m, b.id, b.count,
				handoff__batch_state(b.word)));
		if (!w->alive[FA])
			return;
		if (o->used)
			sim_see(w, SAW_RESUMED_COMMIT);
	}
}

/* A ferry that has just started: reads the table, gets copies of what the
 * server has, thaws what nobody else could, and has a gate. */
void
sim_a_join(struct world *w)
{
	struct host *h = &w->host[A];

	for (int c = 0; c < CONNS; c++) {
		if (sim_owner(w, A, c) != 0)
			h->sock[c].holders |= 1 << FERRY;
	}
	handoff__batches_recover(&h->table);
	resume(w);
	for (int c = 0; c < CONNS && w->alive[FA]; c++) {
		uint32_t owner = sim_owner(w, A, c);

		if (owner == PLACE_SERVER || owner == PLACE_FERRY)
			sim_thaw(w, c);
		if (sim_dies(w, FA))
			return;
	}
	if (!w->alive[FA])
		return;
	w->alive[GA] = true;
	tell_flows(w);
	h->joined = true;
	if (w->link.up[A])
		sim_a_link(w, true);
}

static void
give_up_all(struct world *w)
{
	for (int i = 0; i < MACHINES && w->alive[FA]; i++) {
		if (w->out[i].used)
			sim_run_out(w, &w->out[i],
				handoff__sending_give_up(&w->out[i].m));
	}
}

/* The ferry notices the death of the server, or of the gate. */
void
sim_a_ferry_lost(struct world *w, int role)
{
	struct host *h = &w->host[A];

	if (role == SERVER) {
		for (int c = 0; c < CONNS; c++) {
			sim_unhold(w, A, c, SERVER);
			handoff__owner_swap(
				&h->owner[c], PLACE_SERVER, PLACE_FERRY);
		}
		h->ferry_of_server = false;
		return;
	}
	give_up_all(w);
	if (!w->alive[FA])
		return;
	h->ferry_of_gate = false;
	w->alive[GA] = true;
	tell_flows(w);
}

void
sim_a_link(struct world *w, bool up)
{
	if (!up && undecided(w) > 1)
		sim_see(w, SAW_OVERLAP_CUT);
	for (int i = 0; i < MACHINES && w->alive[FA]; i++) {
		uint32_t actions;

		if (!w->out[i].used)
			continue;
		actions = handoff__sending_link(&w->out[i].m, up);
		if (actions & HANDOFF__SENDING_SEND_COMMIT)
			sim_see(w, SAW_COMMIT_AGAIN);
		sim_run_out(w, &w->out[i], actions);
	}
}

/* Whether the server has given all, and what goes back to it. */
void
sim_a_poll(struct world *w)
{
	uint8_t busy;

	if (!w->alive[FA])
		return;
	for (int i = 0; i < MACHINES && w->alive[FA]; i++) {
		struct out *o = &w->out[i];

		if (o->used && o->m.state == HANDOFF__SENDING_TAKING &&
			!(o->asked & ~o->came & ~w->ended))
			sim_run_out(w, o,
				handoff__sending_taken(&o->m, count(o->came)));
	}
	busy = under_way(w);
	for (int c = 0; c < CONNS && w->host[A].joined; c++) {
		if (!(busy & bit(c)) && sim_owner(w, A, c) == PLACE_FERRY)
			give_back(w, c);
	}
}

/* A deadline of the ferry: for what the server gives, or of a whole batch. */
void
sim_a_late(struct world *w, bool all)
{
	for (int i = 0; i < MACHINES && w->alive[FA]; i++) {
		struct out *o = &w->out[i];

		if (!o->used)
			continue;
		if (!o->m.taken)
			sim_run_out(w, o,
				handoff__sending_taken(&o->m, count(o->came)));
		else if (all)
			sim_run_out(w, o, handoff__sending_give_up(&o->m));
	}
}
