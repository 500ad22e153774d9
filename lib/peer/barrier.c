/* SPDX-License-Identifier: MIT */
/*
 * What a give waits for: answers to MIRRORs, to its ping, and running handlers.
 * Counts down and notes that a step may be due; decides nothing.
 */
#include "peer/barrier.h"

#include "peer/core.h"

static bool
unanswered(const struct handoff__roster_entry *e)
{
	return e->mine &&
	       (e->copy == HANDOFF__COPY_NONE || e->copy == HANDOFF__COPY_SENT);
}

void
handoff__barrier_await(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;

	pair->give.waiting = 0;
	while ((e = handoff__roster_next(&pair->roster, e))) {
		e->barrier = unanswered(e);
		pair->give.waiting += e->barrier;
	}
}

void
handoff__barrier_answered(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	if (e->barrier)
		pair->give.waiting--;
	e->barrier = false;
	if (e->leaving)
		pair->give.recheck = pair->noted = true;
}

void
handoff__barrier_ping_answered(struct handoff__pair *pair, uint32_t batch)
{
	if (batch == pair->give.ping)
		pair->give.ping = 0;
	if (batch == pair->give.asked) {
		pair->give.asked = 0;
		pair->noted = true;
	}
}

bool
handoff__barrier_waits(
	const struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	if (pair->give.step == HANDOFF__GIVE_QUIET)
		return e->leaving && e->marks & HANDOFF__ASKED;
	return e->barrier ||
	       (e->leaving && pair->give.step == HANDOFF__GIVE_DRAIN);
}

void
handoff__barrier_ended(struct handoff__pair *pair, bool waited)
{
	pair->give.waiting -= waited;
	pair->give.recheck |= pair->give.step == HANDOFF__GIVE_QUIET;
	pair->noted = true;
}

void
handoff__barrier_lift(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		e->barrier = false;
		handoff__core_stay(pair, e);
	}
}
