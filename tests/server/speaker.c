/* SPDX-License-Identifier: MIT */
/*
 * The client's side of sessions. Blocks nowhere: it reads what is there.
 */
#include "server/speaker.h"

#include <handoff/session.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_MAX 1000

static struct handoff_session sessions[2];

void
speaker_sessions(struct duo *duo, uint32_t timeout_ms, uint32_t most)
{
	struct handoff_session_opts opts = {.size = sizeof(opts),
		.timeout_ms = timeout_ms,
		.max_absent = most};
	struct host *hosts[2] = {&duo->a, &duo->b};

	for (int i = 0; i < 2; i++) {
		assert_int_equal(handoff_session_service(&sessions[i],
					 &hosts[i]->service, &opts),
			0);
		hosts[i]->opts.service = &sessions[i].service;
	}
}

static const struct handoff__flow_limits limits = {
	.keep = SPEAKER_KEEP, .take = SPEAKER_KEEP, .memory = SPEAKER_KEEP};

static void
send_all(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void
send_frame(int fd, const struct handoff__frame *frame)
{
	unsigned char bytes[HANDOFF__FRAME_MAX];
	size_t len = handoff__frame_encode(frame, bytes, sizeof(bytes));

	assert_true(len > 0);
	send_all(fd, bytes, len);
}

/* Reads one frame from `fd`, whose bytes are collected in `raw`. */
static void
await_frame(struct duo *duo, int fd, unsigned char *raw, size_t room,
	size_t *nraw, struct handoff__frame *frame)
{
	for (int idle = 0;;) {
		const char *why = NULL;
		int rc = handoff__frame_decode(frame, raw, *nraw, &why);
		ssize_t n;

		if (rc < 0)
			fail_msg("the server violates the protocol: %s", why);
		if (rc > 0) {
			*nraw -= (size_t)rc;
			memmove(raw, raw + rc, *nraw);
			return;
		}
		n = recv(fd, raw + *nraw, room - *nraw, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			fail_msg("the connection has ended");
		if (n > 0)
			*nraw += (size_t)n;
		else
			idle += !duo_turn(duo);
		if (idle > IDLE_MAX)
			fail_msg("a frame never came");
	}
}

void
speaker_begin(struct speaker *s, struct duo *duo, const char *address)
{
	struct handoff__frame frame;

	memset(s, 0, sizeof(*s));
	s->fd = client_open(address);
	handoff__flow_ask(&limits, &frame);
	send_all(s->fd, handoff__preface, HANDOFF__PREFACE_LEN);
	send_frame(s->fd, &frame);
	await_frame(duo, s->fd, s->raw, sizeof(s->raw), &s->nraw, &frame);
	assert_int_equal(frame.type, HANDOFF__FRAME_WELCOME);
	assert_int_equal(handoff__flow_begin(&s->flow, &limits, &frame), 0);
	s->number = frame.number;
	memcpy(s->token, frame.token, sizeof(s->token));
}

void
speaker_say(struct speaker *s, const char *text)
{
	unsigned char header[HANDOFF__FRAME_HEADER];
	size_t len = strlen(text);

	assert_true(s->nkept + len <= SPEAKER_KEEP);
	memcpy(s->kept + s->nkept, text, len);
	s->nkept += len;
	handoff__flow_data(&s->flow, (uint32_t)len, header);
	if (s->fd < 0)
		return;
	send_all(s->fd, header, sizeof(header));
	send_all(s->fd, text, len);
}

/* Drops what the server has acknowledged. */
static void
settle(struct speaker *s)
{
	size_t kept = (size_t)handoff__flow_kept(&s->flow);

	memmove(s->kept, s->kept + (s->nkept - kept), kept);
	s->nkept = kept;
}

static void
take_frame(struct speaker *s, const struct handoff__frame *frame)
{
	const char *why = NULL;
	int event = handoff__flow_input(&s->flow, frame, &why);

	if (event < 0)
		fail_msg("the server violates the protocol: %s", why);
	settle(s);
}

/* Takes bytes of DATA that are there. */
static void
take_data(struct speaker *s)
{
	size_t len = s->flow.rx_left < s->nraw ? s->flow.rx_left : s->nraw;

	assert_true(s->ntext + len <= sizeof(s->text));
	memcpy(s->text + s->ntext, s->raw, len);
	s->ntext += len;
	s->nraw -= len;
	memmove(s->raw, s->raw + len, s->nraw);
	handoff__flow_take(&s->flow, (uint32_t)len);
	handoff__flow_read(&s->flow, len);
}

void
speaker_hear(struct speaker *s, struct duo *duo, const char *text)
{
	size_t len = strlen(text);
	struct handoff__frame frame;

	for (int idle = 0; s->ntext < len;) {
		if (s->flow.rx_left == 0) {
			await_frame(duo, s->fd, s->raw, sizeof(s->raw),
				&s->nraw, &frame);
			take_frame(s, &frame);
			continue;
		}
		if (s->nraw == 0) {
			ssize_t n = recv(
				s->fd, s->raw, sizeof(s->raw), MSG_DONTWAIT);

			s->nraw = n > 0 ? (size_t)n : 0;
			idle += n <= 0 && !duo_turn(duo);
			if (idle > IDLE_MAX)
				fail_msg("'%s' never came", text);
		}
		take_data(s);
	}
	assert_memory_equal(s->text, text, len);
	s->ntext -= len;
	memmove(s->text, s->text + len, s->ntext);
}

void
speaker_line(struct speaker *s, struct duo *duo, unsigned number)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "%u hello\n", number);
	speaker_say(s, "hello\n");
	speaker_hear(s, duo, expected);
}

