/* SPDX-License-Identifier: MIT */
/*
 * Processes that connect to this peer's socket: each is a candidate until its
 * HELLO is answered, with a welcome or with the reason for a refusal. Never
 * dials.
 */
#include "peer/candidates.h"

#include "peer/adopt.h"
#include "peer/carrier.h"
#include "peer/core.h"
#include "peer/hello.h"
#include "peer/partner.h"
#include "peer/places.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void
handoff__candidate_close(struct handoff__candidate *c)
{
	struct handoff__loop *loop = c->pair->loop;

	handoff__timer_disarm(loop, &c->timer);
	handoff__watch_del(loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	if (c->passed >= 0)
		close(c->passed);
	c->fd = c->passed = -1;
	c->greeted = false;
}

static void
turn_candidate_away(struct handoff__candidate *c, enum handoff__reason reason,
	const char *why)
{
	struct handoff__pair *pair = c->pair;

	handoff__candidate_close(c);
	handoff__hello_refused(pair, reason, why);
}

static enum handoff__reason
verdict(const struct handoff__pair *pair, const struct handoff__hello *hello)
{
	enum handoff__reason reason = handoff__hello_judge(pair, hello);

	if (reason != HANDOFF__OK)
		return reason;
	if (handoff__partner_again(pair, hello))
		return HANDOFF__OK;
	if (pair->leaving)
		return HANDOFF__LEAVING;
	/* a carrier that has yielded its place is about to end */
	if (pair->partner != HANDOFF__PARTNER_NONE)
		return pair->other.carrier && !hello->carrier ? HANDOFF__LEAVING
							      : HANDOFF__TAKEN;
	/* its copies belong to another arena */
	return hello->again && hello->arena != 0 ? HANDOFF__STRANGER
						 : HANDOFF__OK;
}

static void
refuse_candidate(struct handoff__candidate *c,
	const struct handoff__hello *hello, enum handoff__reason reason)
{
	char why[200], text[HANDOFF_TEXT_MAX];

	handoff__hello_explain(c->pair, hello, reason, why, sizeof(why));
	snprintf(text, sizeof(text), "%s (pid %u): %s",
		handoff__name_ok(hello->name) ? hello->name : "a peer",
		hello->pid, why);
	turn_candidate_away(c, reason, text);
}

/* One without a place, 0, asks for that of this peer, since both are taken. */
static enum handoff__reason
verdict_on_place(struct handoff__pair *pair, const struct handoff__hello *hello)
{
	struct handoff__hello as_other = *hello;
	enum handoff__reason reason;

	as_other.place = handoff__pair_other_place(pair);
	reason = handoff__hello_judge(pair, &as_other);
	if (reason != HANDOFF__OK)
		return reason;
	if (pair->leaving)
		return HANDOFF__LEAVING;
	return pair->config.carrier && !hello->carrier && pair->ops->yield &&
			       pair->ops->yield(pair)
		       ? HANDOFF__LEAVING
		       : HANDOFF__TAKEN;
}

/* Whatever it hears, it reports to its own user. */
static void
answer_about_place(struct handoff__candidate *c)
{
	struct handoff__hello own;

	handoff__hello_make(c->pair, &own);
	own.refusal = verdict_on_place(c->pair, &c->hello);
	handoff__hello_send(c->fd, &own);
	handoff__candidate_close(c);
}

/* Answers a HELLO with a welcome or a refusal. */
static void
answer_candidate(struct handoff__candidate *c)
{
	struct handoff__pair *pair = c->pair;
	enum handoff__reason reason = verdict(pair, &c->hello);
	struct handoff__hello own, hello = c->hello;
	int fd = c->fd, passed = c->passed;
	char text[HANDOFF_TEXT_MAX];

	if (reason == HANDOFF__OK)
		handoff__carrier_learn(pair, &hello);
	handoff__hello_make(pair, &own);
	own.generation = handoff__pair_generation(pair);
	own.again = handoff__partner_again(pair, &hello);
	own.refusal = reason;
	/* A library that does not know `makes` reports `layout` to its user. */
	if (reason == HANDOFF__BAD_LAYOUT)
		own.layout = own.makes;
	if (reason == HANDOFF__TAKEN) {
		handoff__copy(
			own.partner, sizeof(own.partner), pair->other.name);
		own.partner_pid = pair->other.pid;
	}
	if (handoff__hello_send(fd, &own) < 0) {
		handoff__candidate_close(c); /* it has given up */
		return;
	}
	if (reason != HANDOFF__OK) {
		refuse_candidate(c, &hello, reason);
		return;
	}
	c->fd = c->passed = -1;
	handoff__timer_disarm(pair->loop, &c->timer);
	handoff__watch_del(pair->loop, &c->watch);
	c->greeted = false;
	if (handoff__adopt_link(pair, fd, passed, &hello) == 0)
		return;
	snprintf(text, sizeof(text), "%s (pid %u): %.120s", hello.name,
		hello.pid, pair->error.text);
	handoff__hello_refused(pair, HANDOFF__UNWATCHED, text);
}

/* Two dials cross, and place 2's own dial counts. */
static bool
crosses(const struct handoff__pair *pair)
{
	return pair->place == 2 && pair->rejoin.dial.fd >= 0;
}

/* Whether an answer is due. While the last partner's process is still ending,
 * only that partner itself is answered. */
static bool
is_due(const struct handoff__candidate *c)
{
	return c->fd >= 0 && c->greeted &&
	       (c->hello.place == 0 ||
		       c->pair->partner != HANDOFF__PARTNER_APART ||
		       (handoff__partner_again(c->pair, &c->hello) &&
			       !crosses(c->pair)));
}

/* Whether this is the partner itself, and the two are linked already by a dial
 * that crossed this one. */
static bool
is_superfluous(const struct handoff__candidate *c)
{
	const struct handoff__pair *pair = c->pair;

	return c->fd >= 0 && c->greeted && c->hello.again &&
	       c->hello.instance == pair->other.instance &&
	       (pair->partner == HANDOFF__PARTNER_GREETED ||
		       pair->partner == HANDOFF__PARTNER_READY);
}

bool
handoff__candidates_answer(struct handoff__pair *pair)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (is_superfluous(&pair->pending[i])) {
			handoff__candidate_close(&pair->pending[i]);
			return true;
		}
		if (is_due(&pair->pending[i])) {
			if (pair->pending[i].hello.place == 0)
				answer_about_place(&pair->pending[i]);
			else
				answer_candidate(&pair->pending[i]);
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
		turn_candidate_away(c, HANDOFF__GARBAGE,
			"a process that sent what is not a HELLO");
		return;
	}
	c->hello = msg.hello;
	c->passed = passed;
	c->greeted = true;
	/* the old link's end may be waiting in the same batch */
	handoff__link_read(&c->pair->link);
}

