/* SPDX-License-Identifier: MIT */
/*
 * How a peer finds its place. A place is a lock that the kernel releases
 * when its holder dies; the sockets of a place belong to who holds the lock,
 * so a stale one is replaced and a live one never stolen. A third lock keeps
 * two peers from starting at once.
 */
#include "peer/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_US 10000000
#define HELLO_TIMEOUT_US 5000000
#define DYING_TIMEOUT_US 1000000

static const char *const lock_names[] = {"", "peer.1", "peer.2"};
static const char *const link_names[] = {"", "link.1", "link.2"};

static void
pause_us(long us)
{
	struct timespec ts = {.tv_nsec = us * 1000};

	nanosleep(&ts, NULL);
}

/* Who holds a place, as its file says: "server (pid 12)". */
static void
holder(struct handoff__peer *peer, int slot, char text[64])
{
	char line[64] = "", name[HANDOFF_NAME_MAX] = "?";
	int pid = 0;
	ssize_t n = handoff__dir_read(
		&peer->dir, lock_names[slot], line, sizeof(line) - 1);

	if (n > 0)
		sscanf(line, "%31s %d", name, &pid);
	snprintf(text, 64, "%s (pid %d)", name, pid);
}

/* Others that start wait here for us, and we for them. */
static int
lock_start(struct handoff__peer *peer)
{
	int64_t deadline = handoff__now_us() + START_TIMEOUT_US;

	for (;;) {
		peer->start_fd = handoff__dir_lock(&peer->dir, "lock");
		if (peer->start_fd >= 0)
			return 0;
		if (peer->start_fd != -EWOULDBLOCK)
			return handoff__fail(&peer->error, peer->start_fd,
				"service directory %s: cannot lock it: %s",
				peer->dir.path, strerror(-peer->start_fd));
		if (handoff__now_us() > deadline)
			return handoff__fail(&peer->error, -ETIMEDOUT,
				"service directory %s: another peer has been "
				"starting for 10 s; is it stopped?",
				peer->dir.path);
		pause_us(5000);
	}
}

/* Takes the first place that is free. -EWOULDBLOCK if none is. */
static int
try_places(struct handoff__peer *peer)
{
	for (peer->slot = 1; peer->slot <= 2; peer->slot++) {
		peer->lock_fd =
			handoff__dir_lock(&peer->dir, lock_names[peer->slot]);
		if (peer->lock_fd != -EWOULDBLOCK)
			break;
	}
	return peer->lock_fd;
}

static int
lock_place(struct handoff__peer *peer)
{
	/* A process that was killed keeps its lock for a moment more. */
	int64_t deadline = handoff__now_us() + DYING_TIMEOUT_US;
	char one[64], two[64], line[64];
	int len, err;

	while ((err = try_places(peer)) == -EWOULDBLOCK &&
		handoff__now_us() < deadline)
		pause_us(5000);
	if (err == -EWOULDBLOCK) {
		holder(peer, 1, one);
		holder(peer, 2, two);
		return handoff__fail(&peer->error, -EBUSY,
			"service directory %s has two peers already, %s and "
			"%s: stop one of them first",
			peer->dir.path, one, two);
	}
	if (err < 0)
		return handoff__fail(&peer->error, err,
			"service directory %s: cannot lock %s: %s",
			peer->dir.path, lock_names[peer->slot], strerror(-err));
	len = snprintf(
		line, sizeof(line), "%s %d\n", peer->name, (int)getpid());
	if (ftruncate(peer->lock_fd, 0) < 0 ||
		pwrite(peer->lock_fd, line, (size_t)len, 0) != len)
		return handoff__fail(&peer->error, -EIO,
			"service directory %s: cannot write %s: %s",
			peer->dir.path, lock_names[peer->slot],
			strerror(errno));
	return 0;
}

void
handoff__peer_hello(
	const struct handoff__peer *peer, struct handoff__hello *hello)
{
	const struct handoff_service *service = peer->config.service;

	memset(hello, 0, sizeof(*hello));
	hello->version_min = HANDOFF__PROTOCOL_MIN;
	hello->version_max = HANDOFF__PROTOCOL_MAX;
	hello->layout = HANDOFF__LAYOUT;
	hello->state_size = service->state_size;
	hello->state_version = service->state_version;
	hello->converts = service->convert ? service->convert_from + 1 : 0;
	hello->pid = (uint32_t)getpid();
	hello->slot = (uint32_t)peer->slot;
	hello->serving = peer->serving;
	hello->config_hash = peer->config.config_hash;
	hello->config_strict = peer->config.config_strict;
	handoff__copy(hello->service, sizeof(hello->service), service->name);
	handoff__copy(hello->name, sizeof(hello->name), peer->name);
}

