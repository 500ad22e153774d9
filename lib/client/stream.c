/* SPDX-License-Identifier: MIT */
/*
 * The socket calls of one connection. Makes no decisions: the client interprets
 * its end.
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

void
handoff__stream_close(struct handoff__stream *conn)
{
	if (conn->fd < 0)
		return;
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

void
handoff__stream_event(struct handoff__stream *conn, uint32_t events)
{
	if (events & EPOLLOUT)
		conn->blocked = false;
	if (conn->reading && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		conn->readable = true;
		conn->budget = READS_PER_TURN;
	}
	if (!conn->reading && (events & (EPOLLHUP | EPOLLERR)))
		handoff__watch_del(conn->loop, &conn->watch);
	else
		update(conn);
}

ssize_t
handoff__stream_read(struct handoff__stream *conn, void *data, size_t size)
{
	ssize_t n;

	do {
		n = recv(conn->fd, data, size, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		n = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (n == 0 && conn->cut)
		n = conn->err;
	if (n > 0)
		conn->delivered = true;
	/* level-triggered: epoll reports the socket again if there is more */
	if (n < (ssize_t)size || --conn->budget == 0)
		conn->readable = false;
	return n;
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

ssize_t
handoff__stream_write(
	struct handoff__stream *conn, struct handoff__outbox *box, size_t limit)
{
	struct iovec iov[2];
	size_t total = 0;

	if (conn->fd < 0 || conn->cut)
		return -EPIPE;
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
