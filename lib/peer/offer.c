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
#include "peer/companions.h"
#include "peer/core.h"

#define WAITS_MAX 6 /* about a minute */

static bool
give_takes(
	const struct handoff__give *give, const struct handoff__roster_entry *e)
{
	return e->mine &&
	       (give->cause != HANDOFF__HOME || e->kind != HANDOFF__CONNECTION);
}

/* Companions move with their leader only. */
static bool
moves_with_another(const struct handoff__roster_entry *e)
{
	return (e->marks & (HANDOFF__BOUND | HANDOFF__LEADS)) == HANDOFF__BOUND;
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
	e->left = HANDOFF__OK;
	e->marks &= HANDOFF__FOLLOWS;
	if (pair->config.trace)
		handoff__tally_trace(
			pair, e, "given to", pair->give.report.id, &load);
	pair->ops->moved(pair, e);
	return true;
}

static void
revoke_entry(struct handoff__pair *pair, struct handoff__roster_entry *e,
	enum handoff__reason reason, struct handoff__moved *back)
{
	struct handoff__load load;

	if (e->mine || !handoff__companions_may_come(pair, e) ||
		!handoff__owner_revoke(&e->view.rec->owner,
			(uint32_t)pair->place, handoff__pair_other_place(pair)))
		return;
	handoff__load_of(e, &load);
	handoff__moved_add(back, e, &load);
	handoff__roster_swap(&pair->roster, e);
	handoff__companions_join(pair, e);
	leave_behind(pair, e, reason);
	pair->ops->moved(pair, e);
}

/* The leaders first: if the other peer has accepted one, it accepts the
 * companions too. */
void
handoff__offer_revoke(struct handoff__pair *pair, enum handoff__reason reason,
	struct handoff__moved *back)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!(e->marks & HANDOFF__FOLLOWS))
			revoke_entry(pair, e, reason, back);
	}
	while (pair->roster.followers > 0 &&
		(e = handoff__roster_next(&pair->roster, e))) {
		if (e->marks & HANDOFF__FOLLOWS)
			revoke_entry(pair, e, reason, back);
	}
	pair->ops->settle(pair);
}

/* The link keeps the order, so MOVE was acted on when this is answered: what is
 * still offered then is not wanted. */
void
handoff__offer_confirm(struct handoff__pair *pair)
{
	struct handoff__msg ask = {.type = HANDOFF__MIRROR};
	struct handoff__give *give = &pair->give;

	give->more = give->follows && give->asked != 0;
	give->follows = true;
	if (give->more)
		return;
	give->followed_us = handoff__now_us();
	give->asked = UINT32_MAX;
	if (!handoff__link_up(&pair->link))
		return;
	give->asked = ask.batch = ++pair->batch;
	handoff__link_send(&pair->link, &ask, -1);
}

/* How long what has come back so often in a row is served here. */
static int64_t
wait_us(unsigned times)
{
	if (times == 0)
		return 0;
	return INT64_C(1000000) << (times < WAITS_MAX ? times : WAITS_MAX);
}

uint32_t
handoff__offer_take_back(
	struct handoff__pair *pair, enum handoff__reason reason)
{
	struct handoff__moved back = {.connections = 0};
	struct handoff__give *give = &pair->give;

	handoff__offer_revoke(pair, reason, &back);
	handoff__tally_unmoved(pair, &back, &give->report);
	if (give->asked != 0) {
		give->untaken = true;
		give->again_us = handoff__now_us() + wait_us(give->backs++);
	}
	if (!handoff__link_up(&pair->link) || give->asked == UINT32_MAX)
		give->asked = 0;
	give->follows = give->more = false;
	give->followed_us = 0;
	pair->noted = true;
	return back.connections + back.listeners;
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

static enum handoff__reason
copy_objection(const struct handoff__roster_entry *e)
{
	if (e->copy == HANDOFF__COPY_HELD)
		return HANDOFF__OK;
	return e->copy == HANDOFF__COPY_REFUSED
		       ? (enum handoff__reason)e->refusal
		       : HANDOFF__UNANSWERED;
}

void
handoff__offer_leave_waiting(
	struct handoff__pair *pair, enum handoff__reason reason)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		enum handoff__reason stay = copy_objection(e);

		if (!e->leaving)
			continue;
		leave_behind(pair, e, stay != HANDOFF__OK ? stay : reason);
		handoff__core_resume(pair, e);
	}
}

enum handoff__reason
handoff__offer_entry_objection(
	const struct handoff__pair *pair, struct handoff__roster_entry *first)
{
	struct handoff__roster_entry *e = first;
	enum handoff__reason reason;

	do {
		reason = copy_objection(e);
		e = handoff__companions_next(pair, e);
	} while (reason == HANDOFF__OK && e != first);
	return reason;
}

/* If all listeners stayed behind, two peers would serve. */
enum handoff__reason
handoff__offer_objection(struct handoff__pair *pair)
{
	enum handoff__reason reason = HANDOFF__OK, own;
	struct handoff__roster_entry *e = NULL;

	if (pair->give.cause == HANDOFF__REST)
		return HANDOFF__OK;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->kind != HANDOFF__LISTENER || !e->mine)
			continue;
		own = handoff__offer_entry_objection(pair, e);
		if (own == HANDOFF__OK)
			return HANDOFF__OK;
		if (reason == HANDOFF__OK)
			reason = own;
	}
	return reason;
}

bool
handoff__offer_is_quiet(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	if (e->marks & HANDOFF__PARKED)
		return true;
	if (e->marks & HANDOFF__ASKED)
		return false;
	if (pair->ops->quiesce(pair, e))
		return true;
	e->marks |= HANDOFF__ASKED;
	return false;
}

