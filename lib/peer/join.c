/* SPDX-License-Identifier: MIT */
/*
 * How a peer finds its place. A place is a lock that the kernel releases
 * when its holder dies; the sockets of a place belong to who holds the lock,
 * so a stale one is replaced and a live one never stolen. A third lock keeps
 * two peers from starting at once.
 */
#include "peer/peer.h"

#include "base/process.h"

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
void
handoff__join_holder(struct handoff__peer *peer, int slot, char text[64])
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

const char *
handoff__join_lock_name(const struct handoff__peer *peer)
{
	return lock_names[peer->slot];
}

/* Writes into the file of its place which peer holds it. */
int
handoff__join_sign(struct handoff__peer *peer, int lock_fd)
{
	char line[64];
	int len = snprintf(
		line, sizeof(line), "%s %d\n", peer->name, (int)getpid());
	ssize_t n = ftruncate(lock_fd, 0);
	int err;

	if (n == 0)
		n = pwrite(lock_fd, line, (size_t)len, 0);
	if (n == len)
		return 0;
	err = n < 0 ? -errno : -ENOSPC;
	return handoff__fail(&peer->error, err,
		"service directory %s: cannot write %s: %s", peer->dir.path,
		lock_names[peer->slot], strerror(-err));
}

static int
lock_place(struct handoff__peer *peer)
{
	/* A process that was killed keeps its lock for a moment more. */
	int64_t deadline = handoff__now_us() + DYING_TIMEOUT_US;
	char one[64], two[64];
	int err;

	while ((err = try_places(peer)) == -EWOULDBLOCK &&
		handoff__now_us() < deadline)
		pause_us(5000);
	if (err == -EWOULDBLOCK) {
		handoff__join_holder(peer, 1, one);
		handoff__join_holder(peer, 2, two);
		return handoff__fail(&peer->error, -EBUSY,
			"service directory %s has two peers already, %s and "
			"%s: stop one of them first",
			peer->dir.path, one, two);
	}
	if (err < 0)
		return handoff__fail(&peer->error, err,
			"service directory %s: cannot lock %s: %s",
			peer->dir.path, lock_names[peer->slot], strerror(-err));
	return handoff__join_sign(peer, peer->lock_fd);
}

const char *
handoff__join_link_name(uint32_t slot)
{
	return link_names[slot];
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
	hello->instance = peer->instance;
	hello->segments = peer->arena.count;
	if (peer->arena.count > 0)
		hello->arena = handoff__arena_board(
			(struct handoff__arena *)(uintptr_t)&peer->arena)
				       ->id;
	hello->hang_ms = peer->config.hang_timeout_ms;
	handoff__copy(hello->service, sizeof(hello->service), service->name);
	handoff__copy(hello->name, sizeof(hello->name), peer->name);
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
	return newer->converts > 0 && (!newer->serving || a->again) &&
			       newer->converts - 1 <= older->state_version
		       ? HANDOFF__OK
		       : HANDOFF__BAD_STATE_VERSION;
}

enum handoff__reason
handoff__join_judge(
	const struct handoff__peer *peer, const struct handoff__hello *h)
{
	struct handoff__hello own;

	handoff__peer_hello(peer, &own);
	if (h->version_min > own.version_max ||
		h->version_max < own.version_min)
		return HANDOFF__BAD_VERSION;
	if (strcmp(h->service, own.service) != 0)
		return HANDOFF__BAD_SERVICE;
	own.again = h->again;
	if (judge_states(h, &own) != HANDOFF__OK)
		return judge_states(h, &own);
	if (h->layout != own.layout)
		return HANDOFF__BAD_LAYOUT;
	if (handoff__partner_drifted(peer, h) &&
		(h->config_strict || own.config_strict))
		return HANDOFF__BAD_CONFIG;
	if (h->slot != handoff__peer_other_slot(peer) ||
		!handoff__name_ok(h->name))
		return HANDOFF__GARBAGE;
	return HANDOFF__OK;
}

/* "..., state version 2 there, 1 here": what to compare. */
void
handoff__join_explain(const struct handoff__peer *peer,
	const struct handoff__hello *h, enum handoff__reason reason, char *text,
	size_t size)
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

/* Says HELLO over a connected socket, with a pidfd of this process. */
int
handoff__join_say_hello(int fd, const struct handoff__hello *hello)
{
	struct handoff__msg msg = {.type = HANDOFF__HELLO, .hello = *hello};
	int self = handoff__process_self();
	int err = handoff__link_send_sync(fd, &msg, self);

	if (self >= 0)
		close(self);
	return err;
}

