/* SPDX-License-Identifier: MIT */
/*
 * Listeners: entries like any other, so that their backlog moves with them.
 */
#include "server/internal.h"

#include "base/addr.h"
#include "base/door.h"
#include "base/high.h"
#include "base/reach.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_MOST 64 /* per iteration, to leave time for connections */
#define RETRY_US    100000

/* Reports the addresses that ":port" stands for, for clients on other hosts.
 * Bounded, since unread events displace older ones. */
void
handoff__listen_reach(struct handoff_server *server)
{
	struct handoff__reach reach = {.count = 0};
	struct handoff__member *member;

	TAILQ_FOREACH (member, &server->listeners, node) {
		int err = member->fresh
				  ? handoff__reach_add(&reach, member->entry.fd)
				  : 0;

		member->fresh = false;
		if (err < 0)
			handoff__log(&server->log, HANDOFF_LOG_WARNING,
				"cannot determine the addresses of this host: "
				"%s",
				strerror(-err));
	}
	for (size_t i = 0; i < reach.count; i++)
		handoff__operator_emit(&server->op, HANDOFF_SERVER_REACHABLE,
			"reachable at %s", reach.list[i]);
	if (reach.more > 0)
		handoff__operator_emit(&server->op, HANDOFF_SERVER_REACHABLE,
			"reachable at %zu more address%s", reach.more,
			reach.more == 1 ? "" : "es");
}

static struct handoff__member *
bind_and_enter(struct handoff_server *server, const char *address,
	char bound[HANDOFF_ADDRESS_MAX], int *err)
{
	struct handoff__roster_entry *e;
	int fd = handoff__addr_listen(address, bound, &server->error);

	if (fd < 0) {
		*err = fd;
		return NULL;
	}
	fd = handoff__high_raise(fd);
	e = handoff__pair_enter(
		&server->pair, fd, HANDOFF__LISTENER, bound, err);
	if (e)
		return handoff__member_of(e);
	handoff__fail(&server->error, *err,
		"address '%.120s': cannot be entered: %s", bound,
		strerror(-*err));
	return NULL;
}

int
handoff__listen_again(struct handoff_server *server, const char *address)
{
	char bound[HANDOFF_ADDRESS_MAX];
	int err = 0;

	return bind_and_enter(server, address, bound, &err) ? 0 : err;
}

int
handoff__listen_add(struct handoff_server *server, const char *address)
{
	struct handoff__member *member;
	char bound[HANDOFF_ADDRESS_MAX];
	int err = 0;

	member = bind_and_enter(server, address, bound, &err);
	if (!member)
		return err;
	member->wanted = member->fresh = true;
	handoff__operator_emit(&server->op, HANDOFF_SERVER_LISTENING,
		"listening on %s", bound);
	return 0;
}

int
handoff__listen_own(struct handoff_server *server, size_t i)
{
	if (server->unresolved[i])
		return handoff__fail(
			&server->error, -EINVAL, "%s", server->unresolved[i]);
	return handoff__listen_add(server, server->opts.listen[i]);
}

int
handoff__listen_open(struct handoff_server *server)
{
	int err = 0;

	for (size_t i = 0; i < server->opts.nlisten && err >= 0; i++) {
		const char *address = server->opts.listen[i];

		if (!handoff__adopted_has(server, address))
			err = handoff__listen_own(server, i);
	}
	if (err >= 0)
		err = handoff__adopted_enter(server);
	if (err < 0)
		return err;
	handoff__listen_reach(server);
	return 0;
}

static bool
at_limit(const struct handoff_server *server)
{
	/* those that the service has made do not count, nor do sessions without
	 * a socket: they are to come back */
	return server->pair.roster.connections - server->noutgoing -
		       server->resumes.absent >=
	       server->opts.max_connections;
}

/* Whether clients wait in the backlog because of the limit. */
static bool
waits(const struct handoff_server *server)
{
	return at_limit(server) && !server->opts.refuse_excess;
}

/* Whether a client that was accepted is above a limit; if so it is counted. */
static bool
is_refused(struct handoff_server *server)
{
	uint32_t most = server->opts.max_per_address;

	if (at_limit(server))
		handoff__limits_refuse(server, HANDOFF__LIMIT_TOTAL);
	else if (most > 0 && handoff__limits_count(&server->limits,
				     &server->incoming) >= most)
		handoff__limits_refuse(server, HANDOFF__LIMIT_ADDRESS);
	else
		return false;
	return true;
}

/* Out of descriptors or memory: new connections wait in the backlog. Logged
 * once, until none waits any more. */
static void
hold_off(struct handoff_server *server, int err)
{
	if (!server->starved)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"accept: %s: new connections wait in the backlog",
			strerror(err));
	server->starved = true;
	handoff__timer_arm(&server->loop, &server->accept_retry, RETRY_US);
}

