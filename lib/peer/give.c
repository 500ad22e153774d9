/* SPDX-License-Identifier: MIT */
/*
 * The steps of a give. LOAD waits for a standby that is not ready to serve yet;
 * COVER waits until the standby has answered all MIRRORs
 * sent so far, which also shows that it responds; CLOSE stops new entries for
 * one last round trip; QUIET waits for a first entry that can move, or, if
 * everything moves or nothing, for all; then all entries are offered at once
 * and MOVE rings the doorbell; DRAIN waits for running handlers and for READY;
 * ACCEPT waits until what has followed is accepted. An offer that is not
 * accepted in time is revoked.
 *
 * Answers are only noted; handoff__give_proceed takes the next step after the
 * iteration. How an entry is offered is offer.c's, how it is copied is
 * mirror.c's.
 */
#include "peer/give.h"

#include "base/probe.h"
#include "peer/barrier.h"
#include "peer/core.h"
#include "peer/guard.h"
#include "peer/offer.h"

#include <string.h>

#define ROUNDS_MAX 8

/* Stops or resumes the creation of new entries. */
static void
pause_entries(struct handoff__pair *pair, bool paused)
{
	if (paused != pair->give.paused)
		pair->ops->pause(pair, paused);
	pair->give.paused = paused;
}

/* Ends a give, successful or not, and reports it to the other peer, which may
 * have asked for it. */
static void
finish_give(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;
	struct handoff__report *report = &give->report;

	handoff__timer_disarm(pair->loop, &pair->move.deadline);
	pause_entries(pair, false);
	give->step = HANDOFF__GIVE_NONE;
	pair->move.late = false;
	if (pair->link.fd >= 0) {
		struct handoff__msg msg = {.type = HANDOFF__GAVE,
			.reason = report->reason,
			.moved = report->moved,
			.listeners = report->listeners,
			.left = report->left,
			.took_us = report->took_us,
			.nrefs = report->nrefs};

		memcpy(msg.refs, report->refs,
			report->nrefs * sizeof(report->refs[0]));
		handoff__link_send(&pair->link, &msg, -1);
	}
	handoff__tally_handoff(pair, HANDOFF__WAY_OUT, report);
	pair->ops->given(pair, HANDOFF__WAY_OUT, report);
}

/* Refuses the give before anything has moved. */
static void
refuse_give(struct handoff__pair *pair, enum handoff__reason reason)
{
	handoff__barrier_lift(pair);
	pair->give.report.reason = reason;
	finish_give(pair);
}

/* The other peer serves what it was offered, since `at_us`. */
static void
taken(struct handoff__pair *pair, int64_t at_us)
{
	struct handoff__give *give = &pair->give;

	give->ready = true;
	handoff__offer_took_until(give, at_us);
	handoff__core_set_deadline(pair, pair->config.give_timeout_ms);
	if (give->cause != HANDOFF__REST)
		pair->ops->role(pair, give->cause);
}

/* READY has not come and may never come: revokes what was not accepted and
 * serves it here again. */
static void
take_offer_back(struct handoff__pair *pair, enum handoff__reason reason)
{
	struct handoff__moved back = {.connections = 0};
	struct handoff__give *give = &pair->give;
	struct handoff__roster_entry *e = NULL;

	if (give->cause != HANDOFF__REST &&
		!handoff__offer_revoke_service(pair)) {
		taken(pair, handoff__now_us());
		handoff__offer_confirm(pair);
		return;
	}
	handoff__offer_revoke(pair, reason, &back);
	give->follows = give->more = false;
	give->followed_us = 0;
	if (give->cause == HANDOFF__REST &&
		back.connections + back.listeners == 0) {
		taken(pair, handoff__now_us());
		return;
	}
	handoff__tally_unmoved(pair, &back, &give->report);
	handoff__offer_leave_waiting(pair, reason);
	while ((e = handoff__roster_next(&pair->roster, e)))
		handoff__core_stay(pair, e);
	give->waiting = 0;
	give->ready = true;
	give->report.reason = reason;
	if (give->report.moved + give->report.listeners == 0)
		give->report.id = 0;
}

