/* SPDX-License-Identifier: MIT */
/*
 * A connection of holders.c: it is opened, breaks and is reopened, sends
 * requests, receives answers, and moves home. holders.c decides when.
 */
#include "holders.h"
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US 10000

/* The descriptor tells which of its up to three sockets an event is of, and
 * that it is not one closed meanwhile. */
void
watch(const struct conn *c, int fd, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events,
		.data.u64 = (uint64_t)(c - all.conns) << 32 | (uint32_t)fd};

	if (epoll_ctl(all.epfd, op, fd, &ev) < 0)
		die("epoll_ctl", strerror(errno));
}

/* A socket of one of many clients: there are 250 addresses, since
 * the kernel looks ever longer for a free port where many are taken. */
int
new_socket(const struct conn *c, int flags)
{
	int one = 1;
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr =
			htonl(INADDR_LOOPBACK + 256 + (c->key % 250)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
		    sizeof(one)) < 0 ||
		bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		die("socket", strerror(errno));
	return fd;
}

/* Begins to connect: the descriptor, or -1. */
static int
dial(const struct conn *c)
{
	int fd = new_socket(c, SOCK_NONBLOCK);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&all.address,
		    sizeof(all.address)) < 0 &&
		errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	watch(c, fd, EPOLL_CTL_ADD, EPOLLOUT);
	return fd;
}

static bool
has_connected(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 &&
	       err == 0;
}

void
redial(struct conn *c)
{
	c->connected = false;
	c->sent = c->echoed = 0;
	c->fd = dial(c);
	c->due_us = all.now + RETRY_US;
}

static void
broke(struct conn *c)
{
	if (c->coming)
		die("receive", "a connection that comes home broke");
	close(c->fd);
	all.figures.broken++;
	if (!c->lost)
		all.nlost++;
	c->lost = true;
	if (c->asked_us == 0)
		c->asked_us = all.now;
	redial(c);
}

void
ask(struct conn *c)
{
	unsigned char data[CHUNK];
	ssize_t n;

	load_fill(c->key, c->sent, data, sizeof(data));
	n = send(c->fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (c->asked_us == 0)
		c->asked_us = all.now;
	if (n == (ssize_t)sizeof(data))
		c->sent += sizeof(data);
	else if (n >= 0 || errno == EAGAIN)
		die("send", "the kernel does not take a short message");
	else
		broke(c);
}

/* Nothing is under way on either connection. */
static void
switch_over(struct conn *c)
{
	c->old = c->fd;
	shutdown(c->old, SHUT_WR);
	c->fd = c->next;
	c->next = -1;
	c->next_connected = false;
	c->sent = c->echoed = 0;
	watch(c, c->fd, EPOLL_CTL_MOD, EPOLLIN);
	ask(c);
}

/* It is, when the old connection has ended and the new one has answered. */
static void
look_if_home(struct conn *c)
{
	if (!c->coming || c->next >= 0 || c->old >= 0 || c->asked_us > 0)
		return;
	c->coming = false;
	all.ncoming--;
	all.figures.home++;
	all.figures.home_us = all.now - all.figures.notice_us;
}

static void
answered(struct conn *c)
{
	int64_t wait = all.now - c->asked_us;

	c->asked_us = 0;
	all.figures.answers++;
	if (wait > all.figures.longest_us)
		all.figures.longest_us = wait;
	if (c->lost) {
		c->lost = false;
		all.nlost--;
		all.figures.back++;
		all.figures.back_us = all.now - all.figures.start_us;
		c->due_us = all.now + BEAT_US;
	}
	if (c->next_connected)
		switch_over(c);
	look_if_home(c);
}

static void
hear(struct conn *c)
{
	unsigned char data[4 * CHUNK];
	ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		broke(c);
		return;
	}
	if (c->echoed + (uint64_t)n > c->sent ||
		load_verify(c->key, c->echoed, data, (size_t)n) > 0)
		die("receive", "wrong bytes");
	c->echoed += (uint64_t)n;
	if (c->echoed == c->sent)
		answered(c);
}

static void
on_main(struct conn *c)
{
	if (c->connected) {
		hear(c);
	} else if (!has_connected(c->fd)) {
		close(c->fd);
		c->fd = -1;
	} else {
		c->connected = true;
		watch(c, c->fd, EPOLL_CTL_MOD, EPOLLIN);
		ask(c);
	}
}

static void
on_next(struct conn *c)
{
	if (!has_connected(c->next))
		die("connect", "nobody is at home");
	c->next_connected = true;
	watch(c, c->next, EPOLL_CTL_MOD, 0);
	if (c->asked_us == 0)
		switch_over(c);
}

static void
on_old(struct conn *c)
{
	char byte;

	if (recv(c->old, &byte, 1, MSG_DONTWAIT) != 0)
		die("drain", "the old connection did not just end");
	close(c->old);
	c->old = -1;
	look_if_home(c);
}

void
go_home(struct conn *c)
{
	c->next = dial(c);
	if (c->next < 0)
		die("connect", strerror(errno));
	c->coming = true;
	all.ncoming++;
}

void
on_socket(struct conn *c, int fd)
{
	if (fd == c->fd)
		on_main(c);
	else if (fd == c->next)
		on_next(c);
	else if (fd == c->old)
		on_old(c);
}
