/* SPDX-License-Identifier: MIT */
/*
 * Connections that the service makes: the loop's thread connects what records
 * ask for, without blocking, and enters each as the pair of the one that asked.
 * Nothing of an attempt is in shared memory but its failure: a survivor, or the
 * peer that the connection moves to, makes another one.
 */
#include "server/internal.h"

#include "base/addr.h"
#include "base/high.h"
#include "base/progress.h"
#include "record/pass.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_US 50000

struct handoff__attempt {
	TAILQ_ENTRY(handoff__attempt) node;
	struct handoff_server *server;
	struct handoff__member *client; /* that waits for it */
	int64_t end_us;
	struct handoff__watch watch;
	struct handoff__timer timer;
};

static struct handoff__wish *
wish_of(const struct handoff__member *member)
{
	const struct handoff__view *view = &member->entry.view;

	return handoff__pass_wish(
		view, handoff__record_commit(view->rec)->flags);
}

/* Returns the descriptor, or -1. */
static int
free_attempt(struct handoff__attempt *a)
{
	int fd = a->watch.fd;

	handoff__watch_del(&a->server->loop, &a->watch);
	handoff__timer_disarm(&a->server->loop, &a->timer);
	TAILQ_REMOVE(&a->server->attempts, a, node);
	free(a);
	return fd;
}

static void
drop_attempt(struct handoff__attempt *a)
{
	int fd = free_attempt(a);

	if (fd >= 0)
		close(fd);
}

static void
fail_client(struct handoff__member *client, int err)
{
	struct handoff__wish *wish = wish_of(client);

	handoff__log(&client->server->log, HANDOFF_LOG_INFO,
		"connection %llu: cannot connect to %.120s: %s",
		(unsigned long long)client->entry.id, wish->address,
		strerror(err));
	atomic_store(&wish->error, (uint32_t)err);
	handoff__member_kick(client);
}

static void
fail_attempt(struct handoff__attempt *a, int err)
{
	struct handoff__member *client = a->client;

	drop_attempt(a);
	fail_client(client, err);
}

/* A connect to a local port without a listener may connect to itself (a
 * simultaneous open, RFC 9293, 3.5). */
static bool
is_own(int fd)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);

	memset(&own, 0, sizeof(own));
	memset(&peer, 0, sizeof(peer));
	return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 &&
	       own.ss_family != AF_UNIX && own_len == peer_len &&
	       memcmp(&own, &peer, own_len) == 0;
}

/* The kernel counts the SYN of an active open as a byte that was acknowledged
 * (progress.c): so the positions begin where its counters stand now. */
static void
begin_positions(const struct handoff__roster_entry *e)
{
	struct handoff__progress progress;

	if (handoff__progress(e->fd, &progress) < 0)
		return;
	e->view.rec->rx_base = 0 - progress.read;
	e->view.rec->tx_base = 0 - progress.written;
}

/* No worker begins a turn until the standby has been sent the new entry. */
static void
join(struct handoff__member *client, int fd)
{
	struct handoff_server *server = client->server;
	struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(ss);
	struct handoff__roster_entry *e;
	int err = 0;

	if (server->model->hold && !server->holding) {
		handoff__server_hold(server, true);
		server->joined = true;
	}
	getpeername(fd, (struct sockaddr *)&ss, &len);
	handoff__client_note(&server->incoming, &ss);
	server->joining = client;
	e = handoff__pair_enter_with(&server->pair, fd, HANDOFF__CONNECTION,
		NULL, &client->entry, &err);
	server->joining = NULL;
	if (!e) {
		fail_client(client, -err);
		return;
	}
	begin_positions(e);
	handoff__record_mark(e->view.rec, HANDOFF__PENDING);
	handoff__pass_join(&client->entry.view, &e->view);
	server->noutgoing++;
	handoff__pairs_link(handoff__member_of(e));
	handoff__member_kick(handoff__member_of(e));
	handoff__member_kick(client);
}

static void
connected(struct handoff__attempt *a)
{
	struct handoff__member *client = a->client;
	int fd = free_attempt(a);

	if (is_own(fd)) {
		close(fd);
		fail_client(client, ECONNREFUSED);
		return;
	}
	join(client, fd);
}

