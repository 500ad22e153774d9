/* SPDX-License-Identifier: MIT */
/*
 * One connection attempt. Never blocks, never retries, and does not know of
 * other endpoints.
 */
#include "client/dial.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void try_next(struct handoff__dial *dial);

static void
drop_socket(struct handoff__dial *dial)
{
	handoff__watch_del(dial->loop, &dial->watch);
	if (dial->fd >= 0)
		close(dial->fd);
	dial->fd = -1;
}

void
handoff__dial_cancel(struct handoff__dial *dial)
{
	if (!dial->loop)
		return;
	handoff__timer_disarm(dial->loop, &dial->timer);
	drop_socket(dial);
	handoff__resolve_free(dial->resolve);
	dial->resolve = NULL;
}

static void
dial_failed(struct handoff__dial *dial)
{
	handoff__dial_cancel(dial);
	dial->done(dial, dial->err, dial->failure);
}

/* This address failed: tries the next one of the name. */
static void
address_failed(struct handoff__dial *dial, int err)
{
	const char *why = strerror(err);

	dial->err = -err;
	handoff__timer_disarm(dial->loop, &dial->timer);
	drop_socket(dial);
	if (dial->addresses.count > 1)
		snprintf(dial->failure, sizeof(dial->failure), "%.120s: %s",
			dial->address, why);
	else
		handoff__copy(dial->failure, sizeof(dial->failure), why);
	try_next(dial);
}

/* A connect to an ephemeral local port that has no listener can connect to
 * itself, when the kernel picks the same port as the source (a simultaneous
 * open, RFC 9293, 3.5). A client that retries long enough gets there. */
static bool
is_self_connected(int fd)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	memset(&own, 0, sizeof(own));
	memset(&peer, 0, sizeof(peer));
	if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 ||
		getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
		return false;
	return own.ss_family != AF_UNIX && own_len == peer_len &&
	       memcmp(&own, &peer, own_len) == 0;
}

static void
connected(struct handoff__dial *dial)
{
	int fd = dial->fd;

	if (is_self_connected(fd)) {
		address_failed(dial, ECONNREFUSED);
		return;
	}
	handoff__watch_del(dial->loop, &dial->watch);
	dial->fd = -1;
	handoff__dial_cancel(dial);
	dial->done(dial, fd, dial->address);
}

static void
on_socket(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__dial *dial = watch->arg;
	int err = 0;
	socklen_t len = sizeof(err);

	(void)events;
	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err != 0)
		address_failed(dial, err);
	else
		connected(dial);
}

/* Detects a silent peer on an idle connection too: TCP_USER_TIMEOUT bounds
 * keepalive probes as it bounds data (tcp(7)). */
static void
set_socket_options(const struct handoff__dial *dial, int fd)
{
	unsigned timeout = dial->user_timeout_ms;
	int one = 1, seconds = (int)(timeout / 2000);

	seconds = seconds < 1 ? 1 : seconds > 32767 ? 32767 : seconds;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(
		fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

static void
try_connect(
	struct handoff__dial *dial, const struct sockaddr *sa, socklen_t len)
{
	int err;

	handoff__addr_format(sa, len, dial->address, sizeof(dial->address));
	dial->fd = socket(
		sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (dial->fd < 0) {
		address_failed(dial, errno);
		return;
	}
	if (sa->sa_family != AF_UNIX)
		set_socket_options(dial, dial->fd);
	if (connect(dial->fd, sa, len) == 0) {
		connected(dial);
		return;
	}
	if (errno != EINPROGRESS && errno != EINTR) {
		address_failed(dial, errno);
		return;
	}
	dial->watch.fn = on_socket;
	err = handoff__watch_add(dial->loop, &dial->watch, dial->fd, EPOLLOUT);
	if (err < 0)
		address_failed(dial, -err);
	else
		handoff__timer_arm(dial->loop, &dial->timer,
			(int64_t)dial->timeout_ms * 1000);
}

static void
try_next(struct handoff__dial *dial)
{
	struct handoff__address *address;

	if (dial->next == dial->addresses.count) {
		dial_failed(dial);
		return;
	}
	address = &dial->addresses.list[dial->next++];
	try_connect(dial, &address->u.sa, address->len);
}

/* The errno for programs; the sentence says more. */
static int
resolver_errno(int eai)
{
	switch (eai) {
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	default:
		return -ENOENT;
	}
}

static void
on_resolved(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__dial *dial = watch->arg;

	(void)events;
	handoff__resolve_take(dial->resolve, &dial->addresses);
	handoff__dial_cancel(dial);
	if (dial->addresses.err != 0) {
		dial->err = resolver_errno(dial->addresses.err);
		snprintf(dial->failure, sizeof(dial->failure),
			"cannot resolve the host: %s",
			gai_strerror(dial->addresses.err));
	}
	try_next(dial);
}

static void
on_dial_timer(struct handoff__timer *timer)
{
	struct handoff__dial *dial = timer->arg;

	if (!dial->resolve) {
		address_failed(dial, ETIMEDOUT);
		return;
	}
	dial->err = -ETIMEDOUT;
	snprintf(dial->failure, sizeof(dial->failure),
		"cannot resolve the host within %u ms", dial->timeout_ms);
	dial_failed(dial);
}

static void
start_resolving(struct handoff__dial *dial)
{
	int err = handoff__resolve_start(&dial->resolve, &dial->addr);

	dial->watch.fn = on_resolved;
	if (err >= 0)
		err = handoff__watch_add(
			dial->loop, &dial->watch, err, EPOLLIN);
	if (err < 0) {
		dial->err = err;
		snprintf(dial->failure, sizeof(dial->failure),
			"cannot resolve the host: %s", strerror(-err));
		dial_failed(dial);
		return;
	}
	handoff__timer_arm(
		dial->loop, &dial->timer, (int64_t)dial->timeout_ms * 1000);
}

void
handoff__dial_init(struct handoff__dial *dial)
{
	memset(dial, 0, sizeof(*dial));
	dial->fd = -1;
	dial->watch = (struct handoff__watch){.fd = -1, .arg = dial};
	dial->timer = (struct handoff__timer){.fn = on_dial_timer, .arg = dial};
}

void
handoff__dial_start(
	struct handoff__dial *dial, const struct handoff__addr *addr)
{
	assert(dial->fd < 0 && !dial->resolve && !dial->timer.armed);
	dial->addr = *addr;
	dial->next = 0;
	dial->err = -ENOENT; /* the name has no address */
	dial->failure[0] = dial->address[0] = '\0';
	if (handoff__resolve_at_once(addr, &dial->addresses))
		try_next(dial);
	else
		start_resolving(dial);
}
