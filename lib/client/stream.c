/* SPDX-License-Identifier: MIT */
/*
 * The socket calls of one connection, and its layer between them and the
 * client. Makes no decisions: the client interprets its end.
 */
#include "client/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* bounds the reads from a server that never stops sending */
#define READS_PER_TURN 16

void
handoff__stream_init(struct handoff__stream *conn, struct handoff__loop *loop,
	handoff__ready_fn *fn, void *arg)
{
	memset(conn, 0, sizeof(*conn));
	conn->loop = loop;
	conn->fd = -1;
	conn->watch = (struct handoff__watch){.fd = -1, .fn = fn, .arg = arg};
}

static uint32_t
events_wanted(const struct handoff__stream *conn)
{
	return (conn->reading ? EPOLLIN : 0u) | (conn->blocked ? EPOLLOUT : 0u);
}

static void
update(struct handoff__stream *conn)
{
	if (conn->watch.fd >= 0)
		handoff__watch_set(
			conn->loop, &conn->watch, events_wanted(conn));
}

int
handoff__stream_open(
	struct handoff__stream *conn, int fd, size_t endpoint, bool reading)
{
	struct handoff__loop *loop = conn->loop;
	int err;

	handoff__stream_init(conn, loop, conn->watch.fn, conn->watch.arg);
	conn->reading = reading;
	err = handoff__watch_add(loop, &conn->watch, fd, events_wanted(conn));
	if (err < 0) {
		close(fd);
		return err;
	}
	conn->fd = fd;
	conn->endpoint = endpoint;
	conn->since_us = handoff__now_us();
	return 0;
}

/* Sends what the layer has to send. True if nothing of it is left. */
static bool
pump(struct handoff__stream *conn)
{
	const struct handoff__layered *layered = &conn->layered;
	struct iovec iov;
	const void *data;
	ssize_t n;

	while ((iov.iov_len = layered->calls->output(layered->end, &data)) >
		0) {
		iov.iov_base = (void *)(uintptr_t)data;
		n = handoff__stream_send(conn, &iov, 1);
		if (n <= 0)
			return false;
		layered->calls->sent(layered->end, (size_t)n);
	}
	return !conn->cut;
}

/* What the layer ends with goes before the end of the connection. */
static void
end_layer(struct handoff__stream *conn)
{
	if (!conn->ending && handoff__layered_is_open(&conn->layered)) {
		conn->ending = true;
		conn->layered.calls->end(conn->layered.end);
	}
	if (!pump(conn) || !conn->ending || conn->ended)
		return;
	conn->ended = true;
	shutdown(conn->fd, SHUT_WR);
}

/* Half of what was sealed must not arrive whole now: it may be sent again on
 * the next connection. */
static void
close_layer(struct handoff__stream *conn)
{
	const void *data;

	if (!conn->layered.end)
		return;
	if (!conn->cut && !conn->ending &&
		conn->layered.calls->output(conn->layered.end, &data) == 0)
		end_layer(conn);
	handoff__layered_free(&conn->layered);
	conn->held = false;
}

void
handoff__stream_close(struct handoff__stream *conn)
{
	if (conn->fd < 0)
		return;
	close_layer(conn);
	handoff__watch_del(conn->loop, &conn->watch);
	close(conn->fd);
	conn->fd = -1;
	conn->readable = false;
}

bool
handoff__stream_is_open(const struct handoff__stream *conn)
{
	return conn->fd >= 0;
}

void
handoff__stream_resume(struct handoff__stream *conn)
{
	conn->reading = true;
	conn->readable = true;
	/* it may have come with the end of the handshake */
	conn->held = conn->layered.end != NULL;
	conn->budget = READS_PER_TURN;
	/* It may have broken and left the epoll set; the read that follows in
	 * any case detects that. */
	if (conn->watch.fd < 0)
		handoff__watch_add(conn->loop, &conn->watch, conn->fd,
			events_wanted(conn));
	else
		update(conn);
}

void
handoff__stream_rest(struct handoff__stream *conn)
{
	conn->reading = conn->readable = false;
	update(conn);
}

/* What nothing else asks for: an answer of the layer's own, or its end. */
__attribute__((cold)) static void
continue_output(struct handoff__stream *conn)
{
	if (conn->ending)
		end_layer(conn);
	else
		pump(conn);
}

void
handoff__stream_event(struct handoff__stream *conn, uint32_t events)
{
	if (events & EPOLLOUT) {
		conn->blocked = false;
		if (conn->layered.end)
			continue_output(conn);
	}
	if (conn->reading && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		conn->readable = true;
		conn->budget = READS_PER_TURN;
	}
	if (!conn->reading && (events & (EPOLLHUP | EPOLLERR)))
		handoff__watch_del(conn->loop, &conn->watch);
	else
		update(conn);
}