bool
handoff__peer_drifted(
	const struct handoff__peer *peer, const struct handoff__hello *h)
{
	uint64_t own = peer->config.config_hash;

	return h->config_hash != own && h->config_hash != 0 && own != 0;
}

/* The states of one must be those of the other, or be older and convertible:
 * the service then moves from the older program to the newer one. */
static enum handoff__reason
judge_states(const struct handoff__hello *a, const struct handoff__hello *b)
{
	const struct handoff__hello *newer = a, *older = b;

	if (a->state_version == b->state_version)
		return a->state_size == b->state_size ? HANDOFF__OK
						      : HANDOFF__BAD_STATE_SIZE;
	if (a->state_version < b->state_version) {
		newer = b;
		older = a;
	}
	return newer->converts > 0 && !newer->serving &&
			       newer->converts - 1 <= older->state_version
		       ? HANDOFF__OK
		       : HANDOFF__BAD_STATE_VERSION;
}

/* Can the two of us be peers? */
static enum handoff__reason
judge(const struct handoff__peer *peer, const struct handoff__hello *h)
{
	struct handoff__hello own;

	handoff__peer_hello(peer, &own);
	if (h->version_min > own.version_max ||
		h->version_max < own.version_min)
		return HANDOFF__BAD_VERSION;
	if (strcmp(h->service, own.service) != 0)
		return HANDOFF__BAD_SERVICE;
	if (judge_states(h, &own) != HANDOFF__OK)
		return judge_states(h, &own);
	if (h->layout != own.layout)
		return HANDOFF__BAD_LAYOUT;
	if (handoff__peer_drifted(peer, h) &&
		(h->config_strict || own.config_strict))
		return HANDOFF__BAD_CONFIG;
	if (h->slot != handoff__peer_other_slot(peer) ||
		!handoff__name_ok(h->name))
		return HANDOFF__GARBAGE;
	return HANDOFF__OK;
}

/* "..., state version 2 there, 1 here": what to compare. */
static void
explain(const struct handoff__peer *peer, const struct handoff__hello *h,
	enum handoff__reason reason, char *text, size_t size)
{
	struct handoff__hello own;

	handoff__peer_hello(peer, &own);
	switch (reason) {
	case HANDOFF__BAD_VERSION:
		snprintf(text, size,
			"link protocol %u to %u there, %u to %u here",
			h->version_min, h->version_max, own.version_min,
			own.version_max);
		return;
	case HANDOFF__BAD_SERVICE:
		snprintf(text, size, "service %s there, %s here", h->service,
			own.service);
		return;
	case HANDOFF__BAD_STATE_SIZE:
		snprintf(text, size, "state of %u bytes there, %u here",
			h->state_size, own.state_size);
		return;
	case HANDOFF__BAD_STATE_VERSION:
		snprintf(text, size, "state version %u there, %u here",
			h->state_version, own.state_version);
		return;
	case HANDOFF__BAD_LAYOUT:
		snprintf(text, size, "record layout %u there, %u here",
			h->layout, own.layout);
		return;
	case HANDOFF__BAD_CONFIG:
		snprintf(text, size,
			"configuration %016llx there, %016llx here",
			(unsigned long long)h->config_hash,
			(unsigned long long)own.config_hash);
		return;
	default:
		handoff__copy(text, size, handoff__reason_text(reason));
	}
}

/* Says HELLO to the peer that holds the other place; its answer in `reply`.
 * -ECONNREFUSED while it has no socket yet or no more. */
