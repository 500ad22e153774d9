/* SPDX-License-Identifier: MIT */
/*
 * The taker's side of a move: an offered entry belongs to this peer once it has
 * accepted its owner word. Sends no request by itself, and knows nothing of
 * copies.
 */
#include "peer/take.h"

#include "base/probe.h"
#include "peer/companions.h"
#include "peer/convert.h"
#include "peer/core.h"

#include <string.h>

/* The other peer waits for its handlers first, as long as a give may take.
 * After this many times that, the take is reported as failed; an even later
 * MOVE is still accepted. */
#define GIVES_WAITED 2

/* Accepts an entry that is offered to this peer. */
static void
accept_entry(struct handoff__pair *pair, struct handoff__roster_entry *e,
	uint64_t id, struct handoff__moved *moved)
{
	struct handoff__roster_entry *new;
	struct handoff__load load;

	/* without its leader it is no use; the giver revokes the leader first,
	 * too */
	if (!e || e->mine || !handoff__companions_may_come(pair, e) ||
		!handoff__owner_accept(
			&e->view.rec->owner, (uint32_t)pair->place))
		return;
	handoff__load_of(e, &load);
	handoff__moved_add(moved, e, &load);
	if (pair->config.trace)
		handoff__tally_trace(pair, e, "taken from", id, &load);
	new = handoff__convert_entry(pair, e);
	if (!new)
		return;
	handoff__roster_swap(&pair->roster, new);
	if (new != e) {
		handoff__roster_set_copy(
			&pair->roster, new, HANDOFF__COPY_NONE);
		handoff__roster_queue(new, &pair->roster.to_mirror);
	}
	handoff__companions_join(pair, new);
	pair->ops->moved(pair, new);
}

/* False if the offer of the service was revoked. */
static bool
accept_service(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);

	return board &&
	       handoff__owner_accept(&board->owner, (uint32_t)pair->place);
}

void
handoff__take_all(struct handoff__pair *pair, enum handoff__cause cause,
	uint64_t id, struct handoff__moved *moved)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		/* an entry that was still to follow the service away stays
		 * now */
		if (e->leaving && cause != HANDOFF__REST)
			handoff__core_stay(pair, e);
		if (!(e->marks & HANDOFF__FOLLOWS))
			accept_entry(pair, e, id, moved);
	}
	while (pair->roster.followers > 0 &&
		(e = handoff__roster_next(&pair->roster, e))) {
		if (e->marks & HANDOFF__FOLLOWS)
			accept_entry(pair, e, id, moved);
	}
}

void
handoff__take_on_move(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	enum handoff__cause cause = (enum handoff__cause)msg->cause;
	struct handoff__msg ready = {
		.type = HANDOFF__READY, .offer_us = msg->at_us};
	struct handoff__moved moved = {.connections = 0};

	/* revoked: this peer was too late */
	if (cause != HANDOFF__REST && !accept_service(pair))
		return;
	if (msg->all == HANDOFF__MOVE_ALL) {
		pair->receiving = true;
		pair->incoming = (struct handoff__report){
			.id = msg->generation, .cause = cause};
		handoff__take_all(pair, cause, msg->generation, &moved);
	}
	for (uint32_t i = 0; i < msg->nrefs; i++)
		accept_entry(pair,
			handoff__roster_find(&pair->roster,
				msg->refs[i].segment, msg->refs[i].slot,
				msg->refs[i].id),
			msg->generation, &moved);
	handoff__tally_moved(pair, HANDOFF__WAY_IN, &moved, &pair->incoming);
	if (cause != HANDOFF__REST)
		pair->serving = true;
	pair->ops->settle(pair);
	ready.at_us = handoff__now_us();
	if (msg->all == HANDOFF__MOVE_ALL) {
		pair->incoming.took_us = (uint32_t)(ready.at_us - msg->at_us);
		HANDOFF__PROBE4(serve, pair->incoming.id, msg->cause,
			pair->incoming.moved, pair->incoming.took_us);
	}
	if (msg->all != HANDOFF__MOVE_NAMED)
		handoff__link_send(&pair->link, &ready, -1);
	if (cause != HANDOFF__REST)
		pair->ops->role(pair, cause);
}

static void
end_take(struct handoff__pair *pair, const struct handoff__report *report)
{
	pair->taking = false;
	if (pair->give.step == HANDOFF__GIVE_NONE)
		handoff__timer_disarm(pair->loop, &pair->move.deadline);
	pair->move.late = false;
	handoff__tally_handoff(pair, HANDOFF__WAY_IN, report);
	pair->ops->given(pair, HANDOFF__WAY_IN, report);
}

bool
handoff__take_proceed(struct handoff__pair *pair)
{
	if (!pair->taking || !pair->move.late)
		return false;
	end_take(
		pair, &(struct handoff__report){.reason = HANDOFF__UNANSWERED});
	return true;
}

/* Counts the reasons of the named entries. */
static void
count_left(struct handoff__report *report)
{
	memset(report->left_by, 0, sizeof(report->left_by));
	for (uint32_t i = 0; i < report->nrefs; i++) {
		uint32_t reason = report->refs[i].arg;

		report->left_by[reason < HANDOFF__REASONS ? reason : 0]++;
	}
	if (report->left > report->nrefs)
		report->left_by[0] += report->left - report->nrefs;
}

void
handoff__take_on_gave(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct handoff__report *report = &pair->incoming;

	if (!pair->taking && !pair->receiving)
		return;
	if (!pair->receiving)
		memset(report, 0, sizeof(*report));
	pair->receiving = false;
	report->reason = (enum handoff__reason)msg->reason;
	report->moved = msg->moved;
	report->listeners = msg->listeners;
	report->left = msg->left;
	report->took_us = msg->took_us;
	report->nrefs = msg->nrefs;
	memcpy(report->refs, msg->refs, msg->nrefs * sizeof(msg->refs[0]));
	count_left(report);
	end_take(pair, report);
}

void
handoff__take_broken(struct handoff__pair *pair)
{
	struct handoff__report *incoming = &pair->incoming;
	bool receiving = pair->receiving;

	pair->receiving = false;
	if (!receiving)
		memset(incoming, 0, sizeof(*incoming));
	/* only what was accepted is here, and nothing more will come */
	if (!receiving || incoming->moved + incoming->listeners == 0)
		incoming->reason = HANDOFF__LEAVING;
	if (pair->taking)
		end_take(pair, incoming);
	else if (receiving)
		handoff__tally_handoff(pair, HANDOFF__WAY_IN, incoming);
}

void
handoff__take_begin(struct handoff__pair *pair, enum handoff__cause cause)
{
	struct handoff__msg msg = {.type = HANDOFF__TAKE, .cause = cause};

	handoff__link_send(&pair->link, &msg, -1);
	pair->taking = true;
	pair->move.began_us = handoff__now_us();
	handoff__core_set_deadline(
		pair, (int64_t)pair->config.give_timeout_ms * GIVES_WAITED);
}
