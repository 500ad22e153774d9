/* SPDX-License-Identifier: MIT */
/*
 * Entries that follow a give one by one, as their handlers return; a leader and
 * its companions when all of them are quiet. They have no READY of their own:
 * an empty MIRROR after them is answered when they were accepted. If it is not,
 * they are revoked after a while, nothing more is offered, and they follow once
 * the other peer answers again.
 */
#include "peer/quiet.h"

#include "peer/companions.h"
#include "peer/core.h"
#include "peer/offer.h"

#include <string.h>

/* Offers that share a message. */
struct quiet_batch {
	struct handoff__msg msg;
	struct handoff__moved moved;
	bool tried; /* entries were asked, which begins a batch of changes */
	uint32_t offered; /* in all messages */
};

/* Rings for what was offered, and counts it. */
static void
ring_batch(struct handoff__pair *pair, struct quiet_batch *batch)
{
	if (batch->msg.nrefs == 0) {
		if (batch->tried)
			pair->ops->settle(pair);
		return;
	}
	handoff__tally_moved(
		pair, HANDOFF__WAY_OUT, &batch->moved, &pair->give.report);
	handoff__offer_ring(pair, &batch->msg);
	pair->ops->settle(pair);
	batch->offered += batch->msg.nrefs;
	/* a list has an answer of its own */
	if (batch->msg.all == HANDOFF__MOVE_NAMED)
		handoff__offer_confirm(pair);
	else
		pair->give.followed_us = handoff__now_us();
	if (pair->give.step == HANDOFF__GIVE_DRAIN) {
		if (pair->give.none_at_once)
			handoff__offer_took_until(
				&pair->give, handoff__now_us());
		pair->give.waiting -= batch->msg.nrefs;
		pair->noted = true;
	}
	batch->msg.nrefs = 0;
	memset(&batch->moved, 0, sizeof(batch->moved));
}

/* What was offered has come back, and the other peer is still silent. A give
 * that begins finds out by itself. */
static bool
is_silent(const struct handoff__pair *pair)
{
	enum handoff__give_step step = pair->give.step;

	return pair->give.untaken && pair->give.asked != 0 &&
	       (step == HANDOFF__GIVE_NONE || step >= HANDOFF__GIVE_DRAIN);
}

/* With all that move together with it. */
static void
leave(struct handoff__pair *pair, struct handoff__roster_entry *e,
	enum handoff__reason reason)
{
	uint32_t left = handoff__offer_leave_together(pair, e, reason);

	if (pair->give.step == HANDOFF__GIVE_DRAIN)
		pair->give.waiting -= left;
	pair->noted = true;
}

/* Offers a quiet entry, if all that move together with it are quiet too. */
static void
offer_quiet(struct handoff__pair *pair, struct handoff__roster_entry *e,
	struct quiet_batch *batch)
{
	struct handoff__msg *msg = &batch->msg;
	uint32_t most = e->marks & HANDOFF__BOUND ? HANDOFF__TOGETHER_MAX : 1;

	if (is_silent(pair)) {
		leave(pair, e, HANDOFF__UNTAKEN);
		return;
	}
	if (msg->nrefs + most > HANDOFF_FDPASS_MAX)
		ring_batch(pair, batch);
	batch->tried = true;
	if (e->marks & HANDOFF__BOUND) {
		msg->nrefs += handoff__offer_together(
			pair, e, &batch->moved, &msg->refs[msg->nrefs]);
		return;
	}
	e->leaving = false;
	handoff__offer_ref(e, 0, &msg->refs[msg->nrefs]);
	msg->nrefs += handoff__offer_entry(pair, e, &batch->moved);
}

/* A give that has offered nothing yet waits for these: give.c looks again. */
static void
park_all(struct handoff__pair *pair, struct handoff__roster_entry **list,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct handoff__roster_entry *e = list[i];

		if (!e->leaving)
			continue;
		pair->give.waiting -= (e->marks & HANDOFF__ASKED) != 0;
		handoff__roster_unmark(&pair->roster, e, HANDOFF__ASKED);
		e->marks |= HANDOFF__PARKED;
	}
	pair->give.recheck = pair->noted = true;
}

