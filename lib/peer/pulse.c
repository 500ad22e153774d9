/* SPDX-License-Identifier: MIT */
/*
 * Whether the other peer is alive and keeps up. A silent peer is reported and
 * nothing else: only with `fence` is it killed, and only its death, seen by
 * the pidfd, lets the survivor serve.
 */
#include "peer/peer.h"

#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>

#define TICKS 4 /* beats in the time after which silence means hung */

static int64_t
period_us(const struct handoff__peer *peer)
{
	return (int64_t)peer->config.hang_timeout_ms * 1000 / TICKS;
}

static void
fence(struct handoff__peer *peer)
{
	char who[64];

	if (!peer->config.fence || peer->pidfd < 0)
		return;
	handoff__log(peer->log, HANDOFF_LOG_WARNING,
		"fence: killing %s, which hangs",
		handoff__peer_partner_text(peer, who));
	pidfd_send_signal(peer->pidfd, SIGKILL, NULL, 0);
}

static void
tell_hung(struct handoff__peer *peer)
{
	char who[64], text[192];

	handoff__peer_partner_text(peer, who);
	if (peer->pulse.hung)
		snprintf(text, sizeof(text),
			"hung: %s has said nothing for %u ms%s", who,
			peer->config.hang_timeout_ms,
			peer->config.fence ? "; it is killed" : "");
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
	bool hung = now - peer->pulse.heard_us > limit;

	if (hung == peer->pulse.hung)
		return;
	peer->pulse.hung = hung;
	tell_hung(peer);
	if (hung)
		fence(peer);
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

static void
on_beat(struct handoff__timer *timer)
{
	struct handoff__peer *peer = timer->arg;
	struct handoff__msg beat = {.type = HANDOFF__BEAT};
	int64_t now = handoff__now_us();

	/* If this process itself did not run, it can't judge the other; and
	 * what the other said meanwhile is still to be read. */
	if (now - peer->pulse.beat_us > 2 * period_us(peer))
		peer->pulse.heard_us = now;
	peer->pulse.beat_us = now;
	handoff__link_read(&peer->link);
	if (peer->partner == HANDOFF__PARTNER_NONE)
		return;
	if (peer->link.fd >= 0)
		handoff__link_try(&peer->link, &beat, NULL, 0);
	handoff__mirror_retry(peer, true);
	check_silence(peer, now);
	check_lag(peer);
	handoff__timer_arm(peer->loop, timer, period_us(peer));
}

void
handoff__pulse_start(struct handoff__peer *peer)
{
	struct handoff__pulse *pulse = &peer->pulse;

	pulse->heard_us = pulse->beat_us = handoff__now_us();
	pulse->hung = pulse->lagging = pulse->behind = false;
	pulse->timer.fn = on_beat;
	pulse->timer.arg = peer;
	handoff__timer_arm(peer->loop, &pulse->timer, period_us(peer));
}

void
handoff__pulse_stop(struct handoff__peer *peer)
{
	handoff__timer_disarm(peer->loop, &peer->pulse.timer);
	peer->pulse.hung = peer->pulse.lagging = false;
}
