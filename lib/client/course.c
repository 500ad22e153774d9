/* SPDX-License-Identifier: MIT */
/*
 * Which connection there is: attempts, retries, losses, the end. Moving from
 * a connection that works to another is homing.c's.
 */
#include "client/client.h"

#include <errno.h>
#include <string.h>

/* A connection that has lived this long, or has brought data, was a good one:
 * the backoff starts anew. A server that accepts and closes at once does not
 * make us spin. */
#define SETTLED_US 1000000

static const char *
endpoint_text(const struct handoff_client *client, size_t i)
{
	return client->endpoints[i].text;
}

/* Waits for the delay of `backoff`, then dials `client->next`. */
static uint32_t
wait_and_dial(struct handoff_client *client, struct handoff__backoff *backoff)
{
	uint32_t delay_ms = handoff__backoff_next(backoff, &client->seed);

	client->step = HANDOFF__STEP_WAIT;
	handoff__timer_arm(
		&client->loop, &client->timer, (int64_t)delay_ms * 1000);
	return delay_ms;
}

void
handoff__client_attempt(struct handoff_client *client)
{
	client->step = HANDOFF__STEP_DIAL;
	handoff__dial_start(
		&client->dial, &client->endpoints[client->next].addr);
}

void
handoff__client_attempt_failed(struct handoff_client *client, const char *why)
{
	bool homing = handoff__conn_is_open(client->now);
	const char *failed = endpoint_text(client, client->next), *next;
	struct handoff__event *event;
	uint32_t delay_ms;

	if (!homing)
		client->next = (client->next + 1) % client->nendpoints;
	next = endpoint_text(client, client->next);
	delay_ms = wait_and_dial(
		client, homing ? &client->home_backoff : &client->backoff);
	event = handoff__events_push(&client->events, HANDOFF_CLIENT_RETRY,
		next, "retry: %.60s: %.90s; %s%.60s in %u ms", failed, why,
		homing ? "stays and goes home to " : "next ", next, delay_ms);
	event->delay_ms = delay_ms;
}

static void
established(struct handoff_client *client, int fd, const char *address)
{
	const char *endpoint = endpoint_text(client, client->next);
	bool same = strcmp(endpoint, address) == 0;
	int err = handoff__conn_open(client->now, fd, client->next, true);

	if (err < 0) {
		handoff__client_attempt_failed(client, strerror(-err));
		return;
	}
	client->step = HANDOFF__STEP_REST;
	handoff__events_push(&client->events, HANDOFF_CLIENT_CONNECTED,
		endpoint, same ? "connected to %s" : "connected to %s (%s)",
		endpoint, address);
	handoff__client_flush(client);
}

static void
on_dial(struct handoff__dial *dial, int fd, const char *text)
{
	struct handoff_client *client = dial->arg;

	if (fd < 0)
		handoff__client_attempt_failed(client, text);
	else if (handoff__conn_is_open(client->now))
		handoff__client_switch(client, fd);
	else
		established(client, fd, text);
}

static void
on_timer(struct handoff__timer *timer)
{
	struct handoff_client *client = timer->arg;

	/* Two connections are enough: the end of the old one starts us. */
	if (!handoff__conn_is_open(client->old))
		handoff__client_attempt(client);
}

void
handoff__client_course_init(struct handoff_client *client)
{
	client->dial.loop = &client->loop;
	client->dial.done = on_dial;
	client->dial.arg = client;
	client->timer = (struct handoff__timer){.fn = on_timer, .arg = client};
}

/* What of the outbox and the end of sending belongs to the old connection.
 * True when that is done and the present one's turn has come. */
static bool
flush_old(struct handoff_client *client)
{
	ssize_t n;

	if (!client->old_first)
		return true;
	n = handoff__conn_write(client->old, &client->outbox, client->fence);
	if (n >= 0)
		client->fence -= (size_t)n;
	if (n >= 0 && client->fence > 0)
		return false;
	client->old_first = false;
	client->fence = 0;
	if (n >= 0)
		handoff__conn_end(client->old);
	else
		handoff__outbox_rewind(&client->outbox);
	return true;
}

void
handoff__client_flush(struct handoff_client *client)
{
	if (!flush_old(client) || !handoff__conn_is_open(client->now))
		return;
	if (handoff__conn_write(client->now, &client->outbox, SIZE_MAX) < 0)
		return;
	if (client->shut && handoff__outbox_unsent(&client->outbox) == 0)
		handoff__conn_end(client->now);
}

static void
lost_event(struct handoff_client *client, int err)
{
	const char *endpoint = endpoint_text(client, client->now->endpoint);

	handoff__events_push(&client->events, HANDOFF_CLIENT_LOST, endpoint,
		"lost: %s: %s", endpoint,
		err < 0 ? strerror(-err) : "the server closed the connection");
}

/* All is said and done. */
static void
closed(struct handoff_client *client, int err)
{
	const char *endpoint = endpoint_text(client, client->now->endpoint);

	if (err < 0)
		lost_event(client, err);
	client->step = HANDOFF__STEP_END;
	handoff__conn_close(client->now);
	handoff__timer_disarm(&client->loop, &client->timer);
	handoff__dial_cancel(&client->dial);
	handoff__watch_del(&client->loop, &client->sub_watch);
	handoff__events_push(&client->events, HANDOFF_CLIENT_CLOSED, endpoint,
		"closed: %s: the end", endpoint);
}

static void
lost(struct handoff_client *client, int err)
{
	struct handoff__conn *conn = client->now;
	struct handoff__event *event;
	uint32_t delay_ms;
	const char *next;

	if (conn->delivered || handoff__now_us() - conn->since_us >= SETTLED_US)
		handoff__backoff_reset(&client->backoff);
	lost_event(client, err);
	handoff__conn_close(conn);
	handoff__outbox_rewind(&client->outbox);
	/* On the way home already: that becomes the way back. */
	if (client->step == HANDOFF__STEP_DIAL)
		return;
	client->next = client->step == HANDOFF__STEP_WAIT
			       ? 0
			       : (conn->endpoint + 1) % client->nendpoints;
	next = endpoint_text(client, client->next);
	delay_ms = wait_and_dial(client, &client->backoff);
	event = handoff__events_push(&client->events, HANDOFF_CLIENT_RETRY,
		next, "retry: next %s in %u ms", next, delay_ms);
	event->delay_ms = delay_ms;
}

static void
ended(struct handoff_client *client, struct handoff__conn *conn, int err)
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
	struct handoff__conn *conn =
		handoff__conn_is_open(client->old) ? client->old : client->now;
	ssize_t n;

	if (!handoff__conn_is_open(conn) || !conn->readable)
		return NULL;
	n = handoff__conn_read(conn, client->buffer, sizeof(client->buffer));
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
	struct handoff__conn *conn =
		watch == &client->now->watch ? client->now : client->old;

	handoff__conn_event(conn, events);
	if (!conn->blocked)
		handoff__client_flush(client);
}
