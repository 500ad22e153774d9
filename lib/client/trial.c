/* SPDX-License-Identifier: MIT */
/*
 * Asks for the session on a new connection, and takes the answer: the session
 * goes on there, a new one begins, or the attempt has failed and what there was
 * before goes on. A connection that is in use rests meanwhile.
 */
#include "client/client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool
handoff__client_is_trying(const struct handoff_client *client)
{
	return (client->talk.on || client->shaking) &&
	       handoff__stream_is_open(client->old);
}

void
handoff__client_trial_cancel(struct handoff_client *client)
{
	if (!handoff__client_is_trying(client))
		return;
	handoff__timer_disarm(&client->loop, &client->trial.timer);
	handoff__stream_close(client->old);
	if (client->shaking || !handoff__stream_is_open(client->now)) {
		client->shaking = false;
		return;
	}
	handoff__stream_resume(client->now);
	handoff__client_flush(client);
}

static void
failed(struct handoff_client *client, int err, const char *why)
{
	handoff__client_trial_cancel(client);
	if (err == -EPROTO) {
		handoff__backoff_exhaust(&client->backoff);
		handoff__backoff_exhaust(&client->home_backoff);
	}
	handoff__client_attempt_failed(client, err, why);
}

static void
ask(struct handoff_client *client, bool preface)
{
	unsigned char out[HANDOFF__TALK_ASK_MAX];
	size_t len = handoff__talk_ask(&client->talk, preface, out);
	struct iovec iov = {out, len};
	ssize_t n = handoff__stream_send(client->old, &iov, 1);

	explicit_bzero(out, sizeof(out));
	client->trial.len = 0;
	handoff__timer_arm(&client->loop, &client->trial.timer,
		(int64_t)client->dial.timeout_ms * 1000);
	/* so little fits into the buffer of a connection that was made now */
	if (n != (ssize_t)len)
		failed(client, n < 0 ? (int)n : -ECONNRESET,
			n < 0 ? strerror((int)-n)
			      : "the request for a session was not taken");
}

void
handoff__client_try(struct handoff_client *client, int fd, const char *address)
{
	int err = handoff__stream_open(client->old, fd, client->next, true);

	if (err < 0) {
		handoff__client_attempt_failed(client, err, strerror(-err));
		return;
	}
	handoff__copy(
		client->trial.address, sizeof(client->trial.address), address);
	if (handoff__stream_is_open(client->now))
		handoff__stream_rest(client->now);
	ask(client, true);
}

/* The connection that was tried is the one in use. */
static void
adopt(struct handoff_client *client)
{
	struct handoff__stream *conn = client->old;

	handoff__timer_disarm(&client->loop, &client->trial.timer);
	client->old = client->now;
	client->now = conn;
	handoff__stream_close(client->old);
	conn->delivered = false;
	handoff__stream_resume(conn);
	client->step = HANDOFF__STEP_REST;
	client->term = client->heard;
	client->leaving = false;
}

static void
push_adopted(struct handoff_client *client, enum handoff_client_event_type type)
{
	const char *endpoint = client->endpoints[client->now->endpoint].text;
	const char *address = client->trial.address;
	const char *what = "connected to", *words = "";
	struct handoff__event *event;
	char rest[100] = "";

	if (type == HANDOFF_CLIENT_MOVED) {
		what = "moved to";
		strcpy(rest, ": the session goes on");
	} else if (type == HANDOFF_CLIENT_RESUMED) {
		what = "resumed:";
		strcpy(rest, ": the session goes on");
	} else if (type == HANDOFF_CLIENT_NEW) {
		what = "new session:";
		snprintf(rest, sizeof(rest),
			": the one before is over, with %" PRIu64
			" bytes taken and %" PRIu64 " in doubt",
			client->talk.fate.certain, client->talk.fate.doubtful);
	} else if (client->sealed.layered.end)
		words = handoff__layered_words(&client->sealed.layered);
	if (words[0])
		snprintf(rest, sizeof(rest), ", %s", words);
	if (strcmp(endpoint, address) == 0)
		event = handoff__events_push(&client->events, type, endpoint,
			"%s %.100s%s", what, endpoint, rest);
	else
		event = handoff__events_push(&client->events, type, endpoint,
			"%s %.70s (%.60s)%s", what, endpoint, address, rest);
	if (type == HANDOFF_CLIENT_NEW)
		event->fate = client->talk.fate;
}

