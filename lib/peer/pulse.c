/* SPDX-License-Identifier: MIT */
/*
 * Whether the other peer is alive and keeps up. A silent peer is only reported;
 * it is killed only with `fence`, and only its death, detected by the pidfd,
 * lets the survivor serve. The timer only notes that a beat is due; the other
 * work of a beat is beat.c's.
 */
#include "peer/pulse.h"

#include "peer/core.h"
#include "peer/fence.h"
#include "peer/partner.h"

#include <stdio.h>

#define TICKS         4 /* beats until silence means a hang */
#define PERIOD_MIN_US 10000
#define PERIOD_MAX_US 1000000

/* Beats follow the shorter of the two peers' hang timeouts. */
static int64_t
period_us(const struct handoff__pair *pair)
{
	uint32_t ms = pair->config.hang_timeout_ms;
	int64_t us;

	if (pair->other.hang_ms > 0 && pair->other.hang_ms < ms)
		ms = pair->other.hang_ms;
	us = (int64_t)ms * 1000 / TICKS;
	if (us > PERIOD_MAX_US)
		return PERIOD_MAX_US;
	return us > PERIOD_MIN_US ? us : PERIOD_MIN_US;
}

static void
report_hung(struct handoff__pair *pair)
{
	char who[64], text[192];

	handoff__pair_partner_text(pair, who);
	if (pair->pulse.hung)
		snprintf(text, sizeof(text),
			"hung: %s has been silent for %u ms", who,
			pair->config.hang_timeout_ms);
	else
		snprintf(text, sizeof(text), "hung: %s responds again", who);
	pair->ops->hung(pair, text);
}

static void
report_lagging(struct handoff__pair *pair)
{
	char who[64], text[192];

	handoff__pair_partner_text(pair, who);
	if (pair->pulse.lagging)
		snprintf(text, sizeof(text),
			"lagging: %s has no copy of %u entr%s", who,
			pair->roster.uncovered,
			pair->roster.uncovered == 1 ? "y" : "ies");
	else
		snprintf(text, sizeof(text), "lagging: %s has caught up", who);
	pair->ops->lagging(pair, text);
}

static void
check_silence(struct handoff__pair *pair, int64_t now)
{
	int64_t limit = (int64_t)pair->config.hang_timeout_ms * 1000;
	/* a closed link is not silence: the pidfd decides */
	bool hung = pair->link.fd >= 0 && now - pair->pulse.received_us > limit;

	if (hung == pair->pulse.hung)
		return;
	pair->pulse.hung = hung;
	report_hung(pair);
	if (hung)
		handoff__fence_kill(pair);
}

/* Lagging: entries without a copy, and none confirmed for a whole beat. */
static void
check_lag(struct handoff__pair *pair)
{
	struct handoff__pulse *pulse = &pair->pulse;
	bool behind = pair->roster.uncovered > pair->roster.refused &&
		      pair->partner == HANDOFF__PARTNER_READY;
	bool lagging = behind &&
		       (pulse->lagging || (pulse->behind && !pulse->progress));

	pulse->behind = behind;
	pulse->progress = false;
	if (lagging == pulse->lagging)
		return;
	pulse->lagging = lagging;
	report_lagging(pair);
}

/* The number of refused copies to retry at this beat: one, doubled from beat to
 * beat while that succeeds. */
uint32_t
handoff__pulse_retries(struct handoff__pair *pair)
{
	struct handoff__pulse *pulse = &pair->pulse;
	uint32_t refused = pair->roster.refused;

	if (refused < pulse->refused && pulse->retry < HANDOFF_FDPASS_MAX)
		pulse->retry *= 2;
	else if (refused >= pulse->refused)
		pulse->retry = 1;
	pulse->refused = refused;
	return pulse->retry;
}

void
handoff__pulse_send(struct handoff__pair *pair)
{
	struct handoff__msg beat = {.type = HANDOFF__BEAT,
		.serving = pair->serving,
		.covered = pair->roster.owned - pair->roster.uncovered};

	handoff__link_try(&pair->link, &beat, NULL, 0);
}

/* Messages in flight make one beat differ; two in a row mean a loss. */
bool
handoff__pulse_on_beat(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct handoff__pulse *pulse = &pair->pulse;
	bool differs = pair->arena.count > 0 && !handoff__pair_changing(pair) &&
		       ((msg->serving != 0) == pair->serving ||
			       msg->covered != pair->roster.held);
	bool lost = differs && pulse->differs;

	pulse->differs = differs && !lost;
	return lost;
}

static void
on_beat(struct handoff__timer *timer)
{
	struct handoff__pair *pair = timer->arg;

	pair->pulse.due = pair->noted = true;
}

/* If this process itself did not run, it cannot judge the other peer, whose
 * messages may still be unread. */
void
handoff__pulse_begin(struct handoff__pair *pair, int64_t now)
{
	struct handoff__pulse *pulse = &pair->pulse;

	pulse->due = false;
	if (now - pulse->beat_us > 2 * period_us(pair))
		pulse->received_us = now;
	pulse->beat_us = now;
}

void
handoff__pulse_end(struct handoff__pair *pair, int64_t now)
{
	check_silence(pair, now);
	check_lag(pair);
	handoff__timer_arm(pair->loop, &pair->pulse.timer, period_us(pair));
}

void
handoff__pulse_start(struct handoff__pair *pair)
{
	struct handoff__pulse *pulse = &pair->pulse;

	pulse->received_us = pulse->beat_us = handoff__now_us();
	pulse->hung = pulse->lagging = pulse->behind = pulse->differs = false;
	pulse->due = false;
	pulse->retry = 1;
	pulse->refused = 0;
	pulse->timer.fn = on_beat;
	pulse->timer.arg = pair;
	handoff__timer_arm(pair->loop, &pulse->timer, period_us(pair));
}

void
handoff__pulse_stop(struct handoff__pair *pair)
{
	handoff__timer_disarm(pair->loop, &pair->pulse.timer);
	pair->pulse.due = pair->pulse.hung = pair->pulse.lagging = false;
}
