/* SPDX-License-Identifier: MIT */
/*
 * After a move: packets still come here, until all neighbours know better. They
 * are forwarded by the gate, which has nothing to do any more when a while has
 * passed without one.
 */
#include "ferry/drain.h"

#define DRAIN_US 250000
#define QUIET_MS 1000 /* without a packet: nobody sends here any more */

static void
wake(struct handoff__timer *timer)
{
	struct handoff__ferry *ferry = timer->arg;

	ferry->due = true;
}

static void
look_again(struct handoff__ferry *ferry)
{
	struct handoff__mover *mover = &ferry->mover;

	mover->again.fn = wake;
	mover->again.arg = ferry;
	if (!mover->again.armed)
		handoff__timer_arm(&ferry->loop, &mover->again, DRAIN_US);
}

void
handoff__drain_begin(struct handoff__ferry *ferry)
{
	struct handoff__mover *mover = &ferry->mover;

	mover->draining = true;
	mover->rounds = 0;
	mover->since_us = handoff__now_us();
	look_again(ferry);
}

void
handoff__drain_proceed(struct handoff__ferry *ferry)
{
	struct handoff__mover *mover = &ferry->mover;
	int64_t now = handoff__now_us();

	if (!mover->draining || now - mover->since_us < DRAIN_US)
		return;
	mover->since_us = now;
	if (ferry->gate_answered == ferry->gate_asked &&
		ferry->gate_counts.since_flip_ms >= QUIET_MS &&
		mover->rounds++ > QUIET_MS * 1000 / DRAIN_US) {
		mover->draining = false;
		handoff__gate_rule(ferry->gate, false);
		handoff__gate_unsettle(ferry->gate);
		handoff__gate_seek(ferry->gate, false);
		handoff__gate_default(ferry->gate, HANDOFF__GATE_PASS);
		return;
	}
	if (handoff__gate_count(ferry->gate) == 0)
		ferry->gate_asked++;
	look_again(ferry);
}