void
speaker_cut(struct speaker *s)
{
	close(s->fd);
	s->fd = -1;
	s->nraw = 0;
}

void
speaker_reset(struct speaker *s)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	speaker_cut(s);
}

void
speaker_wish(const struct speaker *s, int fd)
{
	struct handoff__frame frame;

	handoff__flow_wish(&s->flow, &frame);
	frame.number = s->number;
	memcpy(frame.token, s->token, sizeof(frame.token));
	send_all(fd, handoff__preface, HANDOFF__PREFACE_LEN);
	send_frame(fd, &frame);
}

int
speaker_ask(const struct speaker *s, const char *address)
{
	int fd = client_open(address);

	speaker_wish(s, fd);
	return fd;
}

/* What the server has not received. */
static void
send_again(struct speaker *s)
{
	unsigned char header[HANDOFF__FRAME_HEADER];
	uint32_t len;

	settle(s);
	len = (uint32_t)handoff__flow_again(&s->flow);
	if (len == 0)
		return;
	handoff__flow_data(&s->flow, len, header);
	send_all(s->fd, header, sizeof(header));
	send_all(s->fd, s->kept + (s->nkept - len), len);
}

enum handoff__refusal
speaker_answer(struct speaker *s, struct duo *duo, int fd)
{
	struct handoff__frame frame;
	unsigned char raw[sizeof(s->raw)];
	size_t nraw = 0;

	await_frame(duo, fd, raw, sizeof(raw), &nraw, &frame);
	if (frame.type == HANDOFF__FRAME_REFUSED) {
		close(fd);
		return (enum handoff__refusal)frame.reason;
	}
	assert_int_equal(frame.type, HANDOFF__FRAME_WELCOME);
	assert_true(frame.resumed);
	assert_int_equal(frame.number, s->number);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	assert_int_equal(handoff__flow_resume(&s->flow, &frame), 0);
	memcpy(s->raw, raw, nraw);
	s->nraw = nraw;
	send_again(s);
	return (enum handoff__refusal)0;
}

void
speaker_resume(struct speaker *s, struct duo *duo, const char *address)
{
	int fd = speaker_ask(s, address);

	assert_int_equal(speaker_answer(s, duo, fd), 0);
}
