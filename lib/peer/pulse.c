/* SPDX-License-Identifier: MIT */
/*
 * Whether the other peer is alive and keeps up. A silent peer is reported and
 * nothing else: only with `fence` is it killed, and only its death, seen by
 * the pidfd, lets the survivor serve. The timer only notes that a beat is due;
 * what else is looked after at a beat is beat.c's.
 */
#include "peer/pulse.h"

#include "peer/core.h"
#include "peer/fence.h"
#include "peer/partner.h"

#include <stdio.h>

#define TICKS         4 /* beats in the time after which silence means hung */
#define PERIOD_MIN_US 10000
#define PERIOD_MAX_US 1000000

/* Beats are as frequent as the more impatient of the two wants them. */
static int64_t
period_us(const struct handoff__peer *peer)
{
	uint32_t ms = peer->config.hang_timeout_ms;
	int64_t us;

	if (peer->other.hang_ms > 0 && peer->other.hang_ms < ms)
		ms = peer->other.hang_ms;
	us = (int64_t)ms * 1000 / TICKS;
	if (us > PERIOD_MAX_US)
		return PERIOD_MAX_US;
	return us > PERIOD_MIN_US ? us : PERIOD_MIN_US;
}

static void
tell_hung(struct handoff__peer *peer)
{
	char who[64], text[192];

	handoff__peer_partner_text(peer, who);
	if (peer->pulse.hung)
		snprintf(text, sizeof(text),
			"hung: %s has said nothing for %u ms", who,
			peer->config.hang_timeout_ms);
	else
		snprintf(text, sizeof(text), "hung: %s speaks again", who);
	peer->ops->hung(peer, text);
}

static void
tell_lagging(struct handoff__peer *peer)
{
	char who[64], text[192];

	handoff__peer_partner_text(peer, who);
	if (peer->pulse.lagging)
		snprintf(text, sizeof(text),
			"lagging: %s has no copy of %u entries", who,
			peer->roster.uncovered);
	else
		snprintf(text, sizeof(text), "lagging: %s has caught up", who);
	peer->ops->lagging(peer, text);
}

static void
check_silence(struct handoff__peer *peer, int64_t now)
{
	int64_t limit = (int64_t)peer->config.hang_timeout_ms * 1000;
	/* Closed is not silent: that is the pidfd's to tell. */
	bool hung = peer->link.fd >= 0 && now - peer->pulse.heard_us > limit;

	if (hung == peer->pulse.hung)
		return;
	peer->pulse.hung = hung;
	tell_hung(peer);
	if (hung)
		handoff__fence_kill(peer);
}

/* Entries without a copy, and nothing new confirmed for a whole beat. */
static void
check_lag(struct handoff__peer *peer)
{
	struct handoff__pulse *pulse = &peer->pulse;
	bool behind = peer->roster.uncovered > peer->roster.refused &&
		      peer->partner == HANDOFF__PARTNER_READY;
	bool lagging = behind &&
		       (pulse->lagging || (pulse->behind && !pulse->progress));

	pulse->behind = behind;
	pulse->progress = false;
	if (lagging == pulse->lagging)
		return;
	pulse->lagging = lagging;
	tell_lagging(peer);
}

/* How many of the refused copies to try at this beat: one, and more from beat
 * to beat while that succeeds. */
uint32_t
handoff__pulse_retries(struct handoff__peer *peer)
{
	struct handoff__pulse *pulse = &peer->pulse;
	uint32_t refused = peer->roster.refused;

	if (refused < pulse->refused && pulse->retry < HANDOFF_FDPASS_MAX)
		pulse->retry *= 2;
	else if (refused >= pulse->refused)
		pulse->retry = 1;
	pulse->refused = refused;
	return pulse->retry;
}

void
handoff__pulse_send(struct handoff__peer *peer)
{
	struct handoff__msg beat = {.type = HANDOFF__BEAT,
		.serving = peer->serving,
		.covered = peer->roster.owned - peer->roster.uncovered};

	handoff__link_try(&peer->link, &beat, NULL, 0);
}

/* What is on its way makes a beat differ; twice in a row it is more. */
bool
handoff__pulse_on_beat(
	struct handoff__peer *peer, const struct handoff__msg *msg)
{
	struct handoff__pulse *pulse = &peer->pulse;
	bool differs = peer->arena.count > 0 && !handoff__peer_moving(peer) &&
		       ((msg->serving != 0) == peer->serving ||
			       msg->covered != peer->roster.held);
	bool lost = differs && pulse->differs;

	pulse->differs = differs && !lost;
	return lost;
}

static void
on_beat(struct handoff__timer *timer)
{
	struct handoff__peer *peer = timer->arg;

	peer->pulse.due = peer->noted = true;
}

/* If this process itself did not run, it can't judge the other; and what the
 * other said meanwhile is still to be read. */
void
handoff__pulse_begin(struct handoff__peer *peer, int64_t now)
{
	struct handoff__pulse *pulse = &peer->pulse;

	pulse->due = false;
	if (now - pulse->beat_us > 2 * period_us(peer))
		pulse->heard_us = now;
	pulse->beat_us = now;
}

void
handoff__pulse_end(struct handoff__peer *peer, int64_t now)
{
	check_silence(peer, now);
	check_lag(peer);
	handoff__timer_arm(peer->loop, &peer->pulse.timer, period_us(peer));
}

void
handoff__pulse_start(struct handoff__peer *peer)
{
	struct handoff__pulse *pulse = &peer->pulse;

	pulse->heard_us = pulse->beat_us = handoff__now_us();
	pulse->hung = pulse->lagging = pulse->behind = pulse->differs = false;
	pulse->due = false;
	pulse->retry = 1;
	pulse->refused = 0;
	pulse->timer.fn = on_beat;
	pulse->timer.arg = peer;
	handoff__timer_arm(peer->loop, &pulse->timer, period_us(peer));
}

void
handoff__pulse_stop(struct handoff__peer *peer)
{
	handoff__timer_disarm(peer->loop, &peer->pulse.timer);
	peer->pulse.due = peer->pulse.hung = peer->pulse.lagging = false;
}
