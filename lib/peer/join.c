/* SPDX-License-Identifier: MIT */
/*
 * How a peer joins and leaves: it takes a place in the service directory,
 * exchanges HELLO with the peer in the other place, if there is one, and
 * listens.
 */
#include "peer/join.h"

#include "peer/adopt.h"
#include "peer/candidates.h"
#include "peer/carrier.h"
#include "peer/core.h"
#include "peer/hello.h"
#include "peer/places.h"
#include "peer/upkeep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_US          1000000 /* for an answer about a place */
#define CARRIER_WAIT_US 200000  /* for a peer that stops or starts */

/* Exchanges HELLO with the holder of a place: `reply` has its answer, `*passed`
 * its pidfd or -1. -ECONNREFUSED if it has no socket yet or no longer. */
static int
greet(struct handoff__pair *pair, uint32_t place,
	const struct handoff__hello *hello, int64_t us,
	struct handoff__msg *reply, int *passed, int *link_fd)
{
	int fd = handoff__dir_connect(
		&pair->dir, handoff__places_link_name(place), SOCK_SEQPACKET);
	int err;

	if (fd == -ENOENT)
		return -ECONNREFUSED;
	if (fd < 0)
		return fd;
	err = handoff__dir_allows(fd, pair->config.user);
	if (err >= 0)
		err = handoff__hello_send(fd, hello);
	if (err >= 0)
		err = handoff__link_recv_sync(
			fd, reply, passed, handoff__now_us() + us);
	if (err >= 0 && reply->type != HANDOFF__HELLO) {
		if (*passed >= 0)
			close(*passed);
		err = -EBADMSG;
	}
	if (err < 0) {
		close(fd);
		/* it left during the exchange: start over */
		return err == -ECONNRESET || err == -EPIPE ? -ECONNREFUSED
							   : err;
	}
	*link_fd = fd;
	return 0;
}

/* Whether the answer is a welcome from a suitable peer. -EAGAIN: it is
 * stopping, and its place will be free. */
static int
weigh(struct handoff__pair *pair, const struct handoff__hello *h)
{
	enum handoff__reason reason = handoff__hello_judge(pair, h);
	char why[200];

	if (h->refusal == HANDOFF__LEAVING)
		return handoff__fail(&pair->error, -EAGAIN,
			"%s (pid %u) in %s is stopping: try again when it has "
			"ended",
			h->name, h->pid, pair->dir.path);
	if (h->refusal == HANDOFF__TAKEN)
		return handoff__fail(&pair->error, -EBUSY,
			"service directory %s has two peers already, %s (pid "
			"%u) and %s (pid %u): stop one of them first",
			pair->dir.path, h->name, h->pid, h->partner,
			h->partner_pid);
	if (reason == HANDOFF__OK)
		reason = (enum handoff__reason)h->refusal;
	if (reason == HANDOFF__OK)
		return 0;
	handoff__hello_explain(pair, h, reason, why, sizeof(why));
	return handoff__fail(&pair->error, -EPROTO,
		"cannot join %s (pid %u) in %s: %s", h->name, h->pid,
		pair->dir.path, why);
}

/* Establishes a link, or returns the reason. -ESRCH: the other peer died during
 * the exchange. */
static int
try_other(struct handoff__pair *pair)
{
	struct handoff__hello hello;
	struct handoff__msg reply;
	int passed = -1, fd = -1, err;

	handoff__hello_make(pair, &hello);
	err = greet(pair, handoff__pair_other_place(pair), &hello,
		HANDOFF__HELLO_TIMEOUT_US, &reply, &passed, &fd);
	if (err < 0)
		return err;
	err = weigh(pair, &reply.hello);
	if (err < 0) {
		if (passed >= 0)
			close(passed);
		close(fd);
		return err;
	}
	handoff__carrier_learn(pair, &reply.hello);
	err = handoff__adopt_link(pair, fd, passed, &reply.hello);
	if (err == 0 && pair->unfenced)
		err = handoff__fail(&pair->error, -EPERM,
			"fence: %s (pid %u) in %s could not be killed from "
			"here: run both peers as one user in one PID "
			"namespace, or without fence",
			reply.hello.name, reply.hello.pid, pair->dir.path);
	return err;
}

