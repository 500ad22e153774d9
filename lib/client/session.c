/* SPDX-License-Identifier: MIT */
/*
 * Reads the connection of a session, and decides what its end means: the
 * connection has ended and the session goes on, or the session has. The bytes
 * of frames are talk.c's, the next connection is trial.c's.
 */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* In place of everything else: nothing follows on this connection. */
static void
send_last(struct handoff_client *client, unsigned char *out, size_t len)
{
	struct iovec iov = {out, len};

	if (len > 0)
		handoff__stream_send(client->now, &iov, 1);
}

/* The next session is for what waits; nothing more will after a shutdown.
 * `told`: by the server. */
static void
session_gone(struct handoff_client *client, int err, const char *why, bool told)
{
	const struct handoff__fate *fate = &client->talk.fate;

	handoff__talk_close(&client->talk, &client->outbox, told);
	if (client->shut && client->outbox.len == 0) {
		handoff__client_lost_event(client, err, why, fate);
		handoff__client_closed(client);
		return;
	}
	handoff__client_lost(client, err, why, fate);
}

/* Before the client has: what it has not begun to send waits for the next
 * session. */
static void
service_ended(struct handoff_client *client)
{
	unsigned char out[HANDOFF__FRAME_MAX];

	send_last(client, out, handoff__talk_farewell(&client->talk, out));
	session_gone(client, 0, "the service has ended the session", true);
}

static void
violated(struct handoff_client *client, const char *why)
{
	unsigned char out[HANDOFF__FRAME_MAX];
	char text[HANDOFF_TEXT_MAX];

	send_last(client, out,
		handoff__talk_give_up(
			&client->talk, HANDOFF__ABORT_PROTOCOL, why, out));
	snprintf(text, sizeof(text), "the session is broken off: %s", why);
	session_gone(client, -EPROTO, text, false);
}

void
handoff__client_settle(struct handoff_client *client)
{
	if (!client->talk.known || !handoff__talk_is_over(&client->talk))
		return;
	handoff__talk_close(&client->talk, &client->outbox, false);
	handoff__client_closed(client);
}

static void
react(struct handoff_client *client, enum handoff__talk_news news,
	const char *why)
{
	switch (news) {
	case HANDOFF__TALK_ON:
		handoff__client_flush(client);
		return;
	case HANDOFF__TALK_ENDED:
		if (client->shut)
			handoff__client_flush(client);
		if (handoff__talk_has_ended(&client->talk))
			handoff__client_settle(client);
		else
			service_ended(client);
		return;
	case HANDOFF__TALK_ABORTED:
		session_gone(client, -ECONNRESET, why, true);
		return;
	case HANDOFF__TALK_VIOLATED:
		violated(client, why);
		return;
	}
}

const char *
handoff__client_hear(struct handoff_client *client, size_t *len)
{
	struct handoff__stream *conn = client->now;
	const char *endpoint = client->endpoints[conn->endpoint].text;
	bool delivered = conn->delivered;
	enum handoff__talk_news news;
	const char *why = "";
	ssize_t n;

	if (!handoff__stream_is_open(conn) || !conn->readable ||
		handoff__client_is_trying(client))
		return NULL;
	n = handoff__stream_read(conn, client->buffer, sizeof(client->buffer));
	if (n == -EAGAIN)
		return NULL;
	if (n <= 0) {
		handoff__client_lost(client, (int)n,
			n < 0 ? strerror((int)-n)
			      : "the server closed the connection",
			NULL);
		return NULL;
	}
	news = handoff__talk_input(&client->talk, &client->outbox,
		client->buffer, (size_t)n, len, &why);
	/* a WELCOME or END that comes at once is no reason to come back soon */
	conn->delivered = delivered || *len > 0;
	react(client, news, why);
	return *len > 0 ? endpoint : NULL;
}

void
handoff__client_let_go(struct handoff_client *client)
{
	unsigned char out[HANDOFF__FRAME_MAX];

	if (handoff__stream_is_open(client->now))
		send_last(client, out,
			handoff__talk_farewell(&client->talk, out));
	handoff__talk_fini(&client->talk);
}
