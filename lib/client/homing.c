/* SPDX-License-Identifier: MIT */
/*
 * Reacts to notices, and moves home: make before break, at a quiet point, with
 * the order of bytes preserved in both directions.
 */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool
handoff__client_stay(struct handoff_client *client)
{
	if (!handoff__stream_is_open(client->now) ||
		client->step == HANDOFF__STEP_REST)
		return false;
	handoff__timer_disarm(&client->loop, &client->timer);
	handoff__dial_cancel(&client->dial);
	handoff__client_trial_cancel(client);
	client->step = HANDOFF__STEP_REST;
	client->leaving = false;
	return true;
}

static const char *
present_endpoint(const struct handoff_client *client)
{
	return handoff__stream_is_open(client->now)
		       ? client->endpoints[client->now->endpoint].text
		       : client->endpoints[client->next].text;
}

static void
add_notice(struct handoff__event *event, const struct handoff_notice *notice)
{
	event->has_notice = true;
	event->notice = *notice;
}

static const char *
serving(const struct handoff_notice *notice)
{
	return notice->serving[0] ? notice->serving : "another process";
}

/* Not connected, and another host serves now: the next attempt need not wait
 * for as long as one that nothing is known of. */
static bool
hurry(struct handoff_client *client, const struct handoff_notice *notice)
{
	if (handoff__stream_is_open(client->now) ||
		client->step != HANDOFF__STEP_WAIT ||
		!handoff__client_begins_term(client, notice))
		return false;
	handoff__backoff_reset(&client->backoff);
	handoff__client_attempt_later(client, &client->backoff);
	return true;
}

static void
handed_over(struct handoff_client *client, const struct handoff_notice *notice)
{
	const char *effect = "";

	if (handoff__client_stay(client))
		effect = ", going home is cancelled, the connection stays";
	else if (handoff__stream_is_open(client->now))
		effect = ", the connection stays";
	else if (hurry(client, notice))
		effect = " with another lease: tries again soon";
	add_notice(handoff__events_push(&client->events, HANDOFF_CLIENT_HANDOFF,
			   present_endpoint(client),
			   "handoff: %s serves now (%s)%s", serving(notice),
			   handoff_notice_kind_name(notice->kind), effect),
		notice);
}

/* What is connected to has lost the lease: tries the others, and gives it up
 * for the first that accepts. That cannot be one that has no lease. */
static void
leave(struct handoff_client *client, const struct handoff_notice *notice)
{
	bool begins = !client->leaving;

	if (begins) {
		handoff__client_stay(client);
		handoff__backoff_reset(&client->home_backoff);
		client->leaving = true;
		client->leave_us = handoff__now_us();
		client->next =
			handoff__client_other(client, client->now->endpoint);
		client->step = HANDOFF__STEP_WAIT;
	}
	add_notice(
		handoff__events_push(&client->events, HANDOFF_CLIENT_HANDOFF,
			present_endpoint(client),
			"handoff: %s serves now (%s) with another lease: "
			"leaves for %.60s",
			serving(notice), handoff_notice_kind_name(notice->kind),
			client->endpoints[client->next].text),
		notice);
	if (!begins)
		return;
	/* the old one's end starts the attempt */
	if (handoff__stream_is_open(client->old))
		handoff__stream_cut(client->old, -ECONNRESET);
	else
		handoff__client_attempt(client);
}

/* Not connected: dials home next, when the backoff expires, or at once if
 * another endpoint is being dialled. */
static void
look_home(struct handoff_client *client)
{
	bool elsewhere =
		client->step == HANDOFF__STEP_DIAL && client->next != 0;

	client->next = 0;
	if (!elsewhere)
		return;
	handoff__dial_cancel(&client->dial);
	handoff__client_trial_cancel(client);
	handoff__client_attempt(client);
}

static void
ready(struct handoff_client *client, const struct handoff_notice *notice)
{
	struct handoff__event *event;

	if (!handoff__stream_is_open(client->now)) {
		look_home(client);
		return;
	}
	/* a client that is about to leave need not move */
	if (client->shut)
		return;
	handoff__client_stay(client);
	handoff__backoff_reset(&client->home_backoff);
	client->next = 0;
	client->step = HANDOFF__STEP_WAIT;
	event = handoff__events_push(&client->events, HANDOFF_CLIENT_HOMING,
		client->endpoints[0].text, "%s", "");
	event->delay_ms =
		handoff__random_upto(&client->seed, notice->spread_ms);
	add_notice(event, notice);
	snprintf(event->text, sizeof(event->text),
		"homing: going home in %u ms (READY)", event->delay_ms);
	handoff__timer_arm(
		&client->loop, &client->timer, (int64_t)event->delay_ms * 1000);
}

