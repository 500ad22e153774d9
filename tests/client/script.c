/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of sessions; see script.h.
 */
#include "client/script.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

char script_payload[65536 + 1];

/* Exactly `len` bytes, while the client does its part. */
static void
read_exactly(struct handoff_client *client, int conn, void *to, size_t len)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd p[2] = {{.fd = conn, .events = POLLIN},
			{.fd = handoff_client_fd(client), .events = POLLIN}};
		ssize_t n =
			recv(conn, (char *)to + got, len - got, MSG_DONTWAIT);

		assert_int_not_equal(n, 0);
		got += n > 0 ? (size_t)n : 0;
		if (n > 0)
			continue;
		assert_true(poll(p, 2, 5000) > 0);
		if (p[1].revents)
			assert_int_equal(handoff_client_dispatch(client), 0);
	}
}

struct handoff__frame
script_read(
	struct handoff_client *client, int conn, enum handoff__frame_type type)
{
	unsigned char in[HANDOFF__FRAME_MAX];
	size_t len = HANDOFF__FRAME_HEADER, more;
	struct handoff__frame frame;
	int n;

	read_exactly(client, conn, in, len);
	more = (size_t)in[1] << 16 | (size_t)in[2] << 8 | in[3];
	if (in[0] == HANDOFF__FRAME_DATA) {
		assert_in_range(more, 1, sizeof(script_payload) - 1);
		read_exactly(client, conn, script_payload, more);
		script_payload[more] = '\0';
	} else {
		assert_in_range(more, 0, sizeof(in) - len);
		read_exactly(client, conn, in + len, more);
		len += more;
	}
	n = handoff__frame_decode(&frame, in, len, NULL);
	assert_int_equal(n, len);
	assert_int_equal(frame.type, type);
	return frame;
}

struct handoff__frame
script_asked(
	struct handoff_client *client, int conn, enum handoff__frame_type type)
{
	unsigned char preface[HANDOFF__PREFACE_LEN];

	read_exactly(client, conn, preface, sizeof(preface));
	assert_int_equal(handoff__preface_check(preface, sizeof(preface)),
		HANDOFF__PREFACE_SESSION);
	return script_read(client, conn, type);
}

void
script_read_data(struct handoff_client *client, int conn, const char *text)
{
	size_t len = strlen(text), got = 0;

	while (got < len) {
		struct handoff__frame frame =
			script_read(client, conn, HANDOFF__FRAME_DATA);

		assert_in_range(frame.len, 1, len - got);
		assert_memory_equal(script_payload, text + got, frame.len);
		got += frame.len;
	}
}

static void
write_all(int conn, const void *data, size_t len)
{
	assert_int_equal(send(conn, data, len, MSG_NOSIGNAL), len);
}

void
script_write(int conn, const struct handoff__frame *frame)
{
	unsigned char out[HANDOFF__FRAME_MAX];
	size_t len = handoff__frame_encode(frame, out, sizeof(out));

	assert_true(len > 0);
	write_all(conn, out, len);
}

void
script_data(int conn, uint32_t ack, const char *text)
{
	struct handoff__frame frame = {.type = HANDOFF__FRAME_DATA,
		.ack = ack,
		.len = (uint32_t)strlen(text)};

	script_write(conn, &frame);
	write_all(conn, text, strlen(text));
}

void
script_say(int conn, enum handoff__frame_type type, uint32_t ack)
{
	struct handoff__frame frame = {.type = type, .ack = ack};

	script_write(conn, &frame);
}

void
script_refuse(int conn, enum handoff__refusal reason)
{
	struct handoff__frame frame = {
		.type = HANDOFF__FRAME_REFUSED, .reason = (uint16_t)reason};

	strcpy(frame.text, handoff__refusal_text(reason));
	script_write(conn, &frame);
}

void
script_welcome(int conn)
{
	struct handoff__frame frame = {.type = HANDOFF__FRAME_WELCOME,
		.number = SCRIPT_NUMBER,
		.token = "top secret 4711",
		.to_server = SCRIPT_WINDOW,
		.to_client = SCRIPT_WINDOW,
		.timeout_ms = 60000};

	script_write(conn, &frame);
}

void
script_resume(int conn, uint64_t received, uint32_t ack)
{
	struct handoff__frame frame = {.type = HANDOFF__FRAME_WELCOME,
		.number = SCRIPT_NUMBER,
		.token = "top secret 4711",
		.received = received,
		.ack = ack,
		.to_server = SCRIPT_WINDOW,
		.to_client = SCRIPT_WINDOW,
		.timeout_ms = 60000,
		.resumed = true};

	script_write(conn, &frame);
}

struct handoff_client *
script_begin(const struct handoff_client_opts *opts, const struct site *site,
	int *conn)
{
	struct handoff_client *client;
	struct handoff_client_opts o = *opts;

	o.session = true;
	client = fixture_open(&o);
	*conn = fixture_accept(client, site);
	script_asked(client, *conn, HANDOFF__FRAME_NEW);
	script_welcome(*conn);
	fixture_expect(client, HANDOFF_CLIENT_CONNECTED);
	return client;
}

int
script_again(struct handoff_client *client, const struct site *site,
	uint64_t received)
{
	struct handoff__frame asked;
	int conn;

	fixture_expect(client, HANDOFF_CLIENT_LOST);
	fixture_expect(client, HANDOFF_CLIENT_RETRY);
	conn = fixture_accept(client, site);
	asked = script_asked(client, conn, HANDOFF__FRAME_RESUME);
	assert_int_equal(asked.number, SCRIPT_NUMBER);
	assert_string_equal((char *)asked.token, "top secret 4711");
	assert_int_equal(asked.received, received);
	return conn;
}
