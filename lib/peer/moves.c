/* SPDX-License-Identifier: MIT */
/*
 * Begins a move of ownership: a give or take that was requested here and found
 * possible, or a request of the other peer. The rest is give.c's and take.c's.
 */
#include "peer/moves.h"

#include "peer/core.h"
#include "peer/give.h"
#include "peer/guard.h"
#include "peer/idle.h"
#include "peer/mirror.h"
#include "peer/partner.h"
#include "peer/quiet.h"
#include "peer/take.h"

#include <errno.h>

/* Sends the copies that were refused before, then probes whether the standby
 * responds. */
static void
cover(struct handoff__pair *pair)
{
	if (pair->ops->giving)
		pair->ops->giving(pair);
	handoff__mirror_retry(pair, UINT32_MAX);
	handoff__give_probe(pair);
}

/* A standby that is not ready to serve gets nothing yet, but for what follows a
 * service that is there already. */
static bool
is_awaited(const struct handoff__pair *pair)
{
	return pair->other_loading[0] && pair->give.cause != HANDOFF__REST;
}

static void
begin_give(struct handoff__pair *pair, enum handoff__cause cause,
	const struct handoff__give_how *how)
{
	uint32_t wait_ms = how && how->wait_ms > 0
				   ? how->wait_ms
				   : pair->config.give_timeout_ms;
	char who[64];

	handoff__give_begin(pair, cause);
	/* a peer that stops gives what it can */
	pair->give.whole =
		(pair->config.whole && !pair->leaving) || (how && how->whole);
	if (!is_awaited(pair)) {
		cover(pair);
		return;
	}
	handoff__log(pair->log, HANDOFF_LOG_INFO,
		"handoff: waits up to %u ms for %s, which is not ready to "
		"serve yet: %s",
		wait_ms, handoff__pair_partner_text(pair, who),
		pair->other_loading);
	handoff__core_set_deadline(pair, wait_ms);
}

bool
handoff__moves_proceed(struct handoff__pair *pair)
{
	if (pair->give.step != HANDOFF__GIVE_LOAD || is_awaited(pair) ||
		pair->other_leaving)
		return false;
	cover(pair);
	return true;
}

static int
refuse_unleased(struct handoff__pair *pair)
{
	int err = handoff__idle_check(pair);

	if (err < 0)
		return err;
	return handoff__fail(&pair->error, -EAGAIN,
		"lease: %s: nothing is handed over meanwhile: see the status, "
		"and try again",
		handoff__reason_text(HANDOFF__NO_LEASE));
}

int
handoff__pair_give(struct handoff__pair *pair, enum handoff__cause cause)
{
	return handoff__pair_give_how(pair, cause, NULL);
}

int
handoff__pair_give_how(struct handoff__pair *pair, enum handoff__cause cause,
	const struct handoff__give_how *how)
{
	int err = handoff__partner_check(pair, true);
	char who[64];

	if (err == 0 && cause != HANDOFF__REST && !pair->serving)
		err = handoff__fail(&pair->error, -EPERM,
			"this peer does not serve: %s does",
			handoff__pair_partner_text(pair, who));
	/* it holds what a peer that stops gives it, until another one comes */
	if (err == 0 && cause != HANDOFF__REST && pair->other.carrier &&
		!pair->leaving)
		err = handoff__fail(&pair->error, -EPERM,
			"%s (pid %u) is a ferry and serves nothing: "
			"maintenance --to HOST moves the service to another "
			"host",
			pair->other.name, pair->other.pid);
	if (err == 0 && !handoff__pair_may_begin(pair))
		err = refuse_unleased(pair);
	if (err < 0) {
		handoff__tally_refused(&pair->tally, HANDOFF__WAY_OUT);
		return err;
	}
	begin_give(pair, cause, how);
	return 0;
}

int
handoff__pair_take(struct handoff__pair *pair, enum handoff__cause cause)
{
	int err = handoff__partner_check(pair, false);

	if (err == 0 && !handoff__pair_may_begin(pair))
		err = refuse_unleased(pair);
	if (err < 0) {
		handoff__tally_refused(&pair->tally, HANDOFF__WAY_IN);
		return err;
	}
	handoff__take_begin(pair, cause);
	return 0;
}

void
handoff__moves_on_take(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	enum handoff__cause cause = (enum handoff__cause)msg->cause;
	struct handoff__msg no = {.type = HANDOFF__GAVE};

	if (cause == HANDOFF__REST &&
		(pair->other.carrier ||
			(msg->nrefs > 0 && !pair->config.carrier))) {
		/* in a give all of it moves anyway, or it is asked for again */
		if (!handoff__pair_moving(pair))
			handoff__quiet_on_take(pair, msg);
		return;
	}
	if (cause != HANDOFF__HOME && cause != HANDOFF__HOME_SILENT &&
		(cause != HANDOFF__MAINTENANCE || !pair->other.carrier))
		no.reason = HANDOFF__GARBAGE;
	else if (handoff__pair_moving(pair))
		no.reason = HANDOFF__BUSY;
	else if (!pair->serving)
		no.reason = HANDOFF__NOT_OWNER;
	else if (!handoff__pair_may_begin(pair))
		no.reason = HANDOFF__NO_LEASE;
	else if (handoff__partner_older(pair) != HANDOFF__OK)
		no.reason = handoff__partner_older(pair);
	else if (pair->ops->asked)
		no.reason = pair->ops->asked(pair, cause);
	if (no.reason != HANDOFF__OK) {
		handoff__link_send(&pair->link, &no, -1);
		return;
	}
	begin_give(pair, cause, NULL);
}

void
handoff__pair_hurry(struct handoff__pair *pair)
{
	const struct handoff__timer *deadline = &pair->move.deadline;

	pair->move.hurried = true;
	if (deadline->armed && deadline->deadline_us - handoff__now_us() >
				       HANDOFF__HURRY_MS * INT64_C(1000))
		handoff__core_set_deadline(pair, HANDOFF__HURRY_MS);
}