static void
goodbye(struct handoff_client *client, const struct handoff_notice *notice)
{
	handoff__client_stay(client);
	add_notice(
		handoff__events_push(&client->events, HANDOFF_CLIENT_GOODBYE,
			present_endpoint(client), "goodbye: the service ends"),
		notice);
}

static void
react(struct handoff_client *client, const struct handoff_notice *notice)
{
	switch (notice->kind) {
	case HANDOFF_NOTICE_MAINTENANCE:
	case HANDOFF_NOTICE_FAILOVER:
		handed_over(client, notice);
		return;
	case HANDOFF_NOTICE_READY:
		ready(client, notice);
		return;
	case HANDOFF_NOTICE_GOODBYE:
		goodbye(client, notice);
		return;
	}
	handoff__log(&client->log, HANDOFF_LOG_INFO,
		"client: ignored a notice of unknown kind %d",
		(int)notice->kind);
}

void
handoff__client_notice(
	struct handoff_client *client, const struct handoff_notice *notice)
{
	bool hands_over = notice->kind >= HANDOFF_NOTICE_MAINTENANCE &&
			  notice->kind <= HANDOFF_NOTICE_FAILOVER;

	if (client->step == HANDOFF__STEP_END)
		return;
	if (hands_over && client->nendpoints > 1 &&
		handoff__client_outlived(client, notice))
		leave(client, notice);
	else
		react(client, notice);
	handoff__client_heard(client, notice->generation);
}

void
handoff__client_switch(struct handoff_client *client)
{
	struct handoff__stream *home = client->old;

	handoff__stream_rest(home);
	client->old = client->now;
	client->now = home;
	client->step = HANDOFF__STEP_REST;
	client->term = client->heard;
	client->old_ended = client->leaving;
	client->leaving = false;
	if (client->old_ended)
		handoff__stream_cut(client->old, -ECONNRESET);
	client->old_first = true;
	client->boundary = handoff__outbox_unsent(&client->outbox);
	handoff__timer_arm(&client->loop, &client->drain_timer,
		(int64_t)client->drain_timeout_ms * 1000);
	handoff__client_flush(client);
}

/* Data that has already arrived is still delivered; then the read returns the
 * end. */
static void
on_drain_timer(struct handoff__timer *timer)
{
	struct handoff_client *client = timer->arg;

	handoff__log(&client->log, HANDOFF_LOG_WARNING,
		"client: the old connection to %s did not end within %u ms "
		"after the move and was cut",
		client->endpoints[client->old->endpoint].text,
		client->drain_timeout_ms);
	handoff__stream_cut(client->old, -ETIMEDOUT);
	handoff__client_flush(client);
}

static void
moved_event(struct handoff_client *client, int err)
{
	const char *endpoint = client->endpoints[client->now->endpoint].text;
	struct handoff__event *event;

	if (err == 0)
		event = handoff__events_push(&client->events,
			HANDOFF_CLIENT_MOVED, endpoint, "moved to %s",
			endpoint);
	else if (client->old_ended)
		event = handoff__events_push(&client->events,
			HANDOFF_CLIENT_MOVED, endpoint,
			"moved to %.60s; the connection to %.60s was given up: "
			"the lease under which it was made has ended",
			endpoint,
			client->endpoints[client->old->endpoint].text);
	else if (client->old->cut && err == -ETIMEDOUT)
		event = handoff__events_push(&client->events,
			HANDOFF_CLIENT_MOVED, endpoint,
			"moved to %s; the old connection did not end within "
			"%u ms and was cut",
			endpoint, client->drain_timeout_ms);
	else
		event = handoff__events_push(&client->events,
			HANDOFF_CLIENT_MOVED, endpoint,
			"moved to %.60s; the old connection broke before its "
			"end: %s",
			endpoint, handoff__stream_why(client->old, err));
	event->err = err;
}

void
handoff__client_drained(struct handoff_client *client, int err)
{
	moved_event(client, err);
	handoff__timer_disarm(&client->loop, &client->drain_timer);
	handoff__stream_close(client->old);
	handoff__client_flush(client);
	handoff__stream_resume(client->now);
	/* another READY arrived meanwhile */
	if (client->step == HANDOFF__STEP_WAIT && !client->timer.armed)
		handoff__client_attempt(client);
}

void
handoff__client_homing_init(struct handoff_client *client)
{
	client->drain_timer =
		(struct handoff__timer){.fn = on_drain_timer, .arg = client};
}