static int
greet(struct handoff__peer *peer, struct handoff__msg *reply, int *link_fd)
{
	struct handoff__msg hello = {.type = HANDOFF__HELLO};
	int fd = handoff__dir_connect(&peer->dir,
		link_names[handoff__peer_other_slot(peer)], SOCK_SEQPACKET);
	int err;

	if (fd == -ENOENT)
		return -ECONNREFUSED;
	if (fd < 0)
		return fd;
	handoff__peer_hello(peer, &hello.hello);
	err = handoff__peer_pid(fd, false);
	if (err >= 0)
		err = handoff__link_send_sync(fd, &hello);
	if (err >= 0)
		err = handoff__link_recv_sync(
			fd, reply, handoff__now_us() + HELLO_TIMEOUT_US);
	if (err >= 0 && reply->type != HANDOFF__HELLO)
		err = -EBADMSG;
	if (err < 0) {
		close(fd);
		/* It left while we spoke: look again. */
		return err == -ECONNRESET || err == -EPIPE ? -ECONNREFUSED
							   : err;
	}
	*link_fd = fd;
	return 0;
}

/* Was the answer a welcome, and is the peer one of ours? */
static int
weigh(struct handoff__peer *peer, const struct handoff__hello *h)
{
	enum handoff__reason reason = judge(peer, h);
	char why[128];

	if (h->refusal == HANDOFF__TAKEN)
		return handoff__fail(&peer->error, -EBUSY,
			"service directory %s has two peers already, %s (pid "
			"%u) and %s (pid %u): stop one of them first",
			peer->dir.path, h->name, h->pid, h->partner,
			h->partner_pid);
	if (reason == HANDOFF__OK)
		reason = (enum handoff__reason)h->refusal;
	if (reason == HANDOFF__OK)
		return 0;
	explain(peer, h, reason, why, sizeof(why));
	return handoff__fail(&peer->error, -EPROTO,
		"cannot join %s (pid %u) in %s: %s", h->name, h->pid,
		peer->dir.path, why);
}

/* Joins the peer in the other place, if one lives. 0 also if none does. */
static int
join_other(struct handoff__peer *peer)
{
	uint32_t other = handoff__peer_other_slot(peer);
	int64_t deadline = handoff__now_us() + HELLO_TIMEOUT_US;
	struct handoff__msg reply;
	char who[64];
	int err, fd = -1;

	while (handoff__dir_locked(&peer->dir, lock_names[other])) {
		err = greet(peer, &reply, &fd);
		if (err == 0) {
			err = weigh(peer, &reply.hello);
			if (err < 0) {
				close(fd);
				return err;
			}
			err = handoff__peer_adopt_link(peer, fd, &reply.hello);
			if (err != -ESRCH)
				return err;
			continue; /* it died while we spoke */
		}
		if (err != -ECONNREFUSED || handoff__now_us() > deadline) {
			holder(peer, (int)other, who);
			return handoff__fail(&peer->error,
				err == -ECONNREFUSED ? -ETIMEDOUT : err,
				"%s in %s does not answer: %s", who,
				peer->dir.path,
				err == -EAGAIN || err == -ECONNREFUSED
					? "is it stopped?"
					: strerror(-err));
		}
		pause_us(5000); /* it is about to listen, or to be gone */
	}
	return 0;
}

static void
candidate_close(struct handoff__candidate *c)
{
	struct handoff__loop *loop = c->peer->loop;

	handoff__timer_disarm(loop, &c->timer);
	handoff__watch_del(loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->greeted = false;
}

static void
turn_away(struct handoff__candidate *c, const char *why)
{
	struct handoff__peer *peer = c->peer;

	snprintf(peer->refusal, sizeof(peer->refusal), "%.180s", why);
	handoff__log(peer->log, HANDOFF_LOG_WARNING, "link: refused %s", why);
	candidate_close(c);
	peer->tally.refused++;
	peer->ops->refused(peer, peer->refusal);
}

/* Answers a HELLO: welcome, or why not. */
static void
answer(struct handoff__candidate *c)
{
	struct handoff__peer *peer = c->peer;
	struct handoff__msg msg = {.type = HANDOFF__HELLO};
	enum handoff__reason reason = judge(peer, &c->hello);
	struct handoff__hello hello = c->hello;
	char why[128], text[HANDOFF_TEXT_MAX];
	int fd = c->fd;

	if (reason == HANDOFF__OK && peer->partner != HANDOFF__PARTNER_NONE)
		reason = HANDOFF__TAKEN;
	handoff__peer_hello(peer, &msg.hello);
	msg.hello.generation = handoff__peer_generation(peer);
	msg.hello.refusal = reason;
	if (reason == HANDOFF__TAKEN) {
		handoff__copy(msg.hello.partner, sizeof(msg.hello.partner),
			peer->other.name);
		msg.hello.partner_pid = peer->other.pid;
	}
	if (handoff__link_send_sync(fd, &msg) < 0)
		reason = HANDOFF__GARBAGE;
	if (reason != HANDOFF__OK) {
		explain(peer, &hello, reason, why, sizeof(why));
		snprintf(text, sizeof(text), "%s (pid %u): %s",
			handoff__name_ok(hello.name) ? hello.name : "a peer",
			hello.pid, why);
		turn_away(c, text);
		return;
	}
	handoff__timer_disarm(peer->loop, &c->timer);
	handoff__watch_del(peer->loop, &c->watch);
	c->fd = -1;
	c->greeted = false;
	if (handoff__peer_adopt_link(peer, fd, &hello) < 0)
		handoff__log(
			peer->log, HANDOFF_LOG_ERROR, "%s", peer->error.text);
}

void
handoff__join_candidates(struct handoff__peer *peer)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		struct handoff__candidate *c = &peer->pending[i];

		if (c->fd >= 0 && c->greeted &&
			peer->partner != HANDOFF__PARTNER_DYING)
			answer(c);
	}
}