static bool
client_waits(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* Whether there are descriptors for one more client, if need be those of
 * sessions. Reclaims lent ones first. */
static bool
makes_room(struct handoff_server *server, int listener)
{
	while (!handoff__spare_keep(server)) {
		if (!client_waits(listener) || !handoff__absent_yield(server))
			return false;
	}
	return true;
}

static bool
owns_listeners(const struct handoff_server *server)
{
	const struct handoff__member *member;

	TAILQ_FOREACH (member, &server->listeners, node) {
		if (member->entry.mine)
			return true;
	}
	return false;
}

/* Whether a client may be accepted: only while there is enough for everything
 * else. */
static bool
accepts(struct handoff_server *server)
{
	bool retries = server->accept_retry.armed;

	if (!retries && !server->paused && owns_listeners(server) &&
		handoff__pair_may_begin(&server->pair)) {
		server->full = waits(server);
		/* a client may make a session end, but nothing else does */
		if (server->full || handoff__spare_keep(server) ||
			handoff__absent_yields(server))
			return !server->full;
		hold_off(server, EMFILE);
		retries = true;
	}
	server->full = retries || waits(server);
	handoff__spare_drop(server);
	return false;
}

/* Arms or disarms all listeners of this peer. */
void
handoff__listen_update(struct handoff_server *server)
{
	struct handoff__member *member;
	uint32_t want = accepts(server) ? EPOLLIN : 0;

	TAILQ_FOREACH (member, &server->listeners, node) {
		if (!member->entry.mine || member->armed == want)
			continue;
		if (member->set >= 0 &&
			handoff__sets_arm(&server->sets, member->set,
				member->entry.fd, want, member) == 0)
			member->armed = want;
		else
			handoff__server_stall(server);
	}
}

void
handoff__listen_on_retry(struct handoff__timer *timer)
{
	handoff__listen_update(timer->arg);
}

static bool
accept_failed(struct handoff_server *server, int listener, int err)
{
	/* the kernel looks for a number before it looks for a client */
	if (err == EMFILE && !client_waits(listener))
		err = EAGAIN;
	if (err == EAGAIN) {
		server->starved = false;
		return false;
	}
	if (handoff__accept_goes_on(err) ||
		(err == EMFILE && handoff__absent_yield(server)))
		return true;
	hold_off(server, err);
	handoff__listen_update(server);
	return false;
}

/* False if no more can be accepted now. */
static bool
accept_one(struct handoff_server *server, int listener)
{
	struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(ss);
	struct handoff__roster_entry *e;
	bool unwatched;
	int err;
	int fd = accept4(listener, (struct sockaddr *)&ss, &len,
		SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return accept_failed(server, listener, errno);
	handoff__client_note(&server->incoming, &ss);
	if (is_refused(server)) {
		close(fd);
		return true;
	}
	e = handoff__pair_enter(
		&server->pair, fd, HANDOFF__CONNECTION, NULL, &err);
	if (!e) {
		handoff__log(&server->log, HANDOFF_LOG_ERROR,
			"accept: a connection was closed: %s", strerror(-err));
		return true;
	}
	unwatched = handoff__member_of(e)->set < 0;
	if (server->opts.service->open) {
		/* a worker may be in its first turn already */
		handoff__record_mark_due(e->view.rec);
		handoff__member_kick(handoff__member_of(e));
	}
	return !unwatched || accept_failed(server, listener, ENOMEM);
}

void
handoff__listen_event(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	if (server->paused)
		return; /* the event may be older than the pause */
	if (!handoff__pair_may_begin(&server->pair)) {
		handoff__listen_update(server);
		return;
	}
	for (int i = 0; i < ACCEPT_MOST; i++) {
		bool full = waits(server);

		if (full || !makes_room(server, member->entry.fd)) {
			if (!full && client_waits(member->entry.fd))
				hold_off(server, EMFILE);
			handoff__listen_update(server);
			return;
		}
		if (!accept_one(server, member->entry.fd))
			return;
	}
}

/* The address of a listener that this peer owns; false for any other. */
bool
handoff__listen_name(
	const struct handoff__member *member, char name[HANDOFF_ADDRESS_MAX])
{
	return member->entry.mine &&
	       handoff__record_name(&member->entry.view, name) == 0;
}

/* Whether the listener has a socket file of its own. */
static bool
has_path(struct handoff__member *member, char name[HANDOFF_ADDRESS_MAX])
{
	const struct handoff__record *rec = member->entry.view.rec;

	return handoff__listen_name(member, name) &&
	       strncmp(name, "unix:", 5) == 0 &&
	       !(handoff__record_commit(rec)->flags & HANDOFF__ADOPTED);
}

/* Removes the socket files, unless another peer continues to serve them. */
void
handoff__listen_unlink(struct handoff_server *server)
{
	char name[HANDOFF_ADDRESS_MAX];
	struct handoff__member *member;

	if (server->pair.partner != HANDOFF__PARTNER_NONE)
		return;
	TAILQ_FOREACH (member, &server->listeners, node) {
		if (has_path(member, name))
			unlink(name + 5);
	}
}

/* clients in the backlog are connected, and would be reset */
static bool
drain(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	int fd = member->entry.fd;

	while (client_waits(fd)) {
		if (waits(server) || !makes_room(server, fd))
			return false;
		if (!accept_one(server, fd))
			return !server->starved;
	}
	return true;
}

bool
handoff__listen_end(struct handoff__member *member)
{
	char name[HANDOFF_ADDRESS_MAX];
	bool path;

	if (!drain(member))
		return false;
	path = has_path(member, name);
	/* the other peer has a copy for a moment longer */
	shutdown(member->entry.fd, SHUT_RDWR);
	if (path)
		handoff__addr_clear(name + 5);
	handoff__pair_end(&member->server->pair, &member->entry);
	return true;
}

/* Nobody is to be let in any more, nor the address be in use, even if the other
 * peer has copies for a moment longer. */
void
handoff__listen_shut(struct handoff_server *server)
{
	struct handoff__member *member;

	TAILQ_FOREACH (member, &server->listeners, node) {
		if (member->entry.mine)
			shutdown(member->entry.fd, SHUT_RDWR);
	}
}

/* Closes the listeners: no peer is there to serve them. */
void
handoff__listen_close(struct handoff_server *server)
{
	struct handoff__member *member = TAILQ_FIRST(&server->listeners), *next;

	for (; member; member = next) {
		char name[HANDOFF_ADDRESS_MAX];

		next = TAILQ_NEXT(member, node);
		if (has_path(member, name))
			unlink(name + 5);
		if (member->entry.mine)
			handoff__pair_end(&server->pair, &member->entry);
	}
	handoff__adopted_close(server);
}
