/* SPDX-License-Identifier: MIT */
/*
 * Moving ownership, the side that gives. The owner word of each record is the
 * commit point and the only one: whatever happens to either peer between two
 * of them, every entry has one owner, and what the dead peer owned its
 * survivor takes.
 *
 * A give: COVER waits until the standby has answered for all that was
 * mirrored at its beginning and so is known to respond; CLOSE stops new
 * entries for the last round trip; then all entries are offered at once, MOVE
 * rings the other's bell, and DRAIN waits for handlers that run and for the
 * other to say READY. An offer that is not taken in time is taken back, word
 * by word: one compare-and-swap decides which peer has it.
 *
 * Answers are noted; handoff__give_proceed takes the next step after the turn.
 */
#include "peer/peer.h"

#include "base/probe.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 8
/* An offer is taken within a turn of the other's loop, or that is stopped. */
#define TAKEN_MS 2000u

static bool
give_takes(const struct handoff__give *give, const struct handoff__entry *e)
{
	return e->mine &&
	       (give->cause != HANDOFF__HOME || e->kind != HANDOFF__CONNECTION);
}

static void
ref_of(const struct handoff__entry *e, uint32_t arg, struct handoff__ref *ref)
{
	*ref = (struct handoff__ref){.id = e->id,
		.segment = e->segment,
		.slot = e->slot,
		.arg = arg};
}

static void
leave_behind(struct handoff__peer *peer, const struct handoff__entry *e,
	enum handoff__reason reason)
{
	struct handoff__report *report = &peer->give.report;

	report->left++;
	handoff__tally_left(peer, reason);
	if (report->nrefs < HANDOFF_FDPASS_MAX)
		ref_of(e, reason, &report->refs[report->nrefs++]);
}

/* The commit point of one entry: from here on it is not served here. */
static bool
offer(struct handoff__peer *peer, struct handoff__entry *e,
	struct handoff__batch *batch)
{
	struct handoff__load load;

	handoff__load_of(e, &load); /* while it is ours */
	if (!handoff__owner_offer(&e->view.rec->owner, (uint32_t)peer->slot,
		    handoff__peer_other_slot(peer)))
		return false;
	HANDOFF__PROBE2(give, e->id, peer->give.report.id);
	handoff__batch_add(batch, e, &load);
	handoff__roster_swap(&peer->roster, e);
	e->leaving = false;
	if (peer->config.trace)
		handoff__tally_trace(
			peer, e, "given to", peer->give.report.id, &load);
	peer->ops->moved(peer, e);
	return true;
}

/* Takes back what was offered and not taken; `back` counts it. */
static void
revoke_all(struct handoff__peer *peer, struct handoff__batch *back)
{
	struct handoff__entry *e = NULL;
	struct handoff__load load;

	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (e->mine || !handoff__owner_revoke(&e->view.rec->owner,
				       (uint32_t)peer->slot,
				       handoff__peer_other_slot(peer)))
			continue;
		handoff__load_of(e, &load);
		handoff__batch_add(back, e, &load);
		handoff__roster_swap(&peer->roster, e);
		peer->ops->moved(peer, e);
	}
	peer->ops->settle(peer);
}

static void
ring(struct handoff__peer *peer, struct handoff__msg *msg)
{
	msg->type = HANDOFF__MOVE;
	msg->generation = handoff__peer_generation(peer);
	msg->at_us = peer->give.started_us;
	handoff__link_send(&peer->link, msg, -1);
}

static void
took_until(struct handoff__give *give, int64_t us)
{
	uint32_t took_us = (uint32_t)(us - give->started_us);

	if (took_us > give->report.took_us)
		give->report.took_us = took_us;
}

static void
set_deadline(struct handoff__peer *peer, uint32_t ms)
{
	peer->give.late = false;
	handoff__timer_arm(
		peer->loop, &peer->give.deadline, (int64_t)ms * 1000);
}

/* The end of a give, good or bad; the other is told, which may have asked. */
static void
finish(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;
	struct handoff__report *report = &give->report;

	handoff__timer_disarm(peer->loop, &give->deadline);
	if (give->step == HANDOFF__GIVE_CLOSE)
		peer->ops->pause(peer, false);
	give->step = HANDOFF__GIVE_NONE;
	give->late = false;
	if (peer->link.fd >= 0) {
		struct handoff__msg msg = {.type = HANDOFF__GAVE,
			.reason = report->reason,
			.moved = report->moved,
			.listeners = report->listeners,
			.left = report->left,
			.took_us = report->took_us,
			.nrefs = report->nrefs};

		memcpy(msg.refs, report->refs,
			report->nrefs * sizeof(report->refs[0]));
		handoff__link_send(&peer->link, &msg, -1);
	}
	handoff__tally_handoff(peer, HANDOFF__WAY_OUT, report);
	peer->ops->given(peer, report);
}

