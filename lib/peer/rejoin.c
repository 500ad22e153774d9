/* SPDX-License-Identifier: MIT */
/*
 * Renews a link that broke while both processes live. Both peers dial, at their
 * own pace; if two dials cross, that of place 2 counts. Meanwhile both keep
 * their copies, and either can still take over after a death.
 */
#include "peer/rejoin.h"

#include "peer/adopt.h"
#include "peer/candidates.h"
#include "peer/core.h"
#include "peer/hello.h"
#include "peer/partner.h"
#include "peer/places.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A dying process is gone before the first attempt; then frequent attempts,
 * then infrequent ones. */
#define FIRST_US  150000
#define OFTEN_US  100000
#define SELDOM_US 1000000
#define OFTEN     20
#define ANSWER_US 2000000

/* the two peers' periods differ by this fraction, so that dials seldom cross */
#define APART 4

/* After this many consecutive links that each lasted less than BRIEF_US it
 * dials infrequently, and reports no more. */
#define BRIEF_US  5000000
#define BRIEF_MAX 3

/* The other peer refuses, and would refuse again. */
static void
on_refused(struct handoff__pair *pair, const struct handoff__hello *hello)
{
	char why[128], text[HANDOFF_TEXT_MAX], who[64];

	handoff__hello_explain(pair, hello,
		(enum handoff__reason)hello->refusal, why, sizeof(why));
	snprintf(text, sizeof(text),
		"link: %s does not take this peer back: %.120s",
		handoff__pair_partner_text(pair, who), why);
	if (!pair->serving && pair->roster.owned == 0)
		pair->ops->expelled(pair, text);
	else
		handoff__hello_refused(
			pair, (enum handoff__reason)hello->refusal, text);
}

static void
take_answer(struct handoff__candidate *c, const struct handoff__hello *hello,
	int passed)
{
	struct handoff__pair *pair = c->pair;
	enum handoff__reason reason = handoff__hello_judge(pair, hello);
	int fd = c->fd;

	if (reason != HANDOFF__OK || hello->refusal != HANDOFF__OK ||
		pair->partner != HANDOFF__PARTNER_APART) {
		if (passed >= 0)
			close(passed);
		handoff__candidate_close(c);
		if (hello->refusal != HANDOFF__OK &&
			hello->refusal != HANDOFF__LEAVING)
			on_refused(pair, hello);
		return;
	}
	handoff__watch_del(pair->loop, &c->watch);
	c->fd = -1;
	handoff__candidate_close(c);
	if (handoff__adopt_link(pair, fd, passed, hello) < 0)
		handoff__log(
			pair->log, HANDOFF_LOG_WARNING, "%s", pair->error.text);
	else
		handoff__rejoin_end(pair);
}

static void
on_answer(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__candidate *c = watch->arg;
	struct handoff__msg msg;
	int passed, err = handoff__link_recv_sync(c->fd, &msg, &passed, 0);

	(void)events;
	if (err == -ETIMEDOUT)
		return;
	if (err >= 0 && msg.type == HANDOFF__HELLO) {
		take_answer(c, &msg.hello, passed);
		return;
	}
	if (err >= 0 && passed >= 0)
		close(passed);
	handoff__candidate_close(c);
}

static void
on_answer_timeout(struct handoff__timer *timer)
{
	handoff__candidate_close(timer->arg);
}

static void
dial_partner(struct handoff__pair *pair)
{
	struct handoff__candidate *c = &pair->rejoin.dial;
	struct handoff__hello hello;
	int fd = handoff__dir_connect(&pair->dir,
		handoff__places_link_name(handoff__pair_other_place(pair)),
		SOCK_SEQPACKET);

	if (fd < 0)
		return;
	handoff__hello_make(pair, &hello);
	hello.again = 1;
	if (handoff__dir_allows(fd, pair->config.user) < 0 ||
		handoff__hello_send(fd, &hello) < 0 ||
		handoff__watch_add(pair->loop, &c->watch, fd, EPOLLIN) < 0) {
		close(fd);
		return;
	}
	c->fd = fd;
	handoff__timer_arm(pair->loop, &c->timer, ANSWER_US);
}

static void
report_apart(struct handoff__pair *pair)
{
	char who[64], text[HANDOFF_TEXT_MAX];

	if (pair->rejoin.reported)
		return;
	pair->rejoin.reported = true;
	snprintf(text, sizeof(text),
		"apart: the link to %s is closed and its process lives: "
		"redialling",
		handoff__pair_partner_text(pair, who));
	pair->ops->apart(pair, text);
}

static void
on_redial(struct handoff__timer *timer)
{
	struct handoff__pair *pair = timer->arg;
	struct handoff__rejoin *rejoin = &pair->rejoin;
	int64_t us = rejoin->tries++ < OFTEN ? OFTEN_US : SELDOM_US;

	if (pair->partner != HANDOFF__PARTNER_APART || pair->pidfd < 0 ||
		pair->other_leaving)
		return;
	report_apart(pair);
	if (rejoin->dial.fd < 0)
		dial_partner(pair);
	handoff__timer_arm(pair->loop, timer, us + pair->place * us / APART);
}

void
handoff__rejoin_init(struct handoff__pair *pair)
{
	struct handoff__rejoin *rejoin = &pair->rejoin;

	rejoin->timer.fn = on_redial;
	rejoin->timer.arg = pair;
	rejoin->dial = (struct handoff__candidate){
		.fd = -1,
		.passed = -1,
		.pair = pair,
		.watch = {.fd = -1, .fn = on_answer, .arg = &rejoin->dial},
		.timer = {.fn = on_answer_timeout, .arg = &rejoin->dial},
	};
}

void
handoff__rejoin_begin(struct handoff__pair *pair)
{
	struct handoff__rejoin *rejoin = &pair->rejoin;

	rejoin->since_us = handoff__now_us();
	if (!rejoin->again || rejoin->since_us - rejoin->up_us > BRIEF_US)
		rejoin->brief = 0;
	if (rejoin->brief++ < BRIEF_MAX) {
		rejoin->tries = 0;
		rejoin->reported = false;
	} else {
		rejoin->tries = OFTEN;
	}
	handoff__timer_arm(pair->loop, &rejoin->timer,
		rejoin->tries == 0 ? FIRST_US : SELDOM_US);
}

void
handoff__rejoin_end(struct handoff__pair *pair)
{
	handoff__timer_disarm(pair->loop, &pair->rejoin.timer);
	handoff__candidate_close(&pair->rejoin.dial);
}
