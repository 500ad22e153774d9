/* SPDX-License-Identifier: MIT */
/*
 * What survives a ferry of the simulation: the server does what
 * lib/peer/survive.c does, the gate what lib/ferry/unfreeze/thaw.c does, by the
 * words of the batches alone.
 */
#include "ferry/simulation.h"

/* On A. */
void
sim_a_server_survives(struct world *w)
{
	struct host *h = &w->host[A];

	for (int c = 0; c < CONNS && w->alive[S]; c++) {
		uint32_t owner = sim_owner(w, A, c);
		enum handoff__elsewhere whose;

		sim_unhold(w, A, c, FERRY);
		handoff__owner_swap(&h->owner[c], PLACE_FERRY, PLACE_SERVER);
		if (!handoff__owner_is_elsewhere(owner))
			continue;
		whose = sim_whose(w, A, owner);
		if (whose == HANDOFF__ELSEWHERE_OPEN) {
			struct handoff__batch b;

			sim_see(w, SAW_SERVER_ABORTS);
			if (handoff__batch_read(
				    &h->table, handoff__owner_slot(owner), &b))
				handoff__batch_abort(&h->table, b.slot, b.id);
			whose = sim_whose(w, A, owner);
		}
		if (w->bug == BUG_SURVIVOR_CLAIMS)
			whose = HANDOFF__ELSEWHERE_HERE;
		if (whose == HANDOFF__ELSEWHERE_HERE) {
			sim_see(w, SAW_SERVER_CLAIM);
			handoff__owner_swap(&h->owner[c], owner, PLACE_SERVER);
		} else if (whose == HANDOFF__ELSEWHERE_AWAY) {
			sim_see(w, SAW_SERVER_CLOSE);
			sim_unhold(w, A, c, SERVER);
			sim_set_owner(w, A, c, 0);
		} else {
			sim_bad(w, "an entry is elsewhere, in no batch");
		}
		sim_dies(w, S);
	}
	h->server_notice = false;
}

/* The same at the gate, for the sockets that it has. */
void
sim_a_gate_survives(struct world *w)
{
	struct gate *gate = &w->gate[A];

	for (int c = 0; c < CONNS && w->alive[GA]; c++) {
		enum handoff__batch_state word;

		if (gate->flow[c] != HELD_BACK)
			continue;
		word = handoff__batch_abort(
			&w->host[A].table, gate->slot[c], gate->id[c]);
		if (w->bug == BUG_GATE_THAWS)
			word = HANDOFF__BATCH_ABORTED;
		if (word == HANDOFF__BATCH_COMMITTED) {
			sim_see(w, SAW_GATE_FLIP);
			sim_flow(w, c, FLIPPED);
		} else {
			sim_see(w, SAW_GATE_THAW);
			sim_thaw(w, c);
			sim_flow(w, c, PASSED);
		}
		sim_unhold(w, A, c, GATE);
		sim_dies(w, GA);
	}
	w->host[A].gate_notice = false;
}

/* On B. */
void
sim_b_server_survives(struct world *w)
{
	struct host *h = &w->host[B];

	for (int c = 0; c < CONNS && w->alive[AS]; c++) {
		uint32_t owner = sim_owner(w, B, c);
		enum handoff__elsewhere whose;

		handoff__owner_swap(&h->owner[c], PLACE_FERRY, PLACE_SERVER);
		if (!handoff__owner_is_elsewhere(owner))
			continue;
		whose = sim_whose(w, B, owner);
		if (w->bug == BUG_CLAIMS_IN_DOUBT)
			whose = HANDOFF__ELSEWHERE_HERE;
		if (whose == HANDOFF__ELSEWHERE_HERE) {
			if (!(h->sock[c].holders >> SERVER & 1))
				sim_bad(w, "AS has no copy of what it claims");
			sim_see(w, SAW_STANDBY_CLAIM);
			handoff__owner_swap(&h->owner[c], owner, PLACE_SERVER);
		} else if (whose == HANDOFF__ELSEWHERE_AWAY) {
			sim_unhold(w, B, c, SERVER);
			sim_set_owner(w, B, c, 0);
		} else if (whose == HANDOFF__ELSEWHERE_DOUBT) {
			sim_see(w, SAW_STANDBY_KEEPS);
		} else {
			sim_bad(w, "an entry is elsewhere, in no batch");
		}
		sim_dies(w, AS);
	}
	h->server_notice = false;
}

/* The same at the gate: finishes what is committed. */
void
sim_b_gate_survives(struct world *w)
{
	struct gate *gate = &w->gate[B];

	for (int c = 0; c < CONNS && w->alive[GB]; c++) {
		struct handoff__batch b;
		bool known = gate->id[c] != 0 &&
			     handoff__batch_read(
				     &w->host[B].table, gate->slot[c], &b) &&
			     b.id == gate->id[c];

		if (gate->id[c] == 0)
			continue;
		if (known && (handoff__batch_state(b.word) ==
					     HANDOFF__BATCH_COMMITTED ||
				     w->bug == BUG_GATE_FINISHES)) {
			if (w->host[B].sock[c].state == FROZEN)
				sim_see(w, SAW_GATE_FINISH);
			sim_finish(w, c, GATE);
		} else if (!known || handoff__batch_state(b.word) !=
					     HANDOFF__BATCH_OPEN) {
			gate->id[c] = 0;
			sim_unhold(w, B, c, GATE);
		}
		sim_dies(w, GB);
	}
	w->host[B].gate_notice = false;
}