/* Nothing has moved, and nothing will. */
static void
refuse(struct handoff__peer *peer, enum handoff__reason reason)
{
	handoff__barrier_lift(peer);
	peer->give.report.reason = reason;
	finish(peer);
}

/* The other peer is to serve from here on; before the bell rings. Service is
 * away from home until it is back with the peer that it left first. */
static void
offer_service(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);
	bool away = peer->give.cause == HANDOFF__MAINTENANCE;

	peer->give.away_before = atomic_load(&board->away);
	if (away && peer->give.away_before)
		away = !handoff__peer_is_home(peer);
	else if (away)
		handoff__peer_set_home(board, peer->name, peer->instance);
	atomic_store(&board->away, away);
	atomic_store(&board->cause, (uint32_t)peer->give.cause);
	handoff__owner_offer(&board->owner, (uint32_t)peer->slot,
		handoff__peer_other_slot(peer));
	atomic_fetch_add(&board->generation, 1);
	peer->serving = false;
}

/* False if the other has taken it. */
static bool
revoke_service(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	if (!handoff__owner_revoke(&board->owner, (uint32_t)peer->slot,
		    handoff__peer_other_slot(peer)))
		return false;
	atomic_store(&board->away, peer->give.away_before);
	peer->serving = true;
	return true;
}

/* The other serves what it was offered, since `at_us`. */
static void
taken(struct handoff__peer *peer, int64_t at_us)
{
	struct handoff__give *give = &peer->give;

	give->ready = true;
	took_until(give, at_us);
	set_deadline(peer, peer->config.give_timeout_ms);
	if (give->cause != HANDOFF__REST)
		peer->ops->role(peer, give->cause);
}

/* The other has not said READY, and perhaps never will: what it has not taken
 * is served here again. */
static void
take_back(struct handoff__peer *peer, enum handoff__reason reason)
{
	struct handoff__batch back = {.connections = 0};
	struct handoff__give *give = &peer->give;
	struct handoff__entry *e = NULL;

	if (give->cause != HANDOFF__REST && !revoke_service(peer)) {
		taken(peer, handoff__now_us());
		return;
	}
	revoke_all(peer, &back);
	if (give->cause == HANDOFF__REST &&
		back.connections + back.listeners == 0) {
		taken(peer, handoff__now_us());
		return;
	}
	handoff__tally_unmoved(peer, &back, &give->report);
	while ((e = handoff__roster_next(&peer->roster, e)))
		e->leaving = false;
	give->waiting = 0;
	give->ready = true;
	give->report.reason = reason;
	give->report.left += back.connections + back.listeners;
	peer->tally.left[reason] += back.connections + back.listeners;
	if (give->report.moved + give->report.listeners == 0)
		give->report.id = 0;
}

/* What waits for a handler stays, and is named. */
static void
leave_waiting(struct handoff__peer *peer, enum handoff__reason reason)
{
	struct handoff__entry *e = NULL;

	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (e->leaving)
			leave_behind(peer, e, reason);
	}
}

