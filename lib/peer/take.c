/* SPDX-License-Identifier: MIT */
/*
 * Moving ownership, the side that takes: what is offered to this peer is its
 * own once it has accepted it, word by word. Asks for nothing by itself, and
 * knows nothing of copies.
 */
#include "peer/take.h"

#include "base/probe.h"
#include "peer/convert.h"
#include "peer/core.h"

#include <string.h>

/* Serves what is offered to this peer. */
static void
accept_entry(struct handoff__peer *peer, struct handoff__entry *e, uint64_t id,
	struct handoff__batch *batch)
{
	struct handoff__entry *new;
	struct handoff__load load;

	if (!e || e->mine ||
		!handoff__owner_accept(
			&e->view.rec->owner, (uint32_t)peer->slot))
		return;
	handoff__load_of(e, &load);
	handoff__batch_add(batch, e, &load);
	if (peer->config.trace)
		handoff__tally_trace(peer, e, "taken from", id, &load);
	new = handoff__convert_entry(peer, e);
	if (!new)
		return;
	handoff__roster_swap(&peer->roster, new);
	if (new != e) {
		handoff__roster_set_copy(
			&peer->roster, new, HANDOFF__COPY_NONE);
		handoff__roster_queue(new, &peer->roster.to_mirror);
	}
	peer->ops->moved(peer, new);
}

/* False if the service was offered to this peer no more. */
static bool
accept_service(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	return board &&
	       handoff__owner_accept(&board->owner, (uint32_t)peer->slot);
}

void
handoff__take_all(struct handoff__peer *peer, enum handoff__cause cause,
	uint64_t id, struct handoff__batch *batch)
{
	struct handoff__entry *e = NULL;

	while ((e = handoff__roster_next(&peer->roster, e))) {
		/* What was still to follow the service away stays now. */
		e->leaving = e->leaving && cause == HANDOFF__REST;
		accept_entry(peer, e, id, batch);
	}
}

void
handoff__take_on_move(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	enum handoff__cause cause = (enum handoff__cause)msg->cause;
	struct handoff__msg ready = {
		.type = HANDOFF__READY, .offer_us = msg->at_us};
	struct handoff__batch batch = {.connections = 0};

	/* It was taken back: this peer was too late. */
	if (cause != HANDOFF__REST && !accept_service(peer))
		return;
	if (msg->all) {
		peer->receiving = true;
		peer->incoming = (struct handoff__report){
			.id = msg->generation, .cause = cause};
		handoff__take_all(peer, cause, msg->generation, &batch);
	}
	for (uint32_t i = 0; i < msg->nrefs; i++)
		accept_entry(peer,
			handoff__roster_find(&peer->roster,
				msg->refs[i].segment, msg->refs[i].slot,
				msg->refs[i].id),
			msg->generation, &batch);
	handoff__tally_moved(peer, HANDOFF__WAY_IN, &batch, &peer->incoming);
	if (cause != HANDOFF__REST)
		peer->serving = true;
	peer->ops->settle(peer);
	ready.at_us = handoff__now_us();
	if (msg->all) {
		peer->incoming.took_us = (uint32_t)(ready.at_us - msg->at_us);
		HANDOFF__PROBE4(serve, peer->incoming.id, msg->cause,
			peer->incoming.moved, peer->incoming.took_us);
		handoff__link_send(&peer->link, &ready, -1);
	}
	if (cause != HANDOFF__REST)
		peer->ops->role(peer, cause);
}

static void
end_take(struct handoff__peer *peer, const struct handoff__report *report)
{
	peer->taking = false;
	if (peer->give.step == HANDOFF__GIVE_NONE)
		handoff__timer_disarm(peer->loop, &peer->move.deadline);
	peer->move.late = false;
	handoff__tally_handoff(peer, HANDOFF__WAY_IN, report);
	peer->ops->given(peer, report);
}

bool
handoff__take_proceed(struct handoff__peer *peer)
{
	if (!peer->taking || !peer->move.late)
		return false;
	end_take(
		peer, &(struct handoff__report){.reason = HANDOFF__UNANSWERED});
	return true;
}

void
handoff__take_on_gave(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__report *report = &peer->incoming;

	if (!peer->taking && !peer->receiving)
		return;
	if (!peer->receiving)
		memset(report, 0, sizeof(*report));
	peer->receiving = false;
	report->reason = (enum handoff__reason)msg->reason;
	report->moved = msg->moved;
	report->listeners = msg->listeners;
	report->left = msg->left;
	report->took_us = msg->took_us;
	report->nrefs = msg->nrefs;
	memcpy(report->refs, msg->refs, msg->nrefs * sizeof(msg->refs[0]));
	end_take(peer, report);
}

/* The link broke before the other had told the end. */
void
handoff__take_broken(struct handoff__peer *peer)
{
	struct handoff__report *incoming = &peer->incoming;
	bool receiving = peer->receiving;

	peer->receiving = false;
	if (!receiving)
		memset(incoming, 0, sizeof(*incoming));
	/* What was taken is here, and all that is ever coming. */
	if (!receiving || incoming->moved + incoming->listeners == 0)
		incoming->reason = HANDOFF__LEAVING;
	if (peer->taking)
		end_take(peer, incoming);
	else if (receiving)
		handoff__tally_handoff(peer, HANDOFF__WAY_IN, incoming);
}

void
handoff__take_begin(struct handoff__peer *peer, enum handoff__cause cause)
{
	struct handoff__msg msg = {.type = HANDOFF__TAKE, .cause = cause};

	handoff__link_send(&peer->link, &msg, -1);
	peer->taking = true;
	peer->move.began_us = handoff__now_us();
	/* The other waits for its handlers first. If it answers later than
	 * this, what it moves is still served here. */
	handoff__core_set_deadline(
		peer, (int64_t)peer->config.give_timeout_ms * 2);
}