static inline ssize_t
receive(struct handoff__stream *conn, void *data, size_t size)
{
	ssize_t n;

	do {
		n = recv(conn->fd, data, size, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		n = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0 && conn->cut)
		n = conn->err;
	/* level-triggered: epoll reports the socket again if there is more */
	if (n < (ssize_t)size || --conn->budget == 0)
		conn->readable = false;
	return n;
}

/* The cipher text lies where the plain text will. An end that the layer does
 * not have is none. */
__attribute__((cold)) static ssize_t
read_layer(struct handoff__stream *conn, void *data, size_t size)
{
	const struct handoff_client_layer *calls = conn->layered.calls;
	void *end = conn->layered.end;
	size_t plain = calls->read(end, data, size);
	ssize_t n = -EAGAIN;
	const char *text;
	int err;

	if (plain == 0 && !conn->held) {
		n = receive(conn, data, size);
		if (n >= 0)
			calls->input(end, data, (size_t)n);
		plain = calls->read(end, data, size);
	}
	/* which may have made an answer */
	pump(conn);
	err = handoff__layered_failure(&conn->layered, &text);
	conn->held = plain == size || (plain > 0 && err < 0) ||
		     handoff__layered_is_closed(&conn->layered);
	if (plain > 0)
		return (ssize_t)plain;
	if (n < 0 && n != -EAGAIN)
		return n;
	if (err < 0)
		return err;
	return conn->held ? 0 : -EAGAIN;
}

ssize_t
handoff__stream_read(struct handoff__stream *conn, void *data, size_t size)
{
	ssize_t n = conn->layered.end ? read_layer(conn, data, size)
				      : receive(conn, data, size);

	if (n > 0)
		conn->delivered = true;
	return n;
}

bool
handoff__stream_wrap(struct handoff__stream *conn,
	const struct handoff_client_layer *layer, const char *endpoint)
{
	return handoff__layered_begin(&conn->layered, layer, endpoint);
}

int
handoff__stream_shake(struct handoff__stream *conn)
{
	const struct handoff_client_layer *calls = conn->layered.calls;
	unsigned char data[4096];
	const char *text;
	ssize_t n;
	int err;

	for (;;) {
		pump(conn);
		err = handoff__layered_failure(&conn->layered, &text);
		if (err < 0)
			return err;
		if (handoff__layered_is_open(&conn->layered))
			return 1;
		if (!conn->readable)
			return 0;
		n = receive(conn, data, sizeof(data));
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		calls->input(conn->layered.end, data, (size_t)n);
	}
}

const char *
handoff__stream_why(const struct handoff__stream *conn, int err)
{
	const char *text;

	if (conn->layered.end && err < 0 &&
		handoff__layered_failure(&conn->layered, &text) == err)
		return text;
	return err < 0 ? strerror(-err) : "the server closed the connection";
}

ssize_t
handoff__stream_send(
	struct handoff__stream *conn, struct iovec *iov, int pieces)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
	ssize_t n;
	int err;

	if (conn->fd < 0 || conn->cut)
		return -EPIPE;
	if (conn->blocked)
		return 0;
	do {
		n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	err = -errno;
	if (err == -EAGAIN || err == -EWOULDBLOCK) {
		conn->blocked = true;
		update(conn);
		return 0;
	}
	handoff__stream_cut(conn, err);
	return err;
}

/* What the layer has no more than one call's, so that a message that was sent
 * in part is not known whole to the server. */
__attribute__((cold)) static ssize_t
write_layer(
	struct handoff__stream *conn, struct handoff__outbox *box, size_t limit)
{
	const struct handoff_client_layer *calls = conn->layered.calls;
	struct iovec iov[2];
	size_t total = 0;

	while (pump(conn)) {
		size_t n;

		handoff__outbox_sent(box, conn->sealed);
		total += conn->sealed;
		conn->sealed = 0;
		if (!handoff__layered_is_open(&conn->layered))
			return -EPIPE;
		if (handoff__outbox_peek(box, limit - total, iov) == 0)
			break;
		n = iov[0].iov_len < HANDOFF_CLIENT_LAYER_MAX
			    ? iov[0].iov_len
			    : HANDOFF_CLIENT_LAYER_MAX;
		calls->write(conn->layered.end, iov[0].iov_base, n);
		conn->sealed = n;
	}
	return conn->cut ? conn->err : (ssize_t)total;
}

ssize_t
handoff__stream_write(
	struct handoff__stream *conn, struct handoff__outbox *box, size_t limit)
{
	struct iovec iov[2];
	size_t total = 0;

	if (conn->fd < 0 || conn->cut)
		return -EPIPE;
	if (conn->layered.end)
		return write_layer(conn, box, limit);
	while (!conn->blocked) {
		int pieces = handoff__outbox_peek(box, limit - total, iov);
		ssize_t n;

		if (pieces == 0)
			break;
		n = handoff__stream_send(conn, iov, pieces);
		if (n < 0)
			return n;
		handoff__outbox_sent(box, (size_t)n);
		total += (size_t)n;
	}
	return (ssize_t)total;
}

void
handoff__stream_end(struct handoff__stream *conn)
{
	if (conn->layered.end) {
		end_layer(conn);
		return;
	}
	if (conn->ended || conn->cut)
		return;
	conn->ended = true;
	shutdown(conn->fd, SHUT_WR);
}

void
handoff__stream_cut(struct handoff__stream *conn, int err)
{
	if (conn->cut)
		return;
	conn->cut = true;
	conn->err = err;
	conn->blocked = false;
	/* recv(2) still returns what has arrived, then the end; the kernel
	 * answers further data with a reset (RFC 1122, 4.2.2.13). */
	shutdown(conn->fd, SHUT_RDWR);
	update(conn);
}