/* Refuses the give, since there are entries that cannot move: names them. */
static void
refuse_with_names(struct handoff__pair *pair, enum handoff__reason reason)
{
	handoff__offer_name_all(pair);
	refuse_give(pair, reason);
	pair->ops->settle(pair);
}

/* A give that moves nothing would leave the service with a peer that has none
 * of it, and one that is to move everything begins when it can. True if it has
 * to wait, or was refused. */
static bool
must_wait(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;
	bool whole = give->whole, first = give->step != HANDOFF__GIVE_QUIET;
	struct handoff__asked asked;

	if (give->cause == HANDOFF__REST)
		return false;
	handoff__offer_ask(pair, whole, &asked);
	if (whole ? give->waiting == 0 && asked.stay == HANDOFF__OK
		  : asked.quiet > 0 || !asked.any)
		return false;
	if (asked.stay != HANDOFF__OK && asked.stay != HANDOFF__UNANSWERED &&
		(whole || give->waiting == 0)) {
		refuse_with_names(pair, asked.stay);
		return true;
	}
	give->step = HANDOFF__GIVE_QUIET;
	pause_entries(pair, whole);
	pair->ops->settle(pair);
	if (first)
		handoff__core_set_deadline(pair, pair->config.give_timeout_ms);
	return true;
}

/* Offers everything that may move and starts waiting for the other peer. */
static void
move_now(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;
	struct handoff__msg msg = {
		.cause = give->cause, .all = HANDOFF__MOVE_ALL};
	struct handoff__moved batch = {.connections = 0};
	enum handoff__reason stay = handoff__offer_objection(pair);

	give->recheck = false;
	if (stay != HANDOFF__OK) {
		refuse_give(pair, stay);
		return;
	}
	if (must_wait(pair))
		return;
	pause_entries(pair, false);
	give->step = HANDOFF__GIVE_DRAIN;
	give->waiting = give->backs = 0;
	give->untaken = false;
	give->report.id =
		handoff__pair_generation(pair) + (give->cause != HANDOFF__REST);
	HANDOFF__PROBE3(freeze, give->report.id, (uint32_t)give->cause,
		pair->roster.owned);
	give->started_us = handoff__now_us();
	handoff__offer_all(pair, &batch);
	handoff__tally_moved(pair, HANDOFF__WAY_OUT, &batch, &give->report);
	give->none_at_once = give->report.moved + give->report.listeners == 0;
	if (give->cause != HANDOFF__REST) {
		handoff__guard_let_go(pair);
		handoff__offer_service(pair);
	}
	handoff__offer_ring(pair, &msg);
	pair->ops->settle(pair);
	handoff__core_set_deadline(
		pair, pair->config.give_timeout_ms < HANDOFF__TAKEN_MS
			      ? pair->config.give_timeout_ms
			      : HANDOFF__TAKEN_MS);
}

/* All awaited answers are here. Repeats if new entries have come in spite of
 * the pause. */
static void
covered(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (give->rounds++ < ROUNDS_MAX) {
		handoff__barrier_await(pair);
		if (give->waiting > 0) {
			pause_entries(pair, true);
			give->step = HANDOFF__GIVE_CLOSE;
			return;
		}
	}
	move_now(pair);
}

/* Timeout before anything has moved: a standby that does not answer is given
 * nothing. */
static void
give_up_unanswered(struct handoff__pair *pair)
{
	handoff__barrier_await(pair);
	pair->give.report.left = pair->give.waiting;
	pair->give.report.left_by[HANDOFF__UNANSWERED] = pair->give.waiting;
	refuse_give(pair, HANDOFF__UNANSWERED);
}

/* moves.c goes on when the standby is ready. */
static bool
proceed_load(struct handoff__pair *pair)
{
	if (pair->other_leaving)
		refuse_give(pair, HANDOFF__LEAVING);
	else if (pair->move.late)
		refuse_give(pair, HANDOFF__UNREADY);
	else
		return false;
	return true;
}

static bool
proceed_cover(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (pair->other_leaving)
		refuse_give(pair, HANDOFF__LEAVING);
	else if (pair->move.late)
		give_up_unanswered(pair);
	else if (give->waiting == 0 && give->ping == 0)
		covered(pair);
	else
		return false;
	return true;
}