/* It sent no HELLO, or waited too long for the last partner to end. */
static void
on_greeting_timeout(struct handoff__timer *timer)
{
	struct handoff__candidate *c = timer->arg;

	if (c->greeted)
		refuse_candidate(c, &c->hello, HANDOFF__TAKEN);
	else
		turn_candidate_away(c, HANDOFF__UNANSWERED,
			"a process that sent no HELLO within 5 s");
}

static struct handoff__candidate *
free_candidate(struct handoff__pair *pair)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (pair->pending[i].fd < 0)
			return &pair->pending[i];
	}
	return NULL;
}

static void
on_candidate_connect(void *arg, int fd)
{
	struct handoff__pair *pair = arg;
	struct handoff__candidate *c = free_candidate(pair);

	if (!c || handoff__dir_allows(fd, pair->config.user) < 0) {
		close(fd);
		if (c)
			handoff__hello_refused(pair, HANDOFF__ANOTHER_USER,
				"a process that runs as another user");
		else
			handoff__hello_refused(pair, HANDOFF__CROWDED,
				"a process: too many are being greeted");
		return;
	}
	c->watch.fn = on_candidate;
	c->watch.arg = c;
	c->timer.fn = on_greeting_timeout;
	c->timer.arg = c;
	if (handoff__watch_add(pair->loop, &c->watch, fd, EPOLLIN) < 0) {
		close(fd);
		return;
	}
	c->fd = fd;
	handoff__timer_arm(pair->loop, &c->timer, HANDOFF__HELLO_TIMEOUT_US);
}

int
handoff__candidates_listen(struct handoff__pair *pair)
{
	const char *name = handoff__places_link_name((uint32_t)pair->place);
	int fd = handoff__dir_listen(
		&pair->dir, name, SOCK_SEQPACKET, &pair->error);
	int err;

	if (fd < 0)
		return fd;
	if (pair->listen_fd >= 0) {
		handoff__door_close(&pair->door);
		close(pair->listen_fd);
	}
	pair->listen_fd = fd;
	err = handoff__dir_note(&pair->dir, name, &pair->upkeep.link);
	if (err >= 0)
		err = handoff__door_open(&pair->door, pair->loop, fd,
			on_candidate_connect, pair);
	if (err < 0)
		handoff__fail(&pair->error, err,
			"socket %s/%s: cannot watch it: %s", pair->dir.path,
			name, strerror(-err));
	return err;
}

void
handoff__candidates_stop(struct handoff__pair *pair)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		if (pair->pending[i].pair)
			handoff__candidate_close(&pair->pending[i]);
	}
	if (pair->listen_fd < 0)
		return;
	handoff__door_close(&pair->door);
	/* leave another peer's socket alone */
	if (handoff__dir_is(&pair->dir,
		    handoff__places_link_name((uint32_t)pair->place),
		    &pair->upkeep.link) > 0)
		unlinkat(pair->dir.fd,
			handoff__places_link_name((uint32_t)pair->place), 0);
	close(pair->listen_fd);
	pair->listen_fd = -1;
}

void
handoff__candidates_init(struct handoff__pair *pair)
{
	for (int i = 0; i < HANDOFF__PENDING_MAX; i++) {
		pair->pending[i].fd = pair->pending[i].passed = -1;
		pair->pending[i].watch.fd = -1;
		pair->pending[i].pair = pair;
	}
}