static void
on_candidate(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__candidate *c = watch->arg;
	struct handoff__msg msg;
	int err = handoff__link_recv_sync(c->fd, &msg, 0);

	(void)events;
	if (err == -ETIMEDOUT)
		return;
	if (err == -ECONNRESET) {
		candidate_close(c);
		return;
	}
	if (err < 0 || msg.type != HANDOFF__HELLO || c->greeted) {
		turn_away(c, "a process that sent what is not a HELLO");
		return;
	}
	c->hello = msg.hello;
	c->greeted = true;
	/* The old partner's end may be waiting in the same batch. */
	handoff__link_read(&c->peer->link);
	handoff__join_candidates(c->peer);
}

static void
on_silence(struct handoff__timer *timer)
{
	turn_away(timer->arg, "a process that said no HELLO within 5 s");
}

static void
on_connect(void *arg, int fd)
{
	struct handoff__peer *peer = arg;
	struct handoff__candidate *c = NULL;

	for (int i = 0; i < HANDOFF__PENDING_MAX && !c; i++) {
		if (peer->pending[i].fd < 0)
			c = &peer->pending[i];
	}
	if (!c || handoff__peer_pid(fd, false) < 0) {
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"link: refused a process: %s",
			c ? "it runs as another user"
			  : "too many are being greeted");
		close(fd);
		return;
	}
	c->watch.fn = on_candidate;
	c->watch.arg = c;
	c->timer.fn = on_silence;
	c->timer.arg = c;
	if (handoff__watch_add(peer->loop, &c->watch, fd, EPOLLIN) < 0) {
		close(fd);
		return;
	}
	c->fd = fd;
	handoff__timer_arm(peer->loop, &c->timer, HELLO_TIMEOUT_US);
}

int
handoff__join(struct handoff__peer *peer)
{
	int err;

	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		peer->pending[i].fd = -1;
		peer->pending[i].watch.fd = -1;
		peer->pending[i].peer = peer;
	}
	err = handoff__dir_open(
		&peer->dir, peer->config.dir, true, false, &peer->error);
	if (err >= 0)
		err = lock_start(peer);
	if (err >= 0)
		err = lock_place(peer);
	if (err >= 0)
		err = join_other(peer);
	if (err < 0)
		return err;
	peer->listen_fd = handoff__dir_listen(&peer->dir,
		link_names[peer->slot], SOCK_SEQPACKET, &peer->error);
	if (peer->listen_fd < 0)
		return peer->listen_fd;
	return handoff__door_open(
		&peer->door, peer->loop, peer->listen_fd, on_connect, peer);
}

void
handoff__join_leave(struct handoff__peer *peer)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (peer->pending[i].peer)
			candidate_close(&peer->pending[i]);
	}
	if (peer->listen_fd >= 0) {
		handoff__door_close(&peer->door);
		close(peer->listen_fd);
		unlinkat(peer->dir.fd, link_names[peer->slot], 0);
	}
	if (peer->start_fd >= 0)
		close(peer->start_fd);
	if (peer->lock_fd >= 0) {
		/* Whoever looks from now on finds nobody. */
		(void)!ftruncate(peer->lock_fd, 0);
		close(peer->lock_fd);
	}
	peer->listen_fd = peer->start_fd = peer->lock_fd = -1;
	handoff__dir_close(&peer->dir);
}