/* Says HELLO to the peer that holds the other place; its answer in `reply`,
 * `*passed` its pidfd or -1. -ECONNREFUSED while it has no socket yet or no
 * more. */
static int
greet(struct handoff__peer *peer, struct handoff__msg *reply, int *passed,
	int *link_fd)
{
	struct handoff__hello hello;
	int fd = handoff__dir_connect(&peer->dir,
		link_names[handoff__peer_other_slot(peer)], SOCK_SEQPACKET);
	int err;

	if (fd == -ENOENT)
		return -ECONNREFUSED;
	if (fd < 0)
		return fd;
	handoff__peer_hello(peer, &hello);
	err = handoff__peer_allowed(fd, peer->config.user);
	if (err >= 0)
		err = handoff__join_say_hello(fd, &hello);
	if (err >= 0)
		err = handoff__link_recv_sync(fd, reply, passed,
			handoff__now_us() + HELLO_TIMEOUT_US);
	if (err >= 0 && reply->type != HANDOFF__HELLO) {
		if (*passed >= 0)
			close(*passed);
		err = -EBADMSG;
	}
	if (err < 0) {
		close(fd);
		/* It left while we spoke: look again. */
		return err == -ECONNRESET || err == -EPIPE ? -ECONNREFUSED
							   : err;
	}
	*link_fd = fd;
	return 0;
}

/* Was the answer a welcome, and is the peer one of ours? -EAGAIN: it stops,
 * and when it is gone its place is free. */
static int
weigh(struct handoff__peer *peer, const struct handoff__hello *h)
{
	enum handoff__reason reason = handoff__join_judge(peer, h);
	char why[128];

	if (h->refusal == HANDOFF__LEAVING)
		return handoff__fail(&peer->error, -EAGAIN,
			"%s (pid %u) in %s is stopping: try again when it has "
			"ended",
			h->name, h->pid, peer->dir.path);
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
	handoff__join_explain(peer, h, reason, why, sizeof(why));
	return handoff__fail(&peer->error, -EPROTO,
		"cannot join %s (pid %u) in %s: %s", h->name, h->pid,
		peer->dir.path, why);
}

/* A link, or why there is none. -ESRCH: it died while we spoke. */
static int
try_other(struct handoff__peer *peer)
{
	struct handoff__msg reply;
	int passed = -1, fd = -1, err = greet(peer, &reply, &passed, &fd);

	if (err < 0)
		return err;
	err = weigh(peer, &reply.hello);
	if (err < 0) {
		if (passed >= 0)
			close(passed);
		close(fd);
		return err;
	}
	err = handoff__peer_adopt_link(peer, fd, passed, &reply.hello);
	if (err == 0 && peer->unfenced)
		err = handoff__fail(&peer->error, -EPERM,
			"fence: %s (pid %u) in %s could not be killed from "
			"here: run both peers as one user in one pid "
			"namespace, or without fence",
			reply.hello.name, reply.hello.pid, peer->dir.path);
	return err;
}

static int
unanswered(struct handoff__peer *peer, uint32_t other, int err)
{
	char who[64];

	handoff__join_holder(peer, (int)other, who);
	return handoff__fail(&peer->error,
		err == -ECONNREFUSED ? -ETIMEDOUT : err,
		"%s in %s does not answer: %s", who, peer->dir.path,
		err == -EAGAIN || err == -ECONNREFUSED || err == -ETIMEDOUT
			? "is it stopped?"
			: strerror(-err));
}

/* Joins the peer in the other place, if one lives. 0 also if none does. */
static int
join_other(struct handoff__peer *peer)
{
	uint32_t other = handoff__peer_other_slot(peer);
	int64_t deadline = handoff__now_us() + START_TIMEOUT_US;
	int locked, err;

	while ((locked = handoff__dir_locked(&peer->dir, lock_names[other])) >
		0) {
		peer->error.text[0] = '\0';
		err = try_other(peer);
		if (err == 0)
			return 0;
		if (err == -ESRCH)
			continue;
		if ((err != -ECONNREFUSED && err != -EAGAIN) ||
			handoff__now_us() > deadline)
			return peer->error.text[0]
				       ? err
				       : unanswered(peer, other, err);
		pause_us(5000); /* it is about to listen, or to be gone */
	}
	/* Nobody may serve beside a peer that is only not seen. */
	if (locked < 0)
		return handoff__fail(&peer->error, locked,
			"service directory %s: cannot tell whether a peer "
			"holds %s: %s",
			peer->dir.path, lock_names[other], strerror(-locked));
	return 0;
}

