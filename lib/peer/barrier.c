/* SPDX-License-Identifier: MIT */
/*
 * What a give waits for: answers to what was mirrored, to its probe, and
 * handlers that run. Counts it down, and notes that a step may be due; decides
 * nothing.
 */
#include "peer/barrier.h"

#include "peer/core.h"

static bool
unanswered(const struct handoff__entry *e)
{
	return e->mine &&
	       (e->copy == HANDOFF__COPY_NONE || e->copy == HANDOFF__COPY_SENT);
}

/* Marks what has no answer yet and counts it. */
void
handoff__barrier_await(struct handoff__peer *peer)
{
	struct handoff__entry *e = NULL;

	peer->give.waiting = 0;
	while ((e = handoff__roster_next(&peer->roster, e))) {
		e->barrier = unanswered(e);
		peer->give.waiting += e->barrier;
	}
}

void
handoff__barrier_answered(struct handoff__peer *peer, struct handoff__entry *e)
{
	if (e->barrier)
		peer->give.waiting--;
	e->barrier = false;
}

void
handoff__barrier_probed(struct handoff__peer *peer, uint32_t batch)
{
	if (batch == peer->give.probe)
		peer->give.probe = 0;
}

void
handoff__barrier_ended(struct handoff__peer *peer, bool barrier, bool leaving)
{
	if (barrier || (leaving && peer->give.step == HANDOFF__GIVE_DRAIN))
		peer->give.waiting--;
	peer->noted = true;
}

/* Nothing is waited for any more. */
void
handoff__barrier_lift(struct handoff__peer *peer)
{
	struct handoff__entry *e = NULL;

	while ((e = handoff__roster_next(&peer->roster, e)))
		e->barrier = e->leaving = false;
}