/* They are asked again after the outcome, in which they are left behind. */
static void
put_off(struct handoff__pair *pair, struct handoff__roster_entry **list,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		handoff__roster_unmark(&pair->roster, list[i], HANDOFF__ASKED);
	pair->give.recheck = true;
}

void
handoff__pair_quiet_all(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t count)
{
	struct quiet_batch batch = {.msg = {.cause = HANDOFF__REST}};

	if (pair->give.step == HANDOFF__GIVE_QUIET) {
		park_all(pair, list, count);
		return;
	}
	if (pair->give.step == HANDOFF__GIVE_ACCEPT) {
		put_off(pair, list, count);
		return;
	}
	for (uint32_t i = 0; i < count && handoff__link_up(&pair->link); i++) {
		struct handoff__roster_entry *e = list[i];

		if (!e->leaving)
			continue;
		handoff__roster_unmark(&pair->roster, e, HANDOFF__ASKED);
		if (e->marks & HANDOFF__BOUND && !is_silent(pair))
			e->marks |= HANDOFF__PARKED;
		offer_quiet(pair, e, &batch);
	}
	ring_batch(pair, &batch);
}

void
handoff__pair_quiet(struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	handoff__pair_quiet_all(pair, &e, 1);
}

/* What is quiet in the meantime is looked at again. */
static bool
may_follow(struct handoff__pair *pair)
{
	enum handoff__give_step step = pair->give.step;

	pair->give.recheck |= step == HANDOFF__GIVE_ACCEPT;
	return handoff__link_up(&pair->link) && step != HANDOFF__GIVE_QUIET &&
	       step != HANDOFF__GIVE_ACCEPT;
}

void
handoff__quiet_again(
	struct handoff__pair *pair, struct handoff__roster_entry *first)
{
	struct quiet_batch batch = {
		.msg = {.cause = HANDOFF__REST}, .tried = true};

	if (!first->leaving || !may_follow(pair))
		return;
	if (handoff__offer_is_quiet(pair, first))
		offer_quiet(pair, first, &batch);
	ring_batch(pair, &batch);
}

/* Marks the entry and those that move together with it. */
static void
mark_leaving(struct handoff__pair *pair, struct handoff__roster_entry *first)
{
	struct handoff__roster_entry *e = first;

	do {
		e->leaving = true;
		e = handoff__companions_next(pair, e);
	} while (e != first);
}

/* Offers it if it is quiet; otherwise it follows when it is. */
static void
offer_or_ask(struct handoff__pair *pair, struct handoff__roster_entry *e,
	struct quiet_batch *batch)
{
	if (!e || !e->mine || e->leaving ||
		handoff__offer_entry_objection(pair, e) != HANDOFF__OK)
		return;
	batch->tried = true;
	mark_leaving(pair, e);
	if (handoff__offer_is_quiet(pair, e))
		offer_quiet(pair, e, batch);
}

uint32_t
handoff__quiet_offer(struct handoff__pair *pair,
	struct handoff__roster_entry **list, uint32_t count)
{
	struct quiet_batch batch = {
		.msg = {.cause = HANDOFF__REST, .all = HANDOFF__MOVE_ANSWER}};

	if (!handoff__link_up(&pair->link))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		offer_or_ask(pair, list[i], &batch);
	ring_batch(pair, &batch);
	return batch.offered;
}

/* What was asked for stays, as far as it has not moved. */
static void
stay_all(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->leaving)
			handoff__core_stay(pair, e);
	}
	pair->ops->settle(pair);
}

void
handoff__quiet_on_take(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct quiet_batch batch = {.msg = {.cause = HANDOFF__REST}};

	if (msg->nrefs == 0) {
		stay_all(pair);
		return;
	}
	for (uint32_t i = 0; i < msg->nrefs; i++) {
		struct handoff__roster_entry *e = handoff__roster_find(
			&pair->roster, msg->refs[i].segment, msg->refs[i].slot,
			msg->refs[i].id);

		/* listeners go with the service */
		if (pair->other.carrier ||
			(e && e->kind == HANDOFF__CONNECTION))
			offer_or_ask(pair, e, &batch);
	}
	ring_batch(pair, &batch);
}

