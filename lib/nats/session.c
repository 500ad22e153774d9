/* SPDX-License-Identifier: MIT */
/*
 * What is said on one connection. A stream of JetStream keeps the last message
 * of each service's subject and publishes it again on a live subject, to which
 * both sides are subscribed; and both ask for the one that is kept when they
 * connect and from time to time, since messages on a live subject may be lost.
 *
 * A publisher names the number of the message that it replaces. JetStream
 * refuses if another has come between; then the publisher asks for that one,
 * and publishes only if its own is newer. So the last message is the newest,
 * and one whose acknowledgement was lost is not published twice.
 */
#include "nats/session.h"

#include "nats/answer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Until a request is taken for lost; the first of a publisher sooner: perhaps
 * there is no stream yet, and then nobody answers. */
#define ANSWER_US 2000000
#define FIRST_US  300000

#define AGAIN_US 1000000 /* until it is sent again */

/* From an answer to asking again; after the first one of several servers
 * sooner: it may have come from a replica that lags behind. */
#define REFRESH_US 10000000
#define SECOND_US  2000000

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* So that thousands who connect at once do not ask at once for ever. */
static int64_t
spread(const struct handoff__nats_session *s, int64_t us)
{
	unsigned char digit = (unsigned char)s->link.prefix[20];

	return us - us / 64 * (digit % 16);
}

int
handoff__nats_session_open(struct handoff__nats_session *session,
	struct handoff__nats_end *end, struct handoff__error *error)
{
	memset(session, 0, sizeof(*session));
	session->end = end;
	session->get_us = now_us();
	return handoff__nats_link_open(&session->link, end, error);
}

void
handoff__nats_session_close(struct handoff__nats_session *session)
{
	handoff__nats_link_close(&session->link);
}

static void
ask(struct handoff__nats_session *s, struct handoff__nats_asked *asked,
	char kind, const char *subject, const void *data, size_t len,
	int64_t expect)
{
	char suffix[24];

	asked->serial = ++s->serial;
	asked->due_us = now_us() + ANSWER_US;
	snprintf(suffix, sizeof(suffix), "%c%llu", kind,
		(unsigned long long)asked->serial);
	handoff__nats_link_request(
		&s->link, subject, suffix, data, len, expect);
}

static void
ask_get(struct handoff__nats_session *s)
{
	const struct handoff__nats_address *a = &s->end->address;
	char subject[160];

	snprintf(subject, sizeof(subject), "$JS.API.DIRECT.GET.%s.%s",
		a->stream, a->state);
	s->get_us = INT64_MAX;
	ask(s, &s->get, 'g', subject, NULL, 0, -1);
	if (s->end->publishes && s->serial == 1)
		s->get.due_us = now_us() + FIRST_US;
}

static void
ask_make(struct handoff__nats_session *s)
{
	char subject[80];
	char *config = handoff__nats_answer_stream(&s->end->address);

	s->get_us = now_us() + AGAIN_US;
	if (!config)
		return;
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.CREATE.%s",
		s->end->address.stream);
	ask(s, &s->make, 'm', subject, config, strlen(config), -1);
	free(config);
}

/* What was published last is not settled yet, nor on its way. */
static void
put_if_due(struct handoff__nats_session *s)
{
	struct handoff__nats_message message;
	uint64_t counter;

	if (!s->end->publishes || !s->known)
		return;
	counter = handoff__nats_end_outgoing(s->end, &message);
	if (counter == 0 || (counter == s->sent && s->put.due_us > 0))
		return;
	s->sent = counter;
	ask(s, &s->put, 'p', s->end->address.state, message.data, message.len,
		(int64_t)s->seq);
}

/* Something failed: find out what is kept now, and go on from there. */
static void
start_over(struct handoff__nats_session *s, int64_t in_us)
{
	s->failing = true;
	s->put.due_us = 0;
	s->known = false;
	s->get_us = now_us() + in_us;
}

