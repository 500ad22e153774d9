/* SPDX-License-Identifier: MIT */
/*
 * A minimal echo server on epoll(7): level-triggered, one buffer for all
 * connections, one recv and one send a request. Output that the kernel does not
 * take is kept, and nothing more is read from that connection until it is sent.
 */
#include "peer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

struct conn {
	int fd;
	unsigned char *unsent; /* NULL: none */
	size_t at, len;
};

static unsigned char buffer[PEER_BUFFER];

static void
end(struct conn *conn)
{
	close(conn->fd);
	free(conn->unsent);
	free(conn);
}

static void
watch(int epfd, int op, struct conn *conn, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = conn};

	if (epoll_ctl(epfd, op, conn->fd, &ev) < 0) {
		perror("epoll_ctl");
		exit(1);
	}
}

/* How many bytes were taken; negative when the connection is broken. */
static ssize_t
send_some(int fd, const unsigned char *data, size_t len)
{
	ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

static void
keep(int epfd, struct conn *conn, const unsigned char *data, size_t len)
{
	conn->unsent = malloc(len);
	if (!conn->unsent) {
		perror("malloc");
		exit(1);
	}
	memcpy(conn->unsent, data, len);
	conn->at = 0;
	conn->len = len;
	watch(epfd, EPOLL_CTL_MOD, conn, EPOLLOUT);
}

static void
on_readable(int epfd, struct conn *conn)
{
	ssize_t len = recv(conn->fd, buffer, sizeof(buffer), 0), sent;

	if (len <= 0) {
		if (len == 0 || (errno != EAGAIN && errno != EINTR))
			end(conn);
		return;
	}
	sent = send_some(conn->fd, buffer, (size_t)len);
	if (sent < 0)
		end(conn);
	else if (sent < len)
		keep(epfd, conn, buffer + sent, (size_t)(len - sent));
}

static void
on_writable(int epfd, struct conn *conn)
{
	ssize_t sent = send_some(
		conn->fd, conn->unsent + conn->at, conn->len - conn->at);

	if (sent < 0) {
		end(conn);
		return;
	}
	conn->at += (size_t)sent;
	if (conn->at < conn->len)
		return;
	free(conn->unsent);
	conn->unsent = NULL;
	watch(epfd, EPOLL_CTL_MOD, conn, EPOLLIN);
}

static void
on_listener(int epfd, int listener)
{
	for (;;) {
		int fd = accept4(
			listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct conn *conn;

		if (fd < 0)
			return;
		conn = calloc(1, sizeof(*conn));
		if (!conn) {
			close(fd);
			return;
		}
		conn->fd = fd;
		watch(epfd, EPOLL_CTL_ADD, conn, EPOLLIN);
	}
}

int
main(void)
{
	struct conn listener = {.fd = peer_listen(SOCK_NONBLOCK)};
	struct epoll_event batch[BATCH];
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	watch(epfd, EPOLL_CTL_ADD, &listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epfd, batch, BATCH, -1);

		for (int i = 0; i < n; i++) {
			struct conn *conn = batch[i].data.ptr;

			if (conn == &listener)
				on_listener(epfd, conn->fd);
			else if (conn->unsent)
				on_writable(epfd, conn);
			else
				on_readable(epfd, conn);
		}
	}
}
