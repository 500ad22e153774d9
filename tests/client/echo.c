/* SPDX-License-Identifier: MIT */
/*
 * Shared by the tests of sessions; see echo.h. Every assertion is one about
 * what the client has sent.
 */
#include "client/echo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct handoff__flow_limits limits = {4096, 4096, 8192};

uint32_t
echo_random(struct echo *echo, uint32_t bound)
{
	echo->seed = echo->seed * 1664525 + 1013904223;
	return (echo->seed >> 8) % bound;
}

void
echo_begin(struct echo *echo, uint32_t seed)
{
	memset(echo, 0, sizeof(*echo));
	echo->seed = seed;
	echo->fd = -1;
	echo->site = site_open();
	assert_int_equal(fcntl(echo->site.fd, F_SETFL, O_NONBLOCK | O_RDWR), 0);
}

void
echo_end(struct echo *echo)
{
	if (echo->toy)
		toy_free(echo->toy);
	while (echo->count > 0)
		close(echo->conns[--echo->count].fd);
	site_close(&echo->site);
}

static void
drop(struct echo *echo, struct echo_conn *conn)
{
	if (conn->fd == echo->fd)
		echo->fd = -1;
	if (echo_random(echo, 2))
		fixture_reset(conn->fd);
	else
		close(conn->fd);
	*conn = echo->conns[--echo->count];
}

void
echo_break(struct echo *echo)
{
	for (size_t i = 0; i < echo->count; i++)
		if (echo->conns[i].fd == echo->fd) {
			drop(echo, &echo->conns[i]);
			return;
		}
}