static void
on_connecting(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__attempt *a = watch->arg;
	int err = 0;
	socklen_t len = sizeof(err);

	(void)events;
	if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err != 0)
		fail_attempt(a, err);
	else
		connected(a);
}

/* As for sockets that are accepted, see addr.c. */
static void
set_options(int fd, const struct sockaddr_storage *ss)
{
	int one = 1;

	if (ss->ss_family == AF_UNIX)
		return;
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void
wait_until(struct handoff__attempt *a, int64_t us)
{
	handoff__timer_arm(&a->server->loop, &a->timer, us > 0 ? us : 0);
}

/* The backlog of a Unix socket is full: unlike TCP's it makes nobody wait. */
static void
retry_soon(struct handoff__attempt *a, int fd)
{
	int64_t left = a->end_us - handoff__now_us();

	close(fd);
	wait_until(a, left < RETRY_US ? left : RETRY_US);
}

/* A descriptor was promised to the client when it was accepted: spare.c. */
static int
open_promised(struct handoff_server *server, sa_family_t family)
{
	int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

	handoff__reserve_release(&server->reserve, 1);
	return socket(family, type, 0);
}

static void
try_connecting(struct handoff__attempt *a)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, err = -handoff__addr_numeric(
			wish_of(a->client)->address, &ss, &len);

	if (err != 0) {
		fail_attempt(a, err);
		return;
	}
	fd = open_promised(a->server, ss.ss_family);
	if (fd < 0) {
		fail_attempt(a, errno);
		return;
	}
	fd = handoff__high_raise(fd);
	set_options(fd, &ss);
	err = connect(fd, (struct sockaddr *)&ss, len) < 0 ? errno : 0;
	if (err == EAGAIN) {
		retry_soon(a, fd);
		return;
	}
	if (err == 0 || err == EINPROGRESS || err == EINTR) {
		err = -handoff__watch_add(
			&a->server->loop, &a->watch, fd, EPOLLOUT);
		wait_until(a, a->end_us - handoff__now_us());
	}
	if (err == 0)
		return;
	if (a->watch.fd < 0)
		close(fd);
	fail_attempt(a, err);
}

static void
on_attempt_timer(struct handoff__timer *timer)
{
	struct handoff__attempt *a = timer->arg;

	if (a->watch.fd >= 0 || handoff__now_us() >= a->end_us)
		fail_attempt(a, ETIMEDOUT);
	else
		try_connecting(a);
}

static struct handoff__attempt *
find_attempt(const struct handoff__member *member)
{
	struct handoff__attempt *a;

	TAILQ_FOREACH (a, &member->server->attempts, node) {
		if (a->client == member)
			return a;
	}
	return NULL;
}

/* The dialing itself comes later, so that nothing fails within a turn. */
void
handoff__outgoing_look(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	const struct handoff__view *view = &member->entry.view;
	struct handoff__attempt *a;

	if (!member->entry.mine || view->seg->geo.pass_size == 0 ||
		!handoff__pass_to_dial(view, 0) || find_attempt(member))
		return;
	/* of a pair that did not outlive its process */
	atomic_store(&view->rec->extra.pair, 0);
	atomic_store(&wish_of(member)->dialer, (uint32_t)server->pair.place);
	a = calloc(1, sizeof(*a));
	if (!a) {
		fail_client(member, ENOMEM);
		return;
	}
	a->server = server;
	a->client = member;
	a->end_us = handoff__now_us() +
		    (int64_t)server->opts.connect_timeout_ms * 1000;
	a->watch = (struct handoff__watch){
		.fd = -1, .fn = on_connecting, .arg = a};
	a->timer = (struct handoff__timer){.fn = on_attempt_timer, .arg = a};
	TAILQ_INSERT_TAIL(&server->attempts, a, node);
	wait_until(a, 0);
}

void
handoff__outgoing_forget(struct handoff__member *member)
{
	struct handoff__attempt *a;

	if (TAILQ_EMPTY(&member->server->attempts))
		return;
	a = find_attempt(member);
	if (a)
		drop_attempt(a);
}

void
handoff__outgoing_release(struct handoff_server *server)
{
	if (!server->joined)
		return;
	server->joined = false;
	handoff__server_hold(server, false);
}

void
handoff__outgoing_close(struct handoff_server *server)
{
	while (!TAILQ_EMPTY(&server->attempts))
		drop_attempt(TAILQ_FIRST(&server->attempts));
}