void
handoff__quiet_joined(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	if (!handoff__entry_leads(pair, e)->leaving)
		return;
	e->leaving = true;
	handoff__offer_is_quiet(pair, e);
	if (pair->give.step == HANDOFF__GIVE_DRAIN ||
		(pair->give.step == HANDOFF__GIVE_QUIET &&
			e->marks & HANDOFF__ASKED))
		pair->give.waiting++;
	pair->ops->settle(pair);
}

static void
look_again(struct handoff__pair *pair, struct handoff__roster_entry *e,
	struct quiet_batch *batch)
{
	enum handoff__reason stay = handoff__offer_entry_objection(pair, e);

	batch->tried = true;
	if (stay != HANDOFF__OK && stay != HANDOFF__UNANSWERED)
		leave(pair, e, stay);
	else if (stay == HANDOFF__OK &&
		 (e->marks & HANDOFF__BOUND ||
			 handoff__offer_is_quiet(pair, e)))
		offer_quiet(pair, e, batch);
}

bool
handoff__quiet_recheck(struct handoff__pair *pair)
{
	struct quiet_batch batch = {.msg = {.cause = HANDOFF__REST}};
	struct handoff__roster_entry *e = NULL;

	if (!pair->give.recheck || !may_follow(pair))
		return false;
	pair->give.recheck = false;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		/* companions with their leader */
		if (e->leaving && (e->marks & HANDOFF__LEADS ||
					  !(e->marks & HANDOFF__BOUND)))
			look_again(pair, e, &batch);
	}
	ring_batch(pair, &batch);
	return true;
}

bool
handoff__quiet_confirmed(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (!give->follows || give->asked != 0)
		return false;
	if (give->more) {
		give->follows = false;
		handoff__offer_confirm(pair);
		return true;
	}
	give->follows = false;
	give->backs = 0;
	/* all is there, but for what is not wanted */
	if (pair->roster.owned == 0 && give->step == HANDOFF__GIVE_NONE)
		handoff__offer_take_back(pair, HANDOFF__UNTAKEN);
	return true;
}

void
handoff__quiet_broken(struct handoff__pair *pair)
{
	pair->give.asked = pair->give.follows ? UINT32_MAX : 0;
}

/* A give in progress has the offers that were there before READY. */
static bool
may_revoke(const struct handoff__pair *pair)
{
	if (pair->give.step < HANDOFF__GIVE_DRAIN)
		return !handoff__pair_changing(pair);
	return pair->give.ready;
}

void
handoff__quiet_revoke_late(struct handoff__pair *pair, int64_t now)
{
	uint32_t back;

	if (pair->give.followed_us == 0 || !may_revoke(pair) ||
		now - pair->give.followed_us <
			(int64_t)HANDOFF__TAKEN_MS * 1000)
		return;
	back = handoff__offer_take_back(pair, HANDOFF__UNTAKEN);
	if (back > 0)
		handoff__log(pair->log, HANDOFF_LOG_WARNING,
			"handoff: entries that followed later, were not "
			"accepted in time and are served here again: %u",
			back);
}

/* Whether there is something to offer again, and the other peer has answered.
 * A carrier asks by itself for what it wants. */
static bool
may_retry(const struct handoff__pair *pair, int64_t now)
{
	return pair->give.untaken && pair->give.asked == 0 &&
	       now >= pair->give.again_us && !pair->serving &&
	       !pair->config.carrier && !pair->other.carrier &&
	       !pair->leaving && !pair->other_leaving &&
	       pair->partner == HANDOFF__PARTNER_READY &&
	       !handoff__pair_moving(pair) && handoff__link_up(&pair->link);
}

void
handoff__quiet_retry(struct handoff__pair *pair, int64_t now)
{
	struct quiet_batch batch = {.msg = {.cause = HANDOFF__REST}};
	struct handoff__roster_entry *e = NULL;

	if (!may_retry(pair, now))
		return;
	pair->give.untaken = false;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!e->mine || e->left != HANDOFF__UNTAKEN)
			continue;
		/* after a new link its copy may still be on its way */
		if (handoff__offer_entry_objection(pair, e) ==
			HANDOFF__UNANSWERED)
			pair->give.untaken = true;
		offer_or_ask(pair, e, &batch);
	}
	ring_batch(pair, &batch);
}