/* A service whose listeners all stay would be served by two. */
static enum handoff__reason
listeners_stay(struct handoff__peer *peer)
{
	enum handoff__reason reason = HANDOFF__OK;
	struct handoff__entry *e = NULL;

	if (peer->give.cause == HANDOFF__REST)
		return HANDOFF__OK;
	while ((e = handoff__roster_next(&peer->roster, e))) {
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
offer_one(struct handoff__peer *peer, struct handoff__entry *e,
	struct handoff__batch *batch)
{
	if (e->copy == HANDOFF__COPY_REFUSED) {
		leave_behind(peer, e, (enum handoff__reason)e->refusal);
	} else if (e->copy != HANDOFF__COPY_HELD) {
		leave_behind(peer, e, HANDOFF__UNANSWERED);
	} else if (!peer->ops->quiesce(peer, e)) {
		e->leaving = true;
		peer->give.waiting++;
	} else {
		offer(peer, e, batch);
	}
}

/* Offers everything that may move. */
static void
offer_all(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;
	struct handoff__msg msg = {.cause = give->cause, .all = 1};
	struct handoff__batch batch = {.connections = 0};
	enum handoff__reason stay = listeners_stay(peer);
	struct handoff__entry *e = NULL;

	if (stay != HANDOFF__OK) {
		refuse(peer, stay);
		return;
	}
	if (give->step == HANDOFF__GIVE_CLOSE)
		peer->ops->pause(peer, false);
	give->step = HANDOFF__GIVE_DRAIN;
	give->waiting = 0;
	give->report.id =
		handoff__peer_generation(peer) + (give->cause != HANDOFF__REST);
	HANDOFF__PROBE3(freeze, give->report.id, (uint32_t)give->cause,
		peer->roster.owned);
	give->started_us = handoff__now_us();
	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (give_takes(give, e))
			offer_one(peer, e, &batch);
	}
	handoff__tally_moved(peer, HANDOFF__WAY_OUT, &batch, &give->report);
	give->asked = give->report.moved + give->report.listeners == 0;
	if (give->cause != HANDOFF__REST)
		offer_service(peer);
	ring(peer, &msg);
	peer->ops->settle(peer);
	set_deadline(peer, peer->config.give_timeout_ms < TAKEN_MS
				   ? peer->config.give_timeout_ms
				   : TAKEN_MS);
}

/* All that was asked is answered. More than once only where new entries come
 * in spite of the pause. */
static void
covered(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;

	if (give->rounds++ < ROUNDS_MAX) {
		handoff__barrier_await(peer);
		if (give->waiting > 0) {
			if (give->step == HANDOFF__GIVE_COVER)
				peer->ops->pause(peer, true);
			give->step = HANDOFF__GIVE_CLOSE;
			return;
		}
	}
	offer_all(peer);
}

/* Time is up, and nothing has moved: a standby that does not answer is no
 * place to move to. */
static void
give_up(struct handoff__peer *peer)
{
	handoff__barrier_await(peer);
	peer->give.report.left = peer->give.waiting;
	refuse(peer, HANDOFF__UNANSWERED);
}

static bool
proceed_cover(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;

	if (peer->other_leaving)
		refuse(peer, HANDOFF__LEAVING);
	else if (give->late)
		give_up(peer);
	else if (give->waiting == 0 && give->probe == 0)
		covered(peer);
	else
		return false;
	return true;
}

static bool
proceed_drain(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;

	if (!give->ready && give->late) {
		take_back(peer, HANDOFF__UNTAKEN);
		return true;
	}
	if (give->ready && give->late)
		leave_waiting(peer, HANDOFF__HANDLER_BUSY);
	else if (!give->ready || give->waiting > 0)
		return false;
	finish(peer);
	return true;
}

bool
handoff__give_proceed(struct handoff__peer *peer)
{
	if (peer->taking && peer->give.late) {
		handoff__take_late(peer);
		return true;
	}
	switch (peer->give.step) {
	case HANDOFF__GIVE_NONE:
		return false;
	case HANDOFF__GIVE_COVER:
	case HANDOFF__GIVE_CLOSE:
		return proceed_cover(peer);
	case HANDOFF__GIVE_DRAIN:
		return proceed_drain(peer);
	}
	return false;
}

void
handoff__peer_quiet_all(struct handoff__peer *peer,
	struct handoff__entry **list, uint32_t count)
{
	struct handoff__msg msg = {.cause = HANDOFF__REST};
	struct handoff__batch batch = {.connections = 0};
	bool waited = peer->give.step == HANDOFF__GIVE_DRAIN;

	for (uint32_t i = 0; i < count && handoff__link_up(&peer->link); i++) {
		struct handoff__entry *e = list[i];

		if (!e->leaving)
			continue;
		e->leaving = false;
		ref_of(e, 0, &msg.refs[msg.nrefs]);
		msg.nrefs += offer(peer, e, &batch);
	}
	if (msg.nrefs == 0)
		return;
	handoff__tally_moved(
		peer, HANDOFF__WAY_OUT, &batch, &peer->give.report);
	ring(peer, &msg);
	peer->ops->settle(peer);
	peer->give.strays_us = handoff__now_us();
	if (!waited)
		return;
	if (peer->give.asked)
		took_until(&peer->give, handoff__now_us());
	peer->give.waiting -= msg.nrefs;
	peer->noted = true;
}

void
handoff__peer_quiet(struct handoff__peer *peer, struct handoff__entry *e)
{
	handoff__peer_quiet_all(peer, &e, 1);
}

/* What followed one by one has no READY of its own: it is looked after later.
 */
void
handoff__give_strays(struct handoff__peer *peer, int64_t now)
{
	struct handoff__batch back = {.connections = 0};

	if (peer->give.strays_us == 0 || handoff__peer_moving(peer) ||
		now - peer->give.strays_us < (int64_t)TAKEN_MS * 1000)
		return;
	peer->give.strays_us = 0;
	revoke_all(peer, &back);
	handoff__tally_unmoved(peer, &back, &peer->give.report);
	if (back.connections + back.listeners > 0)
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"handoff: %u that followed later not taken in time, "
			"and served here again",
			back.connections + back.listeners);
}

