/* SPDX-License-Identifier: MIT */
/*
 * Reacts to the end of an attempt, to readable or lost connections and to
 * timers. Moving from a working connection to another is homing.c's.
 */
#include "client/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A connection that has lasted this long, or has delivered data, resets the
 * backoff. A server that accepts and closes at once thus cannot make the client
 * spin. */
#define SETTLED_US 1000000

static const char *
endpoint_text(const struct handoff_client *client, size_t i)
{
	return client->endpoints[i].text;
}

static void
established(struct handoff_client *client, int fd, const char *address)
{
	const char *endpoint = endpoint_text(client, client->next);
	bool same = strcmp(endpoint, address) == 0;
	int err = handoff__stream_open(client->now, fd, client->next, true);

	if (err < 0) {
		handoff__client_attempt_failed(client, err, strerror(-err));
		return;
	}
	client->step = HANDOFF__STEP_REST;
	client->term = client->heard;
	handoff__events_push(&client->events, HANDOFF_CLIENT_CONNECTED,
		endpoint, same ? "connected to %s" : "connected to %s (%s)",
		endpoint, address);
	handoff__client_flush(client);
}

/* It was not of an earlier term after all. */
static void
stay(struct handoff_client *client)
{
	handoff__log(&client->log, HANDOFF_LOG_INFO,
		"client: %s answers: the connection stays",
		endpoint_text(client, client->now->endpoint));
	handoff__client_stay(client);
	client->term = client->heard;
}

static void
on_dial(struct handoff__dial *dial, int fd, const char *text)
{
	struct handoff_client *client = dial->arg;

	if (client->leaving && handoff__client_answers(client)) {
		stay(client);
		if (fd >= 0)
			close(fd);
	} else if (fd < 0)
		handoff__client_attempt_failed(client, fd, text);
	else if (handoff__stream_is_open(client->now))
		handoff__client_switch(client, fd);
	else
		established(client, fd, text);
}

static void
on_course_timer(struct handoff__timer *timer)
{
	struct handoff_client *client = timer->arg;

	/* At most two connections: the end of the old one starts the
	 * attempt. */
	if (!handoff__stream_is_open(client->old))
		handoff__client_attempt(client);
}

void
handoff__client_course_init(struct handoff_client *client)
{
	client->dial.loop = &client->loop;
	client->dial.done = on_dial;
	client->dial.arg = client;
	client->timer =
		(struct handoff__timer){.fn = on_course_timer, .arg = client};
}

static void
lost_event(struct handoff_client *client, int err)
{
	const char *endpoint = endpoint_text(client, client->now->endpoint);

	handoff__events_push(&client->events, HANDOFF_CLIENT_LOST, endpoint,
		"lost: %s: %s", endpoint,
		err < 0 ? strerror(-err) : "the server closed the connection")
		->err = err;
}

/* Both directions have ended: the client is done. */
static void
closed(struct handoff_client *client, int err)
{
	const char *endpoint = endpoint_text(client, client->now->endpoint);

	if (err < 0)
		lost_event(client, err);
	client->step = HANDOFF__STEP_END;
	handoff__stream_close(client->now);
	handoff__timer_disarm(&client->loop, &client->timer);
	handoff__dial_cancel(&client->dial);
	handoff__watch_del(&client->loop, &client->sub_watch);
	handoff__events_push(&client->events, HANDOFF_CLIENT_CLOSED, endpoint,
		"closed: %s: both sides have ended", endpoint);
}

static void
lost(struct handoff_client *client, int err)
{
	struct handoff__stream *conn = client->now;
	struct handoff__event *event;
	uint32_t delay_ms;
	const char *next;

	if (conn->delivered || handoff__now_us() - conn->since_us >= SETTLED_US)
		handoff__backoff_reset(&client->backoff);
	lost_event(client, err);
	handoff__stream_close(conn);
	handoff__outbox_rewind(&client->outbox);
	client->leaving = false;
	/* An attempt to move is already under way: it serves as the
	 * reconnect. */
	if (client->step == HANDOFF__STEP_DIAL)
		return;
	if (client->step != HANDOFF__STEP_WAIT)
		client->next = handoff__client_other(client, conn->endpoint);
	next = endpoint_text(client, client->next);
	delay_ms = handoff__client_attempt_later(client, &client->backoff);
	event = handoff__events_push(&client->events, HANDOFF_CLIENT_RETRY,
		next, "retry: next %s in %u ms", next, delay_ms);
	event->delay_ms = delay_ms;
}

static void
ended(struct handoff_client *client, struct handoff__stream *conn, int err)
{
	if (conn == client->old)
		handoff__client_drained(client, err);
	else if (conn->ended)
		closed(client, err);
	else
		lost(client, err);
}

const char *
handoff__client_read(struct handoff_client *client, size_t *len)
{
	struct handoff__stream *conn = handoff__stream_is_open(client->old)
					       ? client->old
					       : client->now;
	ssize_t n;

	if (!handoff__stream_is_open(conn) || !conn->readable)
		return NULL;
	n = handoff__stream_read(conn, client->buffer, sizeof(client->buffer));
	if (n > 0) {
		*len = (size_t)n;
		return endpoint_text(client, conn->endpoint);
	}
	if (n != -EAGAIN)
		ended(client, conn, (int)n);
	return NULL;
}

void
handoff__client_conn_event(struct handoff__watch *watch, uint32_t events)
{
	struct handoff_client *client = watch->arg;
	struct handoff__stream *conn =
		watch == &client->now->watch ? client->now : client->old;

	handoff__stream_event(conn, events);
	if (!conn->blocked)
		handoff__client_flush(client);
}