static bool
overdue(struct handoff__nats_asked *asked, int64_t now)
{
	if (asked->due_us == 0 || now < asked->due_us)
		return false;
	asked->due_us = 0;
	return true;
}

static void
no_answer(struct handoff__nats_session *s, const char *to)
{
	handoff__nats_end_trouble(s->end,
		"%.120s has not answered a request %s for %d seconds: retrying",
		s->end->address.hosts, to, ANSWER_US / 1000000);
}

/* JetStream answers nothing for a stream that does not exist, or that has no
 * leader. */
static void
no_stream(struct handoff__nats_session *s)
{
	if (s->end->publishes) {
		ask_make(s);
		return;
	}
	handoff__nats_end_trouble(s->end,
		"no stream %s with a leader at %.120s: nothing was published "
		"yet, or too few of its servers are up",
		s->end->address.stream, s->end->address.hosts);
	s->get_us = now_us() + AGAIN_US;
}

static void
look_at_clock(struct handoff__nats_session *s)
{
	int64_t now = now_us();

	if (overdue(&s->get, now))
		no_stream(s);
	if (overdue(&s->make, now))
		no_answer(s, "to create a stream");
	if (overdue(&s->put, now)) {
		no_answer(s, "to publish");
		start_over(s, 0);
	}
	if (now >= s->get_us)
		ask_get(s);
	put_if_due(s);
}

static int
until_due(const struct handoff__nats_session *s)
{
	const struct handoff__nats_asked *all[] = {&s->get, &s->make, &s->put};
	int64_t at = s->get_us, left;

	for (size_t i = 0; i < 3; i++) {
		if (all[i]->due_us > 0 && all[i]->due_us < at)
			at = all[i]->due_us;
	}
	left = at - now_us();
	if (left <= 0)
		return 0;
	return left / 1000 < INT_MAX ? (int)(left / 1000) + 1 : INT_MAX;
}

/* The message that is kept, from either subject. */
static void
learn(struct handoff__nats_session *s, natsMsg *msg)
{
	const char *text = NULL, *data = natsMsg_GetData(msg);
	int len = natsMsg_GetDataLength(msg);

	natsMsgHeader_Get(msg, "Nats-Sequence", &text);
	if (!text || !data || len <= 0 || len > HANDOFF_TRANSPORT_MESSAGE_MAX)
		return;
	s->seq = strtoull(text, NULL, 10);
	s->known = true;
	handoff__nats_end_know(s->end, data, (size_t)len);
	if (!s->end->publishes)
		handoff__nats_end_put(s->end, data, (size_t)len);
}

/* A replica alone answers what is retained, but takes nothing new. */
static void
clear_trouble(struct handoff__nats_session *s)
{
	struct handoff__nats_message message;

	if (s->failing && handoff__nats_end_outgoing(s->end, &message) > 0)
		return;
	s->failing = false;
	handoff__nats_end_trouble(s->end, "%s", "");
}

static void
answer_get(struct handoff__nats_session *s, natsMsg *msg)
{
	const char *status = NULL;
	bool again;

	s->get.due_us = 0;
	if (natsMsg_IsNoResponders(msg)) {
		no_stream(s);
		return;
	}
	natsMsgHeader_Get(msg, "Status", &status);
	if (status && strncmp(status, "404", 3) == 0) {
		s->known = true;
		s->seq = 0;
		handoff__nats_end_know(s->end, NULL, 0);
	} else if (status) {
		handoff__nats_end_trouble(s->end,
			"stream %s at %.120s: status %.40s",
			s->end->address.stream, s->end->address.hosts, status);
		s->get_us = now_us() + AGAIN_US;
		return;
	} else {
		learn(s, msg);
	}
	clear_trouble(s);
	again = s->answers++ == 0 && s->end->address.nservers > 1;
	s->get_us = now_us() + (again ? SECOND_US : spread(s, REFRESH_US));
}

