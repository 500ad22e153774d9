/* SPDX-License-Identifier: MIT */
/*
 * Reacts to the end of an attempt, to readable or lost connections and to
 * timers. Moving from a working connection to another is homing.c's.
 */
#include "client/client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *
endpoint_text(const struct handoff_client *client, size_t i)
{
	return client->endpoints[i].text;
}

static void
push_connected(struct handoff_client *client)
{
	const char *endpoint = endpoint_text(client, client->now->endpoint);
	const char *address = client->trial.address, *words = "";
	bool same = strcmp(endpoint, address) == 0;

	if (client->now->layered.end)
		words = handoff__layered_words(&client->now->layered);
	handoff__events_push(&client->events, HANDOFF_CLIENT_CONNECTED,
		endpoint, "connected to %s%s%s%s%s%s", endpoint,
		same ? "" : " (", same ? "" : address, same ? "" : ")",
		words[0] ? ", " : "", words);
}

static void
established(struct handoff_client *client)
{
	struct handoff__stream *conn = client->old;

	client->old = client->now;
	client->now = conn;
	client->step = HANDOFF__STEP_REST;
	client->term = client->heard;
	push_connected(client);
	/* the layer may have data */
	if (conn->layered.end)
		handoff__stream_resume(conn);
	handoff__client_flush(client);
}

/* `old` is a new connection, ready for use. */
static void
arrived(struct handoff_client *client)
{
	if (handoff__stream_is_open(client->now))
		handoff__client_switch(client);
	else
		established(client);
}

static void
connected(struct handoff_client *client, int fd, const char *address)
{
	bool layered = client->layer.begin != NULL;
	bool moves = handoff__stream_is_open(client->now);
	int err = handoff__stream_open(
		client->old, fd, client->next, layered || !moves);

	if (err < 0) {
		handoff__client_attempt_failed(client, err, strerror(-err));
		return;
	}
	handoff__copy(
		client->trial.address, sizeof(client->trial.address), address);
	if (!layered || handoff__client_begin_shake(client))
		arrived(client);
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
	else if (client->talk.on)
		handoff__client_try(client, fd, text);
	else
		connected(client, fd, text);
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
ended(struct handoff_client *client, struct handoff__stream *conn, int err)
{
	const char *why = handoff__stream_why(conn, err);

	if (conn == client->old) {
		handoff__client_drained(client, err);
		return;
	}
	if (!conn->ended) {
		handoff__client_lost(client, err, why, NULL);
		return;
	}
	if (err < 0)
		handoff__client_lost_event(client, err, why, NULL);
	handoff__client_closed(client);
}

static struct handoff__stream *
connection_to_read(const struct handoff_client *client)
{
	return handoff__stream_is_open(client->old) && !client->shaking
		       ? client->old
		       : client->now;
}

bool
handoff__client_holds(const struct handoff_client *client)
{
	return connection_to_read(client)->held ||
	       handoff__client_session_holds(client);
}

const char *
handoff__client_read(struct handoff_client *client, size_t *len)
{
	struct handoff__stream *conn = connection_to_read(client);
	ssize_t n;

	if (client->talk.on)
		return handoff__client_hear(client, len);
	if (!handoff__stream_is_due(conn))
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
	if (client->talk.on && conn == client->old)
		handoff__client_trial_event(client);
	else if (client->shaking && conn == client->old) {
		if (handoff__client_shake(client))
			arrived(client);
	} else if (!conn->blocked)
		handoff__client_flush(client);
	handoff__client_settle(client);
}