/* Marks the entry and those that move together with it, and counts those that
 * were asked. */
static void
await_quiet(struct handoff__pair *pair, struct handoff__roster_entry *first)
{
	struct handoff__roster_entry *e = first;

	do {
		e->leaving = true;
		pair->give.waiting += (e->marks & HANDOFF__ASKED) != 0;
		e = handoff__companions_next(pair, e);
	} while (e != first);
}

/* All are asked, so that those that are not quiet become so. */
static bool
all_are_quiet(struct handoff__pair *pair, struct handoff__roster_entry *leader)
{
	struct handoff__roster_entry *e = leader;
	bool quiet = true;

	do {
		quiet &= handoff__offer_is_quiet(pair, e);
		e = handoff__companions_next(pair, e);
	} while (e != leader);
	return quiet;
}

void
handoff__offer_ask(
	struct handoff__pair *pair, bool all, struct handoff__asked *asked)
{
	struct handoff__roster_entry *e = NULL;

	*asked = (struct handoff__asked){.stay = HANDOFF__OK};
	pair->give.waiting = 0;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		enum handoff__reason stay;

		if (moves_with_another(e) || !give_takes(&pair->give, e))
			continue;
		asked->any = true;
		stay = handoff__offer_entry_objection(pair, e);
		if (stay == HANDOFF__OK && all_are_quiet(pair, e)) {
			asked->quiet++;
			if (!all)
				return;
			continue;
		}
		await_quiet(pair, e);
		if (asked->stay == HANDOFF__OK ||
			asked->stay == HANDOFF__UNANSWERED)
			asked->stay = stay == HANDOFF__OK ? asked->stay : stay;
	}
}

void
handoff__offer_name_all(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;
	enum handoff__reason stay;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		e->left = HANDOFF__OK;
		if (!e->leaving)
			continue;
		stay = copy_objection(e);
		if (stay != HANDOFF__OK)
			leave_behind(pair, e, stay);
		else if (e->marks & HANDOFF__ASKED)
			leave_behind(pair, e, HANDOFF__HANDLER_BUSY);
	}
}

uint32_t
handoff__offer_together(struct handoff__pair *pair,
	struct handoff__roster_entry *e, struct handoff__moved *moved,
	struct handoff__ref *refs)
{
	struct handoff__roster_entry *list[HANDOFF__TOGETHER_MAX];
	uint32_t count, offered = 0;

	if (handoff__offer_entry_objection(pair, e) != HANDOFF__OK ||
		!all_are_quiet(pair, handoff__entry_leads(pair, e)))
		return 0;
	count = handoff__companions_undo(pair, e, list);
	for (uint32_t i = 0; i < count; i++) {
		if (refs)
			handoff__offer_ref(list[i], 0, &refs[i]);
		if (!handoff__offer_entry(pair, list[i], moved))
			break;
		offered++;
	}
	return offered;
}

uint32_t
handoff__offer_leave_together(struct handoff__pair *pair,
	struct handoff__roster_entry *first, enum handoff__reason reason)
{
	struct handoff__roster_entry *e = first;
	uint32_t count = 0;

	do {
		leave_behind(pair, e, reason);
		handoff__core_stay(pair, e);
		e = handoff__companions_next(pair, e);
		count++;
	} while (e != first);
	return count;
}

/* Offers a leader and its companions, or none of them. */
static void
offer_ring(struct handoff__pair *pair, struct handoff__roster_entry *leader,
	struct handoff__moved *moved)
{
	enum handoff__reason stay =
		handoff__offer_entry_objection(pair, leader);
	struct handoff__roster_entry *e = leader;
	/* a companion has come since they were asked: its copy follows */
	bool soon = stay == HANDOFF__UNANSWERED && leader->leaving;

	if (stay != HANDOFF__OK && !soon) {
		handoff__offer_leave_together(pair, leader, stay);
		return;
	}
	do {
		e->left = HANDOFF__OK;
		e->leaving = true;
		e = handoff__companions_next(pair, e);
		pair->give.waiting++;
	} while (e != leader);
	pair->give.waiting -=
		handoff__offer_together(pair, leader, moved, NULL);
}

static void
offer_one(struct handoff__pair *pair, struct handoff__roster_entry *e,
	struct handoff__moved *moved)
{
	enum handoff__reason stay = copy_objection(e);

	if (stay != HANDOFF__OK) {
		leave_behind(pair, e, stay);
		handoff__core_stay(pair, e);
	} else if (!handoff__offer_is_quiet(pair, e)) {
		e->leaving = true;
		pair->give.waiting++;
	} else {
		handoff__offer_entry(pair, e, moved);
	}
}

/* One of a ring, which moves when its leader comes up. */
static void
offer_bound(struct handoff__pair *pair, struct handoff__roster_entry *e,
	struct handoff__moved *moved)
{
	struct handoff__roster_entry *leader = handoff__entry_leads(pair, e);
	bool takes = give_takes(&pair->give, leader);

	if (!takes)
		e->left = HANDOFF__OK;
	else if (e == leader)
		offer_ring(pair, leader, moved);
}

void
handoff__offer_all(struct handoff__pair *pair, struct handoff__moved *moved)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->marks & HANDOFF__BOUND) {
			offer_bound(pair, e, moved);
			continue;
		}
		e->left = HANDOFF__OK;
		if (give_takes(&pair->give, e))
			offer_one(pair, e, moved);
	}
}