static void
on_deadline(struct handoff__timer *timer)
{
	struct handoff__peer *peer = timer->arg;

	peer->give.late = true;
}

void
handoff__give_init(struct handoff__peer *peer)
{
	peer->give.deadline.fn = on_deadline;
	peer->give.deadline.arg = peer;
}

void
handoff__peer_hurry(struct handoff__peer *peer)
{
	if (peer->give.step != HANDOFF__GIVE_NONE || peer->taking)
		set_deadline(peer, 0);
	peer->noted = true;
}

static void
begin(struct handoff__peer *peer, enum handoff__cause cause)
{
	struct handoff__give *give = &peer->give;
	struct handoff__msg probe = {.type = HANDOFF__MIRROR};

	memset(&give->report, 0, sizeof(give->report));
	give->cause = give->report.cause = cause;
	give->ready = false;
	give->rounds = 0;
	give->step = HANDOFF__GIVE_COVER;
	if (peer->ops->giving)
		peer->ops->giving(peer);
	set_deadline(peer, peer->config.give_timeout_ms);
	handoff__mirror_retry(peer, UINT32_MAX);
	/* Even if all is covered: a standby that does not answer now gets
	 * nothing. */
	give->probe = probe.batch = ++peer->batch;
	handoff__link_send(&peer->link, &probe, -1);
	handoff__barrier_await(peer);
}

int
handoff__peer_give(struct handoff__peer *peer, enum handoff__cause cause)
{
	int err = handoff__partner_check(peer, true);
	char who[64];

	if (err == 0 && cause != HANDOFF__REST && !peer->serving)
		err = handoff__fail(&peer->error, -EPERM,
			"this peer does not serve: %s does",
			handoff__peer_partner_text(peer, who));
	if (err < 0) {
		handoff__tally_refused(&peer->tally, HANDOFF__WAY_OUT);
		return err;
	}
	begin(peer, cause);
	return 0;
}

void
handoff__give_on_take(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__msg no = {.type = HANDOFF__GAVE};

	if (msg->cause != HANDOFF__HOME && msg->cause != HANDOFF__HOME_SILENT)
		no.reason = HANDOFF__GARBAGE;
	else if (handoff__peer_moving(peer))
		no.reason = HANDOFF__BUSY;
	else if (!peer->serving)
		no.reason = HANDOFF__NOT_OWNER;
	else if (handoff__partner_older(peer))
		no.reason = HANDOFF__BAD_STATE_VERSION;
	if (no.reason != HANDOFF__OK) {
		handoff__link_send(&peer->link, &no, -1);
		return;
	}
	begin(peer, (enum handoff__cause)msg->cause);
}

void
handoff__give_on_ready(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__give *give = &peer->give;

	/* Not an answer to an offer that was taken back. */
	if (give->step != HANDOFF__GIVE_DRAIN || give->ready ||
		msg->offer_us != give->started_us)
		return;
	/* Not when we read it: the other's clock is ours (one host). */
	taken(peer, msg->at_us);
}

/* The link broke: what the other has taken it keeps, the rest stays. */
void
handoff__give_broken(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;

	if (give->step == HANDOFF__GIVE_NONE)
		return;
	if (give->step != HANDOFF__GIVE_DRAIN) {
		refuse(peer, HANDOFF__LEAVING);
		return;
	}
	if (!give->ready)
		take_back(peer, HANDOFF__LEAVING);
	leave_waiting(peer, HANDOFF__LEAVING);
	finish(peer);
}