static bool
proceed_quiet(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (pair->other_leaving)
		refuse_give(pair, HANDOFF__LEAVING);
	else if (pair->move.late)
		refuse_with_names(pair, HANDOFF__HANDLER_BUSY);
	else if (!give->recheck || (give->whole && give->waiting > 0))
		return false;
	else
		move_now(pair);
	return true;
}

static bool
proceed_drain(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (!give->ready && pair->move.late) {
		take_offer_back(pair, HANDOFF__UNTAKEN);
		return true;
	}
	if (give->ready && pair->move.late)
		handoff__offer_leave_waiting(pair, HANDOFF__HANDLER_BUSY);
	else if (!give->ready || give->waiting > 0)
		return false;
	give->step = HANDOFF__GIVE_ACCEPT;
	handoff__core_set_deadline(pair, HANDOFF__TAKEN_MS);
	return true;
}

/* The outcome is told when it is certain. */
static bool
proceed_accept(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (give->follows && !pair->move.late)
		return false;
	if (give->followed_us != 0)
		handoff__offer_take_back(pair, HANDOFF__UNTAKEN);
	finish_give(pair);
	return true;
}

bool
handoff__give_proceed(struct handoff__pair *pair)
{
	switch (pair->give.step) {
	case HANDOFF__GIVE_NONE:
		return false;
	case HANDOFF__GIVE_LOAD:
		return proceed_load(pair);
	case HANDOFF__GIVE_COVER:
	case HANDOFF__GIVE_CLOSE:
		return proceed_cover(pair);
	case HANDOFF__GIVE_QUIET:
		return proceed_quiet(pair);
	case HANDOFF__GIVE_DRAIN:
		return proceed_drain(pair);
	case HANDOFF__GIVE_ACCEPT:
		return proceed_accept(pair);
	}
	return false;
}

void
handoff__give_begin(struct handoff__pair *pair, enum handoff__cause cause)
{
	struct handoff__give *give = &pair->give;

	/* what is still to follow an earlier give is part of this one */
	if (give->followed_us != 0)
		handoff__offer_take_back(pair, HANDOFF__UNTAKEN);
	memset(&give->report, 0, sizeof(give->report));
	give->cause = give->report.cause = cause;
	give->ready = give->recheck = false;
	give->rounds = 0;
	give->step = HANDOFF__GIVE_LOAD;
	pair->move.began_us = handoff__now_us();
}

/* Sent even if everything is covered: a standby that does not answer now is
 * given nothing. */
void
handoff__give_probe(struct handoff__pair *pair)
{
	struct handoff__msg ping = {.type = HANDOFF__MIRROR};

	pair->give.step = HANDOFF__GIVE_COVER;
	handoff__core_set_deadline(pair, pair->config.give_timeout_ms);
	pair->give.ping = ping.batch = ++pair->batch;
	handoff__link_send(&pair->link, &ping, -1);
	handoff__barrier_await(pair);
}

void
handoff__give_on_ready(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct handoff__give *give = &pair->give;

	/* ignore the answer to an offer that was revoked */
	if (give->step != HANDOFF__GIVE_DRAIN || give->ready ||
		msg->offer_us != give->started_us)
		return;
	/* the taker's own time, not the time of reading: CLOCK_MONOTONIC is the
	 * same for both (one host) */
	taken(pair, msg->at_us);
}

void
handoff__give_broken(struct handoff__pair *pair)
{
	struct handoff__give *give = &pair->give;

	if (give->step == HANDOFF__GIVE_NONE)
		return;
	if (give->step < HANDOFF__GIVE_DRAIN) {
		refuse_give(pair, HANDOFF__LEAVING);
		return;
	}
	if (!give->ready)
		take_offer_back(pair, HANDOFF__LEAVING);
	if (give->followed_us != 0)
		handoff__offer_take_back(pair, HANDOFF__LEAVING);
	if (give->step == HANDOFF__GIVE_DRAIN)
		handoff__offer_leave_waiting(pair, HANDOFF__LEAVING);
	finish_give(pair);
}
