/* SPDX-License-Identifier: MIT */
/*
 * Offers. The owner word of each entry is its only commit point, set by one
 * compare-and-swap: if a peer dies between two of them, every entry has one
 * owner or is offered, and the survivor claims what the dead peer owned.
 * Revocation works the same way. When to offer is decided by give.c and
 * quiet.c.
 */
#include "peer/offer.h"

#include "base/probe.h"
#include "peer/away.h"
#include "peer/core.h"

static bool
give_takes(
	const struct handoff__give *give, const struct handoff__roster_entry *e)
{
	return e->mine &&
	       (give->cause != HANDOFF__HOME || e->kind != HANDOFF__CONNECTION);
}

void
handoff__offer_ref(const struct handoff__roster_entry *e, uint32_t arg,
	struct handoff__ref *ref)
{
	*ref = (struct handoff__ref){.id = e->id,
		.segment = e->segment,
		.slot = e->slot,
		.arg = arg};
}

static void
leave_behind(struct handoff__pair *pair, struct handoff__roster_entry *e,
	enum handoff__reason reason)
{
	struct handoff__report *report = &pair->give.report;

	e->left = (uint8_t)reason;
	report->left++;
	report->left_by[reason < HANDOFF__REASONS ? reason : 0]++;
	handoff__tally_left(pair, reason);
	if (report->nrefs < HANDOFF_FDPASS_MAX)
		handoff__offer_ref(e, reason, &report->refs[report->nrefs++]);
}

/* The commit point of one entry: it is not served here any more. */
bool
handoff__offer_entry(struct handoff__pair *pair,
	struct handoff__roster_entry *e, struct handoff__moved *moved)
{
	struct handoff__load load;

	handoff__load_of(e, &load); /* while this peer owns it */
	if (!handoff__owner_offer(&e->view.rec->owner, (uint32_t)pair->place,
		    handoff__pair_other_place(pair)))
		return false;
	HANDOFF__PROBE2(give, e->id, pair->give.report.id);
	handoff__moved_add(moved, e, &load);
	handoff__roster_swap(&pair->roster, e);
	e->leaving = false;
	if (pair->config.trace)
		handoff__tally_trace(
			pair, e, "given to", pair->give.report.id, &load);
	pair->ops->moved(pair, e);
	return true;
}

void
handoff__offer_revoke(struct handoff__pair *pair, enum handoff__reason reason,
	struct handoff__moved *back)
{
	struct handoff__roster_entry *e = NULL;
	struct handoff__load load;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->mine || !handoff__owner_revoke(&e->view.rec->owner,
				       (uint32_t)pair->place,
				       handoff__pair_other_place(pair)))
			continue;
		handoff__load_of(e, &load);
		handoff__moved_add(back, e, &load);
		handoff__roster_swap(&pair->roster, e);
		leave_behind(pair, e, reason);
		pair->ops->moved(pair, e);
	}
	pair->ops->settle(pair);
}

void
handoff__offer_ring(struct handoff__pair *pair, struct handoff__msg *msg)
{
	msg->type = HANDOFF__MOVE;
	msg->generation = handoff__pair_generation(pair);
	msg->at_us = pair->give.started_us;
	handoff__link_send(&pair->link, msg, -1);
}

void
handoff__offer_took_until(struct handoff__give *give, int64_t us)
{
	uint32_t took_us = (uint32_t)(us - give->started_us);

	if (took_us > give->report.took_us)
		give->report.took_us = took_us;
}

/* Offers the service, before the doorbell rings. The service is away from home
 * until it is back with the peer that it left first. */
void
handoff__offer_service(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);
	bool away = pair->give.cause == HANDOFF__MAINTENANCE;

	pair->give.away_before = atomic_load(&board->away);
	if (away && pair->give.away_before)
		away = !handoff__away_is_home(pair);
	else if (away)
		handoff__away_set_home(board, pair->name, pair->instance);
	atomic_store(&board->away, away);
	atomic_store(&board->cause, (uint32_t)pair->give.cause);
	handoff__owner_offer(&board->owner, (uint32_t)pair->place,
		handoff__pair_other_place(pair));
	atomic_fetch_add(&board->generation, 1);
	pair->serving = false;
}

bool
handoff__offer_revoke_service(struct handoff__pair *pair)
{
	struct handoff__board *board = handoff__arena_board(&pair->arena);

	if (!handoff__owner_revoke(&board->owner, (uint32_t)pair->place,
		    handoff__pair_other_place(pair)))
		return false;
	atomic_store(&board->away, pair->give.away_before);
	pair->serving = true;
	return true;
}

void
handoff__offer_leave_waiting(
	struct handoff__pair *pair, enum handoff__reason reason)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->leaving)
			leave_behind(pair, e, reason);
	}
}

/* If all listeners stayed behind, two peers would serve. */
enum handoff__reason
handoff__offer_objection(struct handoff__pair *pair)
{
	enum handoff__reason reason = HANDOFF__OK;
	struct handoff__roster_entry *e = NULL;

	if (pair->give.cause == HANDOFF__REST)
		return HANDOFF__OK;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->kind != HANDOFF__LISTENER || !e->mine)
			continue;
		if (e->copy == HANDOFF__COPY_HELD)
			return HANDOFF__OK;
		if (reason == HANDOFF__OK)
			reason = e->copy == HANDOFF__COPY_REFUSED
					 ? (enum handoff__reason)e->refusal
					 : HANDOFF__UNANSWERED;
	}
	return reason;
}

static void
offer_one(struct handoff__pair *pair, struct handoff__roster_entry *e,
	struct handoff__moved *moved)
{
	if (e->copy == HANDOFF__COPY_REFUSED) {
		leave_behind(pair, e, (enum handoff__reason)e->refusal);
	} else if (e->copy != HANDOFF__COPY_HELD) {
		leave_behind(pair, e, HANDOFF__UNANSWERED);
	} else if (!pair->ops->quiesce(pair, e)) {
		e->leaving = true;
		pair->give.waiting++;
	} else {
		handoff__offer_entry(pair, e, moved);
	}
}

void
handoff__offer_all(struct handoff__pair *pair, struct handoff__moved *moved)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		e->left = HANDOFF__OK;
		if (give_takes(&pair->give, e))
			offer_one(pair, e, moved);
	}
}
