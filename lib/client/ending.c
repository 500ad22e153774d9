/* SPDX-License-Identifier: MIT */
/*
 * The end of a connection: it is lost, and the next attempt follows, or both
 * sides have ended, and nothing follows. The others find out which.
 */
#include "client/client.h"

#include <errno.h>

/* A connection that has lasted this long, or has delivered data, resets the
 * backoff. A server that accepts and closes at once thus cannot make the client
 * spin. */
#define SETTLED_US 1000000

void
handoff__client_lost_event(struct handoff_client *client, int err,
	const char *why, const struct handoff__fate *fate)
{
	const char *endpoint = client->endpoints[client->now->endpoint].text;
	struct handoff__event *event = handoff__events_push(&client->events,
		HANDOFF_CLIENT_LOST, endpoint, "lost: %s: %s", endpoint, why);

	event->err = err;
	if (fate)
		event->fate = *fate;
}

void
handoff__client_closed(struct handoff_client *client)
{
	const char *endpoint = client->endpoints[client->now->endpoint].text;

	client->step = HANDOFF__STEP_END;
	handoff__stream_close(client->now);
	handoff__timer_disarm(&client->loop, &client->timer);
	handoff__dial_cancel(&client->dial);
	handoff__watch_del(&client->loop, &client->sub_watch);
	handoff__events_push(&client->events, HANDOFF_CLIENT_CLOSED, endpoint,
		"closed: %s: both sides have ended", endpoint);
}

static void
update_backoff(
	struct handoff_client *client, const struct handoff__stream *conn)
{
	if (conn->delivered || handoff__now_us() - conn->since_us >= SETTLED_US)
		handoff__backoff_reset(&client->backoff);
}

void
handoff__client_lost(struct handoff_client *client, int err, const char *why,
	const struct handoff__fate *fate)
{
	struct handoff__stream *conn = client->now;
	struct handoff__event *event;
	uint32_t delay_ms;
	const char *next;

	update_backoff(client, conn);
	if (err == -EPROTO)
		handoff__backoff_exhaust(&client->backoff);
	if (!client->owed)
		handoff__client_lost_event(client, err, why, fate);
	handoff__stream_close(conn);
	if (!client->talk.on)
		handoff__outbox_rewind(&client->outbox);
	client->leaving = false;
	/* An attempt to move is already under way: it serves as the
	 * reconnect. */
	if (client->step == HANDOFF__STEP_DIAL)
		return;
	/* the program has not heard of this connection */
	if (client->owed) {
		client->next = conn->endpoint;
		handoff__client_attempt_failed(
			client, err < 0 ? err : -ECONNRESET, why);
		return;
	}
	if (client->step != HANDOFF__STEP_WAIT)
		client->next = handoff__client_other(client, conn->endpoint);
	next = client->endpoints[client->next].text;
	delay_ms = handoff__client_attempt_later(client, &client->backoff);
	event = handoff__events_push(&client->events, HANDOFF_CLIENT_RETRY,
		next, "retry: next %s in %u ms", next, delay_ms);
	event->delay_ms = delay_ms;
}