/* The server does not have this session as it should be: it is no good any
 * more. */
static void
wrong_welcome(struct handoff_client *client)
{
	static const char why[] = "its WELCOME does not fit the session";
	bool resumes = client->talk.known;

	handoff__client_close_session(client, false);
	if (resumes && handoff__stream_is_open(client->now))
		handoff__client_lost(client, -EPROTO, why, &client->talk.fate);
	failed(client, -EPROTO, why);
}

void
handoff__client_tell(struct handoff_client *client)
{
	push_adopted(client, client->owed);
	client->owed = 0;
	handoff__timer_disarm(&client->loop, &client->layer_timer);
}

/* A new session has a layer of its own. CONNECTED or NEW is told when that is
 * open. */
static void
put_in_layer(struct handoff_client *client, enum handoff_client_event_type type)
{
	const char *endpoint = client->endpoints[client->now->endpoint].text;

	client->owed = type;
	if (handoff__sealed_begin(&client->sealed, &client->layer, endpoint))
		return;
	handoff__client_close_session(client, false);
	handoff__client_lost(client, -ENOMEM, "no memory for the layer", NULL);
}

static void
adopted(struct handoff_client *client, enum handoff_client_event_type type,
	bool begins)
{
	if (handoff__client_has_layer(client) && begins)
		put_in_layer(client, type);
	else if (!client->owed)
		push_adopted(client, type);
	if (client->owed)
		handoff__timer_arm(&client->loop, &client->layer_timer,
			(int64_t)client->dial.timeout_ms * 1000);
	handoff__client_flush(client);
}

static void
welcomed(struct handoff_client *client, const struct handoff__frame *welcome)
{
	enum handoff_client_event_type type = HANDOFF_CLIENT_CONNECTED;
	bool begins = !client->talk.known;

	if (client->talk.known)
		type = handoff__stream_is_open(client->now)
			       ? HANDOFF_CLIENT_MOVED
			       : HANDOFF_CLIENT_RESUMED;
	else if (!client->talk.first)
		type = HANDOFF_CLIENT_NEW;
	if (handoff__talk_welcome(&client->talk,
		    handoff__client_carried(client), welcome) < 0) {
		wrong_welcome(client);
		return;
	}
	handoff__client_follow(client);
	adopt(client);
	adopted(client, type, begins);
}

/* All was sent and ended, so that nothing is left for a new session: whether
 * it all arrived is told. */
static void
finish(struct handoff_client *client, bool told)
{
	const struct handoff__fate *fate = &client->talk.fate;

	handoff__client_trial_cancel(client);
	client->now->endpoint = client->next;
	if (!told && (fate->doubtful > 0 || fate->lost))
		handoff__client_lost_event(client, -ECONNRESET,
			"the server does not have the session any more", fate);
	handoff__client_closed(client);
}

/* The session is gone: the same connection may begin another one. */
static void
begin_anew(struct handoff_client *client)
{
	bool in_use = handoff__stream_is_open(client->now);
	bool ended = handoff__talk_has_ended(&client->talk);

	handoff__client_close_session(client, false);
	if (in_use)
		handoff__client_lost(client, -ECONNRESET,
			"given up: the lease under which it was made has "
			"ended, and the next server does not have the session",
			&client->talk.fate);
	if (ended && client->outbox.len == 0)
		finish(client, in_use);
	else
		ask(client, false);
}

/* Where the connection in use still serves, it is better than a new session
 * elsewhere. */
static bool
is_served(struct handoff_client *client)
{
	return handoff__stream_is_open(client->now) &&
	       (!client->leaving || handoff__client_answers(client));
}

