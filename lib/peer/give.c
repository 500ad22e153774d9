/* SPDX-License-Identifier: MIT */
/*
 * Moving ownership. The owner word of each record is the commit point and the
 * only one: whatever happens to either peer between two of them, every entry
 * has one owner, and what the dead peer owned its survivor takes. So nothing
 * here is ever rolled back.
 *
 * A give: COVER waits until the standby has answered for all that was
 * mirrored at its beginning and so is known to respond; CLOSE stops new
 * entries for the last round trip; then all owner words move at once, MOVE
 * rings the other's bell, and DRAIN waits for handlers that run and for the
 * other to say READY.
 */
#include "peer/peer.h"

#include "base/probe.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 8

static bool
give_takes(const struct handoff__give *give, const struct handoff__entry *e)
{
	return e->mine &&
	       (give->cause != HANDOFF__HOME || e->kind != HANDOFF__CONNECTION);
}

static bool
unanswered(const struct handoff__entry *e)
{
	return e->mine &&
	       (e->copy == HANDOFF__COPY_NONE || e->copy == HANDOFF__COPY_SENT);
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

/* The commit point of one entry. */
static bool
move_word(struct handoff__peer *peer, struct handoff__entry *e,
	struct handoff__batch *batch)
{
	uint32_t own = (uint32_t)peer->slot;
	struct handoff__load load;

	handoff__load_of(e, &load); /* while it is ours */
	if (!atomic_compare_exchange_strong(
		    &e->view.rec->owner, &own, handoff__peer_other_slot(peer)))
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

static void
ring(struct handoff__peer *peer, struct handoff__msg *msg)
{
	msg->type = HANDOFF__MOVE;
	msg->generation = handoff__peer_generation(peer);
	msg->at_us = peer->give.started_us;
	if (handoff__link_send(&peer->link, msg, -1) < 0)
		handoff__peer_cut(peer, "it does not read its link");
}

static void
took_until(struct handoff__give *give, int64_t us)
{
	uint32_t took_us = (uint32_t)(us - give->started_us);

	if (took_us > give->report.took_us)
		give->report.took_us = took_us;
}

/* The end of a give, good or bad; the other is told, who may have asked. */
static void
finish(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;
	struct handoff__report *report = &give->report;

	handoff__timer_disarm(peer->loop, &give->deadline);
	if (give->step == HANDOFF__GIVE_CLOSE)
		peer->ops->pause(peer, false);
	if (give->step == HANDOFF__GIVE_DRAIN && !give->ready)
		took_until(give, handoff__now_us());
	give->step = HANDOFF__GIVE_NONE;
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

static void
maybe_finish(struct handoff__peer *peer)
{
	if (peer->give.step == HANDOFF__GIVE_DRAIN && peer->give.ready &&
		peer->give.waiting == 0)
		finish(peer);
}

/* The other peer serves from here on; before the bell rings. */
static void
change_role(struct handoff__peer *peer)
{
	struct handoff__board *board = handoff__arena_board(&peer->arena);

	atomic_store(&board->away, peer->give.cause == HANDOFF__MAINTENANCE);
	atomic_store(&board->owner, handoff__peer_other_slot(peer));
	atomic_fetch_add(&board->generation, 1);
	peer->serving = false;
}

/* Moves every owner word that may move. */
static void
move_all(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;
	struct handoff__msg msg = {.cause = give->cause, .all = 1};
	struct handoff__batch batch = {.connections = 0};
	struct handoff__entry *e = NULL;

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
		if (!give_takes(give, e))
			continue;
		if (e->copy == HANDOFF__COPY_REFUSED) {
			leave_behind(peer, e, (enum handoff__reason)e->refusal);
		} else if (e->copy != HANDOFF__COPY_HELD) {
			leave_behind(peer, e, HANDOFF__UNANSWERED);
		} else if (!peer->ops->quiesce(peer, e)) {
			e->leaving = true;
			give->waiting++;
		} else {
			move_word(peer, e, &batch);
		}
	}
	handoff__tally_moved(peer, HANDOFF__WAY_OUT, &batch, &give->report);
	give->asked = give->report.moved + give->report.listeners == 0;
	if (give->cause != HANDOFF__REST)
		change_role(peer);
	ring(peer, &msg);
	peer->ops->settle(peer);
	if (give->cause != HANDOFF__REST)
		peer->ops->role(peer, give->cause);
}

/* Marks what has no answer yet and counts it. */
static void
await_answers(struct handoff__peer *peer)
{
	struct handoff__entry *e = NULL;

	peer->give.waiting = 0;
	while ((e = handoff__roster_next(&peer->roster, e))) {
		e->barrier = unanswered(e);
		peer->give.waiting += e->barrier;
	}
}

static void
advance(struct handoff__peer *peer)
{
	struct handoff__give *give = &peer->give;

	if (give->step == HANDOFF__GIVE_NONE || give->waiting > 0 ||
		give->probe != 0)
		return;
	/* More than once only where new entries come in spite of the pause. */
	if (give->step != HANDOFF__GIVE_DRAIN && give->rounds++ < ROUNDS_MAX) {
		await_answers(peer);
		if (give->waiting > 0) {
			if (give->step == HANDOFF__GIVE_COVER)
				peer->ops->pause(peer, true);
			give->step = HANDOFF__GIVE_CLOSE;
			return;
		}
	}
	if (give->step != HANDOFF__GIVE_DRAIN)
		move_all(peer);
}

/* One answer less to wait for. */
static void
lift_barrier(struct handoff__peer *peer, struct handoff__entry *e)
{
	if (!e->barrier)
		return;
	e->barrier = false;
	peer->give.waiting--;
	advance(peer);
}

void
handoff__give_answered(struct handoff__peer *peer, struct handoff__entry *e)
{
	lift_barrier(peer, e);
}

void
handoff__give_probed(struct handoff__peer *peer, uint32_t batch)
{
	if (peer->give.probe == 0 || batch != peer->give.probe)
		return;
	peer->give.probe = 0;
	advance(peer);
}

void
handoff__give_ended(struct handoff__peer *peer, bool barrier, bool leaving)
{
	if (barrier) {
		peer->give.waiting--;
		advance(peer);
	} else if (leaving && peer->give.step == HANDOFF__GIVE_DRAIN) {
		peer->give.waiting--;
		maybe_finish(peer);
	}
}

void
handoff__peer_quiet_all(struct handoff__peer *peer,
	struct handoff__entry **list, uint32_t count)
{
	struct handoff__msg msg = {.cause = HANDOFF__REST};
	struct handoff__batch batch = {.connections = 0};
	bool waited = peer->give.step == HANDOFF__GIVE_DRAIN;

	for (uint32_t i = 0; i < count && peer->link.fd >= 0; i++) {
		struct handoff__entry *e = list[i];

		if (!e->leaving)
			continue;
		e->leaving = false;
		ref_of(e, 0, &msg.refs[msg.nrefs]);
		msg.nrefs += move_word(peer, e, &batch);
	}
	if (msg.nrefs == 0)
		return;
	handoff__tally_moved(
		peer, HANDOFF__WAY_OUT, &batch, &peer->give.report);
	ring(peer, &msg);
	peer->ops->settle(peer);
	if (waited && peer->give.step == HANDOFF__GIVE_DRAIN) {
		if (peer->give.asked)
			took_until(&peer->give, handoff__now_us());
		peer->give.waiting -= msg.nrefs;
		maybe_finish(peer);
	}
}

void
handoff__peer_quiet(struct handoff__peer *peer, struct handoff__entry *e)
{
	handoff__peer_quiet_all(peer, &e, 1);
}

static void
end_take(struct handoff__peer *peer, const struct handoff__report *report)
{
	peer->taking = false;
	handoff__timer_disarm(peer->loop, &peer->give.deadline);
	handoff__tally_handoff(peer, HANDOFF__WAY_IN, report);
	peer->ops->given(peer, report);
}

/* Time is up: what has not answered stays, by name. */
static void
on_deadline(struct handoff__timer *timer)
{
	struct handoff__peer *peer = timer->arg;
	struct handoff__give *give = &peer->give;
	struct handoff__entry *e = NULL;

	if (peer->taking) {
		end_take(peer, &(struct handoff__report){
				       .reason = HANDOFF__UNANSWERED});
		return;
	}
	if (give->step == HANDOFF__GIVE_COVER ||
		give->step == HANDOFF__GIVE_CLOSE) {
		/* Nothing has moved and nothing will: a standby that does
		 * not answer is no place to move to. */
		give->report.reason = HANDOFF__UNANSWERED;
		await_answers(peer);
		while ((e = handoff__roster_next(&peer->roster, e)))
			e->barrier = false;
		give->report.left = give->waiting;
		finish(peer);
		return;
	}
	while ((e = handoff__roster_next(&peer->roster, e))) {
		if (e->leaving)
			leave_behind(peer, e, HANDOFF__HANDLER_BUSY);
	}
	finish(peer);
}

void
handoff__give_init(struct handoff__peer *peer)
{
	peer->give.deadline.fn = on_deadline;
	peer->give.deadline.arg = peer;
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
	handoff__timer_arm(peer->loop, &give->deadline,
		(int64_t)peer->config.give_timeout_ms * 1000);
	handoff__mirror_retry(peer, false);
	/* Even if all is covered: who does not answer now gets nothing. */
	give->probe = probe.batch = ++peer->batch;
	if (handoff__link_send(&peer->link, &probe, -1) < 0)
		handoff__peer_cut(peer, "it does not read its link");
	await_answers(peer);
}

static int
check_partner(struct handoff__peer *peer, bool give)
{
	char who[64];

	if (handoff__peer_moving(peer))
		return handoff__fail(&peer->error, -EBUSY,
			"a handoff with %s is under way: wait for its end",
			handoff__peer_partner_text(peer, who));
	if (peer->pulse.hung)
		return handoff__fail(&peer->error, -ENOTCONN,
			"%s has said nothing for %u ms: it hangs or is stopped",
			handoff__peer_partner_text(peer, who),
			peer->config.hang_timeout_ms);
	if (peer->partner == HANDOFF__PARTNER_READY && give &&
		handoff__peer_older(peer))
		return handoff__fail(&peer->error, -EPERM,
			"%s has states of version %u and cannot take those of "
			"version %u: stop it and start the new program instead",
			handoff__peer_partner_text(peer, who),
			peer->other.state_version,
			peer->config.service->state_version);
	if (peer->partner == HANDOFF__PARTNER_READY)
		return 0;
	if (peer->refusal[0])
		return handoff__fail(&peer->error, -ENOTCONN,
			"no standby is attached; the last that tried was "
			"refused: %s",
			peer->refusal);
	return handoff__fail(&peer->error, -ENOTCONN,
		"no standby is attached: start one on %s first",
		peer->dir.path);
}

int
handoff__peer_give(struct handoff__peer *peer, enum handoff__cause cause)
{
	int err = check_partner(peer, true);
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

int
handoff__peer_take(struct handoff__peer *peer, enum handoff__cause cause)
{
	struct handoff__msg msg = {.type = HANDOFF__TAKE, .cause = cause};
	int err = check_partner(peer, false);

	if (err == 0) {
		err = handoff__link_send(&peer->link, &msg, -1);
		if (err < 0)
			handoff__fail(&peer->error, err,
				"link: cannot ask for the connections: %s",
				strerror(-err));
	}
	if (err < 0) {
		handoff__tally_refused(&peer->tally, HANDOFF__WAY_IN);
		return err;
	}
	peer->taking = true;
	/* The other waits for its handlers first. If it answers later than
	 * this, what it moves is still served here. */
	handoff__timer_arm(peer->loop, &peer->give.deadline,
		(int64_t)peer->config.give_timeout_ms * 2000);
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
	else if (handoff__peer_older(peer))
		no.reason = HANDOFF__BAD_STATE_VERSION;
	if (no.reason != HANDOFF__OK) {
		handoff__link_send(&peer->link, &no, -1);
		return;
	}
	begin(peer, (enum handoff__cause)msg->cause);
}

/* The taker's side: serves what carries its name. */
static void
accept_entry(struct handoff__peer *peer, struct handoff__entry *e, uint64_t id,
	struct handoff__batch *batch)
{
	struct handoff__entry *new;
	struct handoff__load load;

	if (!e || e->mine ||
		atomic_load(&e->view.rec->owner) != (uint32_t)peer->slot)
		return;
	handoff__load_of(e, &load);
	handoff__batch_add(batch, e, &load);
	if (peer->config.trace)
		handoff__tally_trace(peer, e, "taken from", id, &load);
	new = handoff__peer_convert(peer, e);
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

void
handoff__give_on_move(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__msg ready = {.type = HANDOFF__READY};
	struct handoff__batch batch = {.connections = 0};
	struct handoff__entry *e = NULL;

	if (msg->all) {
		peer->receiving = true;
		peer->incoming = (struct handoff__report){.id = msg->generation,
			.cause = (enum handoff__cause)msg->cause};
	}
	while (msg->all && (e = handoff__roster_next(&peer->roster, e))) {
		/* What was still to follow the service away stays now. */
		e->leaving = e->leaving && msg->cause == HANDOFF__REST;
		accept_entry(peer, e, msg->generation, &batch);
	}
	for (uint32_t i = 0; i < msg->nrefs; i++)
		accept_entry(peer,
			handoff__roster_find(&peer->roster,
				msg->refs[i].segment, msg->refs[i].slot,
				msg->refs[i].id),
			msg->generation, &batch);
	handoff__tally_moved(peer, HANDOFF__WAY_IN, &batch, &peer->incoming);
	if (msg->cause != HANDOFF__REST)
		peer->serving = true;
	peer->ops->settle(peer);
	ready.at_us = handoff__now_us();
	if (msg->all) {
		peer->incoming.took_us = (uint32_t)(ready.at_us - msg->at_us);
		HANDOFF__PROBE4(serve, peer->incoming.id, msg->cause,
			peer->incoming.moved, peer->incoming.took_us);
		handoff__link_send(&peer->link, &ready, -1);
	}
	if (msg->cause != HANDOFF__REST)
		peer->ops->role(peer, (enum handoff__cause)msg->cause);
}

void
handoff__give_on_ready(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__give *give = &peer->give;

	if (give->step != HANDOFF__GIVE_DRAIN || give->ready)
		return;
	give->ready = true;
	/* Not when we read it: the other's clock is ours (one host). */
	took_until(give, msg->at_us);
	maybe_finish(peer);
}

void
handoff__give_on_gave(
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

/* The link broke: what has moved has moved, the rest stays. */
void
handoff__give_broken(struct handoff__peer *peer)
{
	struct handoff__report *incoming = &peer->incoming;
	struct handoff__entry *e = NULL;
	bool receiving = peer->receiving;

	while ((e = handoff__roster_next(&peer->roster, e)))
		e->barrier = e->leaving = false;
	peer->receiving = false;
	if (!receiving)
		memset(incoming, 0, sizeof(*incoming));
	incoming->reason = HANDOFF__LEAVING;
	if (peer->taking)
		end_take(peer, incoming);
	else if (receiving)
		handoff__tally_handoff(peer, HANDOFF__WAY_IN, incoming);
	if (peer->give.step == HANDOFF__GIVE_NONE)
		return;
	peer->give.report.reason = HANDOFF__LEAVING;
	finish(peer);
}