static int
no_answer(struct handoff__pair *pair, uint32_t other, int err)
{
	char who[64];

	handoff__places_holder(pair, (int)other, who);
	return handoff__fail(&pair->error,
		err == -ECONNREFUSED ? -ETIMEDOUT : err,
		"%s in %s does not answer: %s", who, pair->dir.path,
		err == -EAGAIN || err == -ECONNREFUSED || err == -ETIMEDOUT
			? "is it stopped?"
			: strerror(-err));
}

/* Joins the peer in the other place. 0 also if there is none. */
static int
join_other(struct handoff__pair *pair)
{
	uint32_t other = handoff__pair_other_place(pair);
	int64_t deadline = handoff__now_us() +
			   (pair->config.carrier ? CARRIER_WAIT_US
						 : HANDOFF__START_TIMEOUT_US);
	int locked, err;

	while ((locked = handoff__dir_locked(
			&pair->dir, handoff__places_lock_name(other))) > 0) {
		pair->error.text[0] = '\0';
		err = try_other(pair);
		if (err == 0)
			return 0;
		if (err == -ESRCH)
			continue;
		if ((err != -ECONNREFUSED && err != -EAGAIN) ||
			handoff__now_us() > deadline)
			return pair->error.text[0]
				       ? err
				       : no_answer(pair, other, err);
		handoff__places_pause(); /* it is about to listen, or about to
					  * end */
	}
	/* an undetected peer may be alive: never serve beside it */
	if (locked < 0)
		return handoff__fail(&pair->error, locked,
			"service directory %s: cannot tell whether a peer "
			"holds %s: %s",
			pair->dir.path, handoff__places_lock_name(other),
			strerror(-locked));
	return 0;
}

/* Whether the holder of that place is about to leave it: it stops, or it is a
 * carrier, which has nothing to do with it now. */
static bool
leaves_place(struct handoff__pair *pair, uint32_t place)
{
	struct handoff__hello hello;
	struct handoff__msg reply;
	int passed = -1, fd = -1;

	handoff__hello_make(pair, &hello);
	hello.place = 0;
	if (greet(pair, place, &hello, ASK_US, &reply, &passed, &fd) < 0)
		return false;
	close(fd);
	if (passed >= 0)
		close(passed);
	return reply.hello.refusal == HANDOFF__LEAVING;
}

/* Both places are taken: asks for one of them. */
static int
ask_for_place(struct handoff__pair *pair, int busy)
{
	int64_t deadline = handoff__now_us() + HANDOFF__START_TIMEOUT_US;

	if (!leaves_place(pair, 1) && !leaves_place(pair, 2))
		return busy;
	while ((busy = handoff__places_again(pair)) == -EBUSY &&
		handoff__now_us() < deadline)
		handoff__places_pause();
	return busy;
}

int
handoff__join(struct handoff__pair *pair)
{
	int err;

	handoff__candidates_init(pair);
	err = handoff__dir_open(&pair->dir, pair->config.dir, true,
		pair->config.user, &pair->error);
	if (err >= 0)
		handoff__upkeep_init(pair);
	if (err >= 0)
		err = handoff__places_enter(pair);
	if (err == -EBUSY && !pair->config.carrier)
		err = ask_for_place(pair, err);
	if (err >= 0)
		err = join_other(pair);
	return err < 0 ? err : handoff__candidates_listen(pair);
}

void
handoff__join_leave(struct handoff__pair *pair)
{
	handoff__candidates_stop(pair);
	handoff__places_leave(pair);
	handoff__dir_close(&pair->dir);
}