/* False if the connection has broken. */
static bool
put(int fd, const void *data, size_t len)
{
	return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool
put_frame(int fd, const struct handoff__frame *frame)
{
	unsigned char out[HANDOFF__FRAME_MAX];

	return put(fd, out, handoff__frame_encode(frame, out, sizeof(out)));
}

static bool
refuse(int fd, enum handoff__refusal reason)
{
	struct handoff__frame frame = {
		.type = HANDOFF__FRAME_REFUSED, .reason = (uint16_t)reason};

	return put_frame(fd, &frame);
}

static bool
welcome(struct echo *echo, struct echo_conn *conn, bool resumed)
{
	struct handoff__frame frame;

	if (echo->fd >= 0 && echo->fd != conn->fd) {
		int fd = conn->fd;

		echo_break(echo);
		for (conn = echo->conns; conn->fd != fd; conn++)
			;
	}
	echo->fd = conn->fd;
	handoff__flow_welcome(&echo->flow, resumed, &frame);
	frame.number = SCRIPT_NUMBER;
	memcpy(frame.token, "top secret 4711", 16);
	return put_frame(conn->fd, &frame);
}

static bool
ask(struct echo *echo, struct echo_conn *conn,
	const struct handoff__frame *frame)
{
	if (frame->type == HANDOFF__FRAME_NEW) {
		handoff__flow_serve(&echo->flow, &limits, frame);
		echo->known = true;
		echo->sessions++;
		return welcome(echo, conn, false);
	}
	assert_int_equal(frame->type, HANDOFF__FRAME_RESUME);
	assert_true(echo->known);
	assert_int_equal(frame->number, SCRIPT_NUMBER);
	assert_string_equal((const char *)frame->token, "top secret 4711");
	if (echo->busy > 0) {
		echo->busy--;
		return refuse(conn->fd, HANDOFF__REFUSED_BUSY);
	}
	/* one that the client has given up, while it went on elsewhere */
	if (handoff__flow_resume(&echo->flow, frame) < 0)
		return refuse(conn->fd, HANDOFF__REFUSED_POSITION);
	echo->resumes++;
	return welcome(echo, conn, true);
}

/* Answers through the layer. */
static void
reply(struct echo *echo, const unsigned char *data, size_t len)
{
	unsigned char plain[1000];
	const void *cipher;
	size_t n;

	toy_input(echo->toy, data, len);
	while ((n = toy_read(echo->toy, plain, sizeof(plain))) > 0)
		toy_write(echo->toy, plain, n);
	if (toy_is_ended(echo->toy) && !echo->reply_ended) {
		echo->reply_ended = true;
		toy_end(echo->toy);
	}
	n = toy_output(echo->toy, &cipher);
	assert_true(n <= ECHO_STREAM - echo->reply_len);
	if (n > 0)
		memcpy(echo->reply + echo->reply_len, cipher, n);
	echo->reply_len += n;
	toy_sent(echo->toy, n);
}

/* Takes a part of what has come; returns its length, 0 if more is needed. */
static size_t
take(struct echo *echo, struct echo_conn *conn, bool *lives)
{
	struct handoff__flow *flow = &echo->flow;
	struct handoff__frame frame;
	int n;

	if (!conn->greeted) {
		if (conn->len < HANDOFF__PREFACE_LEN)
			return 0;
		conn->greeted = true;
		assert_memory_equal(
			conn->in, handoff__preface, HANDOFF__PREFACE_LEN);
		return HANDOFF__PREFACE_LEN;
	}
	if (conn->fd == echo->fd && flow->rx_left > 0) {
		uint32_t len = flow->rx_left < conn->len ? flow->rx_left
							 : (uint32_t)conn->len;

		assert_in_range(flow->rx_taken + len, 1, ECHO_STREAM);
		memcpy(echo->stream + flow->rx_taken, conn->in, len);
		handoff__flow_take(flow, len);
		handoff__flow_read(flow, len);
		if (echo->toy)
			reply(echo, conn->in, len);
		return len;
	}
	n = handoff__frame_decode(&frame, conn->in, conn->len, NULL);
	assert_true(n >= 0);
	if (n > 0 && conn->fd == echo->fd)
		assert_true(handoff__flow_input(flow, &frame, NULL) >= 0);
	else if (n > 0)
		*lives = ask(echo, conn, &frame);
	return (size_t)n;
}

static void
read_conn(struct echo *echo, int fd)
{
	struct echo_conn *conn = echo->conns;
	bool lives = true;
	ssize_t n;
	size_t used;

	while (conn->fd != fd)
		conn++;
	n = recv(fd, conn->in + conn->len,
		1 + echo_random(echo, (uint32_t)(sizeof(conn->in) - conn->len)),
		MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		drop(echo, conn);
		return;
	}
	conn->len += n > 0 ? (size_t)n : 0;
	while (lives && conn->len > 0 &&
		(used = take(echo, conn, &lives)) > 0) {
		/* another connection may have taken its place */
		for (conn = echo->conns; conn->fd != fd; conn++)
			;
		conn->len -= used;
		memmove(conn->in, conn->in + used, conn->len);
	}
}

/* How far the stream is to be echoed, or what goes instead. */
static uint64_t
ready_to_go(const struct echo *echo)
{
	const struct handoff__flow *flow = &echo->flow;

	return echo->toy
		       ? echo->reply_len
		       : flow->rx_taken -
				 ((flow->flags & HANDOFF__FLOW_RX_ENDED) != 0);
}

static void
write_session(struct echo *echo)
{
	unsigned char head[HANDOFF__FRAME_HEADER];
	struct handoff__flow *flow = &echo->flow;
	uint64_t ready = ready_to_go(echo), room = handoff__flow_room(flow);

	while (echo->fd >= 0 && flow->tx_next < ready && room > 0) {
		uint64_t at = flow->tx_next;
		uint64_t len = ready - at < room ? ready - at : room;

		len = 1 + echo_random(echo, (uint32_t)len);
		handoff__flow_data(flow, (uint32_t)len, head);
		if (!put(echo->fd, head, sizeof(head)) ||
			!put(echo->fd,
				(echo->toy ? echo->reply : echo->stream) + at,
				(size_t)len))
			return;
		room = handoff__flow_room(flow);
	}
	if (echo->fd < 0 || flow->tx_next < ready)
		return;
	if (handoff__flow_end_due(flow) ||
		(flow->flags == HANDOFF__FLOW_RX_ENDED)) {
		handoff__flow_end(flow, head);
		(void)!put(echo->fd, head, sizeof(head));
	}
	if (handoff__flow_ack_due(flow)) {
		handoff__flow_ack(flow, head);
		(void)!put(echo->fd, head, sizeof(head));
	}
}

void
echo_serve(struct echo *echo)
{
	int fd = accept4(
		echo->site.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int fds[ECHO_CONNS];
	size_t count;

	if (fd >= 0) {
		assert_in_range(echo->count, 0, ECHO_CONNS - 1);
		echo->conns[echo->count++] = (struct echo_conn){.fd = fd};
	}
	count = echo->count;
	for (size_t i = 0; i < count; i++)
		fds[i] = echo->conns[i].fd;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < echo->count; j++)
			if (echo->conns[j].fd == fds[i]) {
				read_conn(echo, fds[i]);
				break;
			}
	if (echo->known)
		write_session(echo);
}

size_t
echo_poll(const struct echo *echo, struct pollfd *p)
{
	p[0] = (struct pollfd){echo->site.fd, POLLIN, 0};
	for (size_t i = 0; i < echo->count; i++)
		p[1 + i] = (struct pollfd){echo->conns[i].fd, POLLIN, 0};
	return 1 + echo->count;
}