static void
answer_make(struct handoff__nats_session *s, natsMsg *msg)
{
	struct handoff__nats_answer answer;

	s->make.due_us = 0;
	if (natsMsg_IsNoResponders(msg)) {
		handoff__nats_end_trouble(s->end,
			"JetStream is not available at %.120s: turn it on for "
			"this account, or start more of its servers",
			s->end->address.hosts);
		return;
	}
	handoff__nats_answer_read(&answer, natsMsg_GetData(msg),
		(size_t)natsMsg_GetDataLength(msg));
	if (answer.code == 0)
		s->get_us = now_us();
	else if (answer.code == HANDOFF__NATS_STREAM_EXISTS)
		handoff__nats_end_trouble(s->end,
			"stream %s at %.120s exists with other settings, and "
			"has no leader now or does not keep %s>: see "
			"handoff_nats(3)",
			s->end->address.stream, s->end->address.hosts,
			HANDOFF__NATS_STATE);
	else
		handoff__nats_end_trouble(s->end,
			"cannot create stream %s at %.120s: %.100s",
			s->end->address.stream, s->end->address.hosts,
			answer.error);
}

static void
answer_put(struct handoff__nats_session *s, natsMsg *msg)
{
	struct handoff__nats_answer answer;

	s->put.due_us = 0;
	if (natsMsg_IsNoResponders(msg)) {
		s->known = false;
		no_stream(s);
		return;
	}
	handoff__nats_answer_read(&answer, natsMsg_GetData(msg),
		(size_t)natsMsg_GetDataLength(msg));
	if (answer.code == HANDOFF__NATS_WRONG_SEQUENCE) {
		start_over(s, 0);
	} else if (answer.code > 0 || answer.seq == 0) {
		handoff__nats_end_trouble(s->end,
			"cannot publish at %.120s: %s", s->end->address.hosts,
			answer.error[0] ? answer.error
					: "the answer is not JetStream's");
		start_over(s, AGAIN_US);
	} else {
		s->seq = answer.seq;
		handoff__nats_end_done(s->end, s->sent);
		clear_trouble(s);
	}
}

static void
answer(struct handoff__nats_session *s, natsMsg *msg)
{
	const char *suffix = natsMsg_GetSubject(msg) + strlen(s->link.prefix);
	uint64_t serial = strtoull(suffix + 1, NULL, 10);

	if (suffix[0] == 'g' && serial == s->get.serial && s->get.due_us > 0)
		answer_get(s, msg);
	if (suffix[0] == 'm' && serial == s->make.serial && s->make.due_us > 0)
		answer_make(s, msg);
	if (suffix[0] == 'p' && serial == s->put.serial && s->put.due_us > 0)
		answer_put(s, msg);
}

/* To find none is an error in the library, for which it composes a text: so it
 * is asked for their number first. */
static natsMsg *
next_message(natsSubscription *sub)
{
	natsMsg *msg = NULL;
	uint64_t count = 0;

	if (natsSubscription_QueuedMsgs(sub, &count) == NATS_OK && count > 0)
		natsSubscription_NextMsg(&msg, sub, 0);
	return msg;
}

static void
take_messages(struct handoff__nats_session *s)
{
	natsMsg *msg;

	while ((msg = next_message(s->link.live))) {
		learn(s, msg);
		natsMsg_Destroy(msg);
	}
	while ((msg = next_message(s->link.inbox))) {
		answer(s, msg);
		natsMsg_Destroy(msg);
	}
}

void
handoff__nats_session_run(
	struct handoff__nats_session *session, struct handoff__error *error)
{
	error->text[0] = '\0';
	while (!handoff__nats_end_stopping(session->end)) {
		look_at_clock(session);
		if (!handoff__nats_link_turn(
			    &session->link, until_due(session), error))
			break;
		take_messages(session);
	}
}