void
handoff__candidate_close(struct handoff__candidate *c)
{
	struct handoff__loop *loop = c->peer->loop;

	handoff__timer_disarm(loop, &c->timer);
	handoff__watch_del(loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	if (c->passed >= 0)
		close(c->passed);
	c->fd = c->passed = -1;
	c->greeted = false;
}

/* One cause that comes again and again is told once. */
void
handoff__join_refused(struct handoff__peer *peer, const char *why)
{
	char text[HANDOFF_TEXT_MAX];

	peer->tally.refused++;
	snprintf(text, sizeof(text), "%.180s", why);
	if (strcmp(text, peer->refusal) == 0) {
		peer->refusals++;
		return;
	}
	if (peer->refusals > 0)
		handoff__log(peer->log, HANDOFF_LOG_WARNING,
			"link: refused %u times more: %s", peer->refusals,
			peer->refusal);
	peer->refusals = 0;
	handoff__copy(peer->refusal, sizeof(peer->refusal), text);
	handoff__log(peer->log, HANDOFF_LOG_WARNING, "link: refused %s", text);
	peer->ops->refused(peer, peer->refusal);
}

static void
turn_away(struct handoff__candidate *c, const char *why)
{
	struct handoff__peer *peer = c->peer;

	handoff__candidate_close(c);
	handoff__join_refused(peer, why);
}

static enum handoff__reason
verdict(const struct handoff__peer *peer, const struct handoff__hello *hello)
{
	enum handoff__reason reason = handoff__join_judge(peer, hello);

	if (reason != HANDOFF__OK)
		return reason;
	if (handoff__partner_again(peer, hello))
		return HANDOFF__OK;
	if (peer->leaving)
		return HANDOFF__LEAVING;
	if (peer->partner != HANDOFF__PARTNER_NONE)
		return HANDOFF__TAKEN;
	/* What it has is another arena's. */
	return hello->again && hello->arena != 0 ? HANDOFF__STRANGER
						 : HANDOFF__OK;
}

static void
refuse(struct handoff__candidate *c, const struct handoff__hello *hello,
	enum handoff__reason reason)
{
	char why[128], text[HANDOFF_TEXT_MAX];

	handoff__join_explain(c->peer, hello, reason, why, sizeof(why));
	snprintf(text, sizeof(text), "%s (pid %u): %s",
		handoff__name_ok(hello->name) ? hello->name : "a peer",
		hello->pid, why);
	turn_away(c, text);
}

/* Answers a HELLO: welcome, or why not. */
static void
answer(struct handoff__candidate *c)
{
	struct handoff__peer *peer = c->peer;
	enum handoff__reason reason = verdict(peer, &c->hello);
	struct handoff__hello own, hello = c->hello;
	int fd = c->fd, passed = c->passed;
	char text[HANDOFF_TEXT_MAX];

	handoff__peer_hello(peer, &own);
	own.generation = handoff__peer_generation(peer);
	own.again = handoff__partner_again(peer, &hello);
	own.refusal = reason;
	if (reason == HANDOFF__TAKEN) {
		handoff__copy(
			own.partner, sizeof(own.partner), peer->other.name);
		own.partner_pid = peer->other.pid;
	}
	if (handoff__join_say_hello(fd, &own) < 0)
		reason = HANDOFF__GARBAGE;
	if (reason != HANDOFF__OK) {
		refuse(c, &hello, reason);
		return;
	}
	c->fd = c->passed = -1;
	handoff__timer_disarm(peer->loop, &c->timer);
	handoff__watch_del(peer->loop, &c->watch);
	c->greeted = false;
	if (handoff__peer_adopt_link(peer, fd, passed, &hello) == 0)
		return;
	snprintf(text, sizeof(text), "%s (pid %u): %.120s", hello.name,
		hello.pid, peer->error.text);
	handoff__join_refused(peer, text);
}

/* Two dials cross, and that of place 2 is to count. */
static bool
crosses(const struct handoff__peer *peer)
{
	return peer->slot == 2 && peer->rejoin.dial.fd >= 0;
}

/* Is it time to answer? Not while the last partner's process is still to end,
 * but for that partner itself. */
static bool
is_due(const struct handoff__candidate *c)
{
	return c->fd >= 0 && c->greeted &&
	       (c->peer->partner != HANDOFF__PARTNER_APART ||
		       (handoff__partner_again(c->peer, &c->hello) &&
			       !crosses(c->peer)));
}

/* The partner itself, whose dial crossed the one that has linked the two. */
static bool
is_superfluous(const struct handoff__candidate *c)
{
	const struct handoff__peer *peer = c->peer;

	return c->fd >= 0 && c->greeted && c->hello.again &&
	       c->hello.instance == peer->other.instance &&
	       (peer->partner == HANDOFF__PARTNER_GREETED ||
		       peer->partner == HANDOFF__PARTNER_READY);
}

bool
handoff__join_candidates(struct handoff__peer *peer)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (is_superfluous(&peer->pending[i])) {
			handoff__candidate_close(&peer->pending[i]);
			return true;
		}
		if (is_due(&peer->pending[i])) {
			answer(&peer->pending[i]);
			return true;
		}
	}
	return false;
}

