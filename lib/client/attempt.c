/* SPDX-License-Identifier: MIT */
/*
 * Starts connection attempts: picks the endpoint and dials it, at once or after
 * a delay. The result of an attempt goes to course.c.
 */
#include "client/client.h"

#include <string.h>

uint32_t
handoff__client_attempt_later(
	struct handoff_client *client, struct handoff__backoff *backoff)
{
	uint32_t delay_ms = handoff__backoff_next(backoff, &client->seed);

	client->step = HANDOFF__STEP_WAIT;
	handoff__timer_arm(
		&client->loop, &client->timer, (int64_t)delay_ms * 1000);
	return delay_ms;
}

size_t
handoff__client_other(const struct handoff_client *client, size_t after)
{
	size_t next = (after + 1) % client->nendpoints;

	return handoff__stream_is_open(client->now) &&
			       next == client->now->endpoint
		       ? (next + 1) % client->nendpoints
		       : next;
}

void
handoff__client_attempt(struct handoff_client *client)
{
	client->step = HANDOFF__STEP_DIAL;
	handoff__dial_start(
		&client->dial, &client->endpoints[client->next].addr);
}

/* Bytes of the sentence on a failure: what the rest of the text leaves. */
static int
room_for_why(const char *failed, const char *next)
{
	return HANDOFF_TEXT_MAX -
	       (int)(sizeof("retry: : ; stays and goes home to  in 4294967295 "
			    "ms") +
		       strnlen(failed, 60) + strnlen(next, 60));
}

void
handoff__client_attempt_failed(
	struct handoff_client *client, int err, const char *why)
{
	bool stays = handoff__stream_is_open(client->now);
	const char *failed = client->endpoints[client->next].text, *next;
	struct handoff__event *event;
	uint32_t delay_ms;

	if (!stays || client->leaving)
		client->next = handoff__client_other(client, client->next);
	next = client->endpoints[client->next].text;
	delay_ms = handoff__client_attempt_later(
		client, stays ? &client->home_backoff : &client->backoff);
	event = handoff__events_push(&client->events, HANDOFF_CLIENT_RETRY,
		next, "retry: %.60s: %.*s; %s%.60s in %u ms", failed,
		room_for_why(failed, next), why,
		client->leaving ? "leaves for "
		: stays         ? "stays and goes home to "
				: "next ",
		next, delay_ms);
	event->delay_ms = delay_ms;
	event->err = err;
}
