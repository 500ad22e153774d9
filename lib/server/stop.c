/* SPDX-License-Identifier: MIT */
/*
 * An orderly stop. Entries that can be handed over are; the rest send their
 * output and are closed. STOPPED is the last event: after it this process
 * reports, takes and serves nothing. It does not begin while entries are in
 * doubt that end with this process.
 */
#include "server/internal.h"

#include "peer/doubt.h"

#include <errno.h>
#include <stdio.h>

#define HURRY_US (HANDOFF__HURRY_MS * INT64_C(1000))

/* Tries to hand over. True if a give has begun or is in progress. */
static bool
stop_give(struct handoff_server *server)
{
	struct handoff__pair *pair = &server->pair;

	if (handoff__pair_moving(pair))
		return true;
	if (server->gave || server->hurried ||
		!handoff__closing_standby(server) || pair->roster.owned == 0)
		return false;
	server->gave = true;
	return handoff__pair_give(pair, pair->serving ? HANDOFF__MAINTENANCE
						      : HANDOFF__REST) >= 0;
}

/* The standby has not taken what this peer still has, and is to take it over
 * from its end: that may be never. */
static void
warn_of_passing(struct handoff_server *server, uint32_t passing,
	struct handoff__buf *body)
{
	struct handoff__pair *pair = &server->pair;
	char who[64], text[HANDOFF_TEXT_MAX];

	if (!handoff__closing_survived(server) ||
		(!pair->serving && passing == 0))
		return;
	snprintf(text, sizeof(text), "%s%u connection%s pass%s to %s, which %s",
		pair->serving ? "the service and " : "", passing,
		handoff__plural(passing),
		passing == 1 && !pair->serving ? "es" : "",
		handoff__pair_partner_text(pair, who),
		pair->pulse.hung ? "does not answer"
				 : "has not taken over yet");
	handoff__log(&server->log, HANDOFF_LOG_WARNING, "stop: %s", text);
	handoff__buf_add(body, "%s\n", text);
}

static void
finish_stop(struct handoff_server *server)
{
	uint32_t left = handoff__closing_left(server);
	uint32_t closed = server->closed + left;
	const struct handoff__facts facts = {
		.closed = closed,
		.moved = server->op.stop_moved,
		.passing = server->pair.roster.connections - left,
	};
	struct handoff__buf body = {0};
	char text[96] = "stopped";

	handoff__timer_disarm(&server->loop, &server->stop_deadline);
	handoff__timer_disarm(&server->loop, &server->addresses.retry);
	handoff__notices_finish(server);
	handoff__closing_reset(server);
	if (closed > 0)
		snprintf(text, sizeof(text), "stopped: %u connection%s closed",
			closed, closed == 1 ? " was" : "s were");
	handoff__operator_emit_with(
		&server->op, HANDOFF_SERVER_STOPPED, &facts, "%s", text);
	server->op.ended = true;
	handoff__buf_add(&body, "%s\n", text);
	warn_of_passing(server, facts.passing, &body);
	handoff__operator_held(&server->op, &server->log, &body);
	handoff__pair_retire(&server->pair);
	if (server->alone && server->pair.serving)
		handoff__notices_warn(server, &body);
	handoff__operator_stopped(&server->op, &body);
}

/* No peer is there to take over: notifies clients, and stops accepting. */
static void
close_service(struct handoff_server *server)
{
	if (server->alone || handoff__closing_survived(server))
		return;
	server->alone = true;
	if (server->pair.serving) {
		handoff__notices_publish(server, HANDOFF_NOTICE_GOODBYE);
		handoff__listen_close(server);
	}
	handoff__server_close_all(server);
}

static void
begin_closing(struct handoff_server *server)
{
	if (server->closing)
		return;
	server->closing = true;
	handoff__timer_arm(&server->loop, &server->stop_deadline,
		server->hurried ? HURRY_US
				: (int64_t)server->opts.stop_timeout_ms * 1000);
	handoff__server_close_all(server);
}

/* Whether the stop's time is up. */
static bool
is_late(const struct handoff_server *server)
{
	return server->closing && !server->stop_deadline.armed;
}

/* Another host gets the lease at once, and tells clients of that: GOODBYE comes
 * first. */
static bool
release_lease(struct handoff_server *server)
{
	if (handoff__pair_leased(&server->pair))
		handoff__notices_finish(server);
	return handoff__pair_release(&server->pair);
}

void
handoff__stop_proceed(struct handoff_server *server)
{
	struct handoff__pair *pair = &server->pair;

	if (!server->op.stopping || server->op.ended)
		return;
	/* after a broken link the handoff is retried over the next one */
	if (handoff__pair_rejoining(pair) && !is_late(server))
		server->gave = false;
	if (stop_give(server))
		return;
	begin_closing(server);
	close_service(server);
	if (pair->roster.connections == 0 && server->alone &&
		!is_late(server) && !release_lease(server))
		return;
	if (pair->roster.connections == 0 || is_late(server) ||
		(handoff__closing_standby(server) &&
			handoff__closing_uncovered(server) == 0))
		finish_stop(server);
}

void
handoff__stop_on_deadline(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	uint32_t left;

	/* a handoff in progress has a deadline of its own */
	if (server->op.ended || handoff__pair_moving(&server->pair))
		return;
	left = handoff__closing_left(server);
	if (left > 0)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"stop: %u connection%s did not end in time", left,
			handoff__plural(left));
	finish_stop(server);
}

/* Requested again: begins nothing more, and limits what is in progress. */
static void
hurry(struct handoff_server *server)
{
	server->hurried = true;
	handoff__log(&server->log, HANDOFF_LOG_WARNING,
		"stop: requested again: waits at most %d ms more",
		HANDOFF__HURRY_MS);
	handoff__pair_hurry(&server->pair);
	if (server->closing)
		handoff__timer_arm(
			&server->loop, &server->stop_deadline, HURRY_US);
}

/* What a ferry that died has left undecided would be lost, and one that joins
 * finds no place beside a peer that is stopping. */
static bool
waits_for_ferry(struct handoff_server *server)
{
	char why[HANDOFF_TEXT_MAX];

	if (handoff__pair_doubt(&server->pair, why) == 0)
		return false;
	if (!server->stop_waits)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"stop: waits: %s", why);
	server->stop_waits = server->due = true;
	return true;
}

void
handoff__stop_awaited(struct handoff_server *server)
{
	if (waits_for_ferry(server))
		return;
	server->stop_waits = false;
	handoff_server_stop(server);
}

int
handoff_server_stop(struct handoff_server *server)
{
	if (!server)
		return -EINVAL;
	if (handoff__within(server))
		return -EDEADLK;
	if (server->op.stopping) {
		if (!server->op.ended && !server->hurried)
			hurry(server);
		return 0;
	}
	if (waits_for_ferry(server))
		return 0;
	server->op.stopping = server->due = true;
	handoff__operator_emit(
		&server->op, HANDOFF_SERVER_STOPPING, "stopping");
	handoff__pair_leave(&server->pair);
	handoff__stop_proceed(server);
	/* an outer loop is only woken by descriptors: a timer is one */
	if (server->nkicks > 0 || server->publishing)
		handoff__timer_arm(&server->loop, &server->sweep, 0);
	return 0;
}

void
handoff__stop_now(struct handoff_server *server, const char *why)
{
	if (server->op.ended)
		return;
	handoff__log(&server->log, HANDOFF_LOG_ERROR, "stop: %s", why);
	server->op.stopping = server->due = true;
	finish_stop(server);
}