static void
on_candidate(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__candidate *c = watch->arg;
	struct handoff__msg msg;
	int passed, err = handoff__link_recv_sync(c->fd, &msg, &passed, 0);

	(void)events;
	if (err == -ETIMEDOUT)
		return;
	if (err == -ECONNRESET) {
		handoff__candidate_close(c);
		return;
	}
	if (err < 0 || msg.type != HANDOFF__HELLO || c->greeted) {
		if (err >= 0 && passed >= 0)
			close(passed);
		turn_away(c, "a process that sent what is not a HELLO");
		return;
	}
	c->hello = msg.hello;
	c->passed = passed;
	c->greeted = true;
	/* The old partner's end may be waiting in the same batch. */
	handoff__link_read(&c->peer->link);
}

/* It said nothing, or it waited too long for the last partner to end. */
static void
on_silence(struct handoff__timer *timer)
{
	struct handoff__candidate *c = timer->arg;

	if (c->greeted)
		refuse(c, &c->hello, HANDOFF__TAKEN);
	else
		turn_away(c, "a process that said no HELLO within 5 s");
}

static struct handoff__candidate *
free_candidate(struct handoff__peer *peer)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (peer->pending[i].fd < 0)
			return &peer->pending[i];
	}
	return NULL;
}

static void
on_connect(void *arg, int fd)
{
	struct handoff__peer *peer = arg;
	struct handoff__candidate *c = free_candidate(peer);

	if (!c || handoff__peer_allowed(fd, peer->config.user) < 0) {
		close(fd);
		handoff__join_refused(
			peer, c ? "a process that runs as another user"
				: "a process: too many are being greeted");
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
		peer->pending[i].fd = peer->pending[i].passed = -1;
		peer->pending[i].watch.fd = -1;
		peer->pending[i].peer = peer;
	}
	err = handoff__dir_open(&peer->dir, peer->config.dir, true,
		peer->config.user, &peer->error);
	if (err >= 0)
		handoff__upkeep_init(peer);
	if (err >= 0)
		err = lock_start(peer);
	if (err >= 0)
		err = lock_place(peer);
	if (err >= 0)
		err = join_other(peer);
	return err < 0 ? err : handoff__join_listen(peer);
}

/* Listens for another peer, in place of the socket of before if there is one:
 * only with the lock of the place held. */
int
handoff__join_listen(struct handoff__peer *peer)
{
	const char *name = link_names[peer->slot];
	int fd = handoff__dir_listen(
		&peer->dir, name, SOCK_SEQPACKET, &peer->error);
	int err;

	if (fd < 0)
		return fd;
	if (peer->listen_fd >= 0) {
		handoff__door_close(&peer->door);
		close(peer->listen_fd);
	}
	peer->listen_fd = fd;
	err = handoff__dir_note(&peer->dir, name, &peer->upkeep.link);
	if (err >= 0)
		err = handoff__door_open(
			&peer->door, peer->loop, fd, on_connect, peer);
	if (err < 0)
		handoff__fail(&peer->error, err,
			"socket %s/%s: cannot watch it: %s", peer->dir.path,
			name, strerror(-err));
	return err;
}

void
handoff__join_deafen(struct handoff__peer *peer)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (peer->pending[i].peer)
			handoff__candidate_close(&peer->pending[i]);
	}
	if (peer->listen_fd < 0)
		return;
	handoff__door_close(&peer->door);
	/* Another peer's is left alone. */
	if (handoff__dir_is(
		    &peer->dir, link_names[peer->slot], &peer->upkeep.link) > 0)
		unlinkat(peer->dir.fd, link_names[peer->slot], 0);
	close(peer->listen_fd);
	peer->listen_fd = -1;
}

void
handoff__join_leave(struct handoff__peer *peer)
{
	handoff__join_deafen(peer);
	if (peer->start_fd >= 0)
		close(peer->start_fd);
	if (peer->lock_fd >= 0) {
		/* Whoever looks from now on finds nobody. */
		(void)!ftruncate(peer->lock_fd, 0);
		close(peer->lock_fd);
	}
	peer->start_fd = peer->lock_fd = -1;
	handoff__dir_close(&peer->dir);
}