static int
refusal_errno(unsigned reason)
{
	switch (reason) {
	case HANDOFF__REFUSED_UNKNOWN:
	case HANDOFF__REFUSED_POSITION:
		return -ENOENT;
	case HANDOFF__REFUSED_BUSY:
		return -EBUSY;
	case HANDOFF__REFUSED_FULL:
		return -ENOSPC;
	case HANDOFF__REFUSED_LIMIT:
		return -EACCES;
	default:
		return -EPROTO;
	}
}

static void
refused(struct handoff_client *client, const struct handoff__frame *frame)
{
	int err = refusal_errno(frame->reason);
	char why[HANDOFF_TEXT_MAX];

	if (err == -ENOENT && client->talk.known && !is_served(client)) {
		begin_anew(client);
		return;
	}
	/* a session that is not known cannot be the answer to NEW */
	if (err == -ENOENT && !client->talk.known)
		err = -EPROTO;
	snprintf(why, sizeof(why), "the session was refused: %s",
		frame->text[0] ? frame->text
			       : handoff__refusal_text(frame->reason));
	failed(client, err, why);
}

static void
answered(struct handoff_client *client, const struct handoff__frame *frame)
{
	switch (frame->type) {
	case HANDOFF__FRAME_WELCOME:
		welcomed(client, frame);
		return;
	case HANDOFF__FRAME_REFUSED:
		refused(client, frame);
		return;
	case HANDOFF__FRAME_ABORT:
		failed(client, -EPROTO,
			"the server finds the request for a session wrong");
		return;
	default:
		failed(client, -EPROTO,
			"the answer to the request for a session is neither "
			"WELCOME nor REFUSED");
	}
}

static void
ended(struct handoff_client *client, int err)
{
	failed(client, err < 0 ? err : -ECONNRESET,
		err < 0 ? strerror(-err)
			: "closed without an answer to the request for a "
			  "session: is it a server with sessions?");
}

/* Up to the end of the header, then to that of the frame: what follows is read
 * as the stream. */
static size_t
answer_len(const struct handoff__trial *trial)
{
	size_t len = HANDOFF__FRAME_HEADER;

	if (trial->len >= len)
		len += (size_t)trial->in[1] << 16 | (size_t)trial->in[2] << 8 |
		       trial->in[3];
	return len;
}

/* True if there may be more to read. */
static bool
read_answer(struct handoff_client *client)
{
	struct handoff__trial *trial = &client->trial;
	size_t want = answer_len(trial) - trial->len;
	struct handoff__frame frame;
	ssize_t n;
	int rc;

	assert(want > 0 && trial->len + want <= sizeof(trial->in));
	n = handoff__stream_read(client->old, trial->in + trial->len, want);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		ended(client, (int)n);
		return false;
	}
	trial->len += (size_t)n;
	rc = handoff__frame_decode(&frame, trial->in, trial->len, NULL);
	if (rc < 0)
		failed(client, -EPROTO,
			"the answer to the request for a session is not one: "
			"it is not a server with sessions");
	else if (rc > 0)
		answered(client, &frame);
	explicit_bzero(&frame, sizeof(frame));
	return rc == 0;
}

void
handoff__client_trial_event(struct handoff_client *client)
{
	while (handoff__client_is_trying(client) && client->old->readable)
		if (!read_answer(client))
			return;
}

static void
on_trial_timer(struct handoff__timer *timer)
{
	struct handoff_client *client = timer->arg;
	char why[HANDOFF_TEXT_MAX];

	snprintf(why, sizeof(why),
		client->shaking
			? "the handshake was not done within %u ms"
			: "no answer to the request for a session within %u "
			  "ms: is it a server with sessions?",
		client->dial.timeout_ms);
	failed(client, -ETIMEDOUT, why);
}

void
handoff__client_trial_init(struct handoff_client *client)
{
	client->trial.timer =
		(struct handoff__timer){.fn = on_trial_timer, .arg = client};
}
