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

	handoff__client_close_session(client, told);
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
break_off(struct handoff_client *client, int err, const char *why,
	const char *text)
{
	unsigned char out[HANDOFF__FRAME_MAX];

	send_last(client, out,
		handoff__talk_give_up(
			&client->talk, HANDOFF__ABORT_PROTOCOL, why, out));
	session_gone(client, err, text, false);
}

static void
violated(struct handoff_client *client, const char *why)
{
	char text[HANDOFF_TEXT_MAX];

	snprintf(text, sizeof(text), "the session is broken off: %s", why);
	break_off(client, -EPROTO, why, text);
}

/* The layer may have last words. */
static void
layer_failed(struct handoff_client *client, int err, const char *why)
{
	char text[HANDOFF_TEXT_MAX];

	handoff__copy(text, sizeof(text), why);
	handoff__client_flush(client);
	break_off(client, err, text, text);
}

static void
on_layer_timer(struct handoff__timer *timer)
{
	struct handoff_client *client = timer->arg;
	char why[HANDOFF_TEXT_MAX];

	if (!handoff__stream_is_open(client->now))
		return;
	snprintf(why, sizeof(why), "the handshake was not done within %u ms",
		client->dial.timeout_ms);
	handoff__client_trial_cancel(client);
	layer_failed(client, -ETIMEDOUT, why);
}

static void
on_memory_timer(struct handoff__timer *timer)
{
	handoff__client_flush(timer->arg);
}

void
handoff__client_session_init(struct handoff_client *client)
{
	client->memory_timer =
		(struct handoff__timer){.fn = on_memory_timer, .arg = client};
	client->layer_timer =
		(struct handoff__timer){.fn = on_layer_timer, .arg = client};
}

void
handoff__client_settle(struct handoff_client *client)
{
	if (!client->talk.known || !handoff__talk_is_over(&client->talk))
		return;
	handoff__client_close_session(client, false);
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

/* Reads frames; `*len` bytes of the session are in the buffer. False if nothing
 * has come. */
static bool
hear_frames(struct handoff_client *client, size_t size, size_t *len)
{
	struct handoff__stream *conn = client->now;
	bool delivered = conn->delivered;
	ssize_t n = handoff__stream_read(conn, client->buffer, size);

	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		handoff__client_lost(client, (int)n,
			n < 0 ? strerror((int)-n)
			      : "the server closed the connection",
			NULL);
		return false;
	}
	client->news_why = "";
	client->news = handoff__talk_input(&client->talk,
		handoff__client_carried(client), client->buffer, (size_t)n, len,
		&client->news_why);
	/* a WELCOME or END that comes at once is no reason to come back soon */
	conn->delivered = delivered || *len > 0;
	return true;
}

/* What has come is cipher text. It is half of the buffer, since the layer may
 * have kept some from before. */
static bool
hear_sealed(struct handoff_client *client)
{
	struct handoff__layered *layered = &client->sealed.layered;
	size_t len = 0;

	if (!hear_frames(client, sizeof(client->buffer) / 2, &len))
		return false;
	handoff__client_follow(client);
	if (len > 0)
		layered->calls->input(layered->end, client->buffer, len);
	if (client->news == HANDOFF__TALK_ENDED &&
		!handoff__layered_is_closed(layered))
		layered->calls->input(layered->end, "", 0);
	return true;
}

/* All that had come was read. */
static void
conclude(struct handoff_client *client)
{
	const char *why;
	int err = handoff__layered_failure(&client->sealed.layered, &why);

	if (err < 0 && client->news < HANDOFF__TALK_ABORTED)
		layer_failed(client, err, why);
	else
		react(client, client->news, client->news_why);
}

static size_t
read_layer(struct handoff_client *client)
{
	struct handoff__sealed *sealed = &client->sealed;
	struct handoff__layered *layered = &sealed->layered;
	size_t len;

	if (!sealed->held && !hear_sealed(client))
		return 0;
	if (client->owed && handoff__layered_is_open(layered)) {
		sealed->held = true;
		handoff__client_tell(client);
		handoff__client_flush(client);
		return 0;
	}
	len = layered->calls->read(
		layered->end, client->buffer, sizeof(client->buffer));
	sealed->received += len;
	sealed->held = len == sizeof(client->buffer);
	if (!sealed->held)
		conclude(client);
	return len;
}

bool
handoff__client_session_holds(const struct handoff_client *client)
{
	return client->sealed.held && handoff__stream_is_open(client->now) &&
	       !handoff__client_is_trying(client);
}

const char *
handoff__client_hear(struct handoff_client *client, size_t *len)
{
	struct handoff__stream *conn = client->now;
	const char *endpoint = client->endpoints[conn->endpoint].text;

	if (!handoff__client_session_holds(client) &&
		(!handoff__stream_is_open(conn) || !conn->readable ||
			handoff__client_is_trying(client)))
		return NULL;
	if (handoff__client_has_layer(client))
		*len = read_layer(client);
	else if (hear_frames(client, sizeof(client->buffer), len))
		react(client, client->news, client->news_why);
	return *len > 0 ? endpoint : NULL;
}

/* Messages that are not sealed stay behind. If cipher text waits, the layer
 * does not end in order. */
static void
end_layer(struct handoff_client *client)
{
	struct handoff__sealed *sealed = &client->sealed;

	if (!client->talk.known || !sealed->layered.end || sealed->ending ||
		!handoff__layered_is_open(&sealed->layered) ||
		handoff__outbox_unsent(&sealed->cipher) > 0)
		return;
	sealed->layered.calls->end(sealed->layered.end);
	sealed->ending = true;
	handoff__client_flush(client);
}

void
handoff__client_let_go(struct handoff_client *client)
{
	unsigned char out[HANDOFF__FRAME_MAX];

	if (handoff__stream_is_open(client->now)) {
		end_layer(client);
		send_last(client, out,
			handoff__talk_farewell(&client->talk, out));
	}
	handoff__talk_fini(&client->talk);
}
