/* SPDX-License-Identifier: MIT */
/*
 * How a peer comes in and leaves: it takes a place in the service directory,
 * says HELLO to the peer in the other place, if one lives there, and listens.
 */
#include "peer/join.h"

#include "peer/adopt.h"
#include "peer/candidates.h"
#include "peer/core.h"
#include "peer/hello.h"
#include "peer/places.h"
#include "peer/upkeep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Says HELLO to the peer that holds the other place; its answer in `reply`,
 * `*passed` its pidfd or -1. -ECONNREFUSED while it has no socket yet or no
 * more. */
static int
greet(struct handoff__peer *peer, struct handoff__msg *reply, int *passed,
	int *link_fd)
{
	struct handoff__hello hello;
	int fd = handoff__dir_connect(&peer->dir,
		handoff__places_link_name(handoff__peer_other_slot(peer)),
		SOCK_SEQPACKET);
	int err;

	if (fd == -ENOENT)
		return -ECONNREFUSED;
	if (fd < 0)
		return fd;
	handoff__hello_make(peer, &hello);
	err = handoff__peer_allowed(fd, peer->config.user);
	if (err >= 0)
		err = handoff__hello_say(fd, &hello);
	if (err >= 0)
		err = handoff__link_recv_sync(fd, reply, passed,
			handoff__now_us() + HANDOFF__HELLO_TIMEOUT_US);
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
	enum handoff__reason reason = handoff__hello_judge(peer, h);
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
	handoff__hello_explain(peer, h, reason, why, sizeof(why));
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
	err = handoff__adopt_link(peer, fd, passed, &reply.hello);
	if (err == 0 && peer->unfenced)
		err = handoff__fail(&peer->error, -EPERM,
			"fence: %s (pid %u) in %s could not be killed from "
			"here: run both peers as one user in one pid "
			"namespace, or without fence",
			reply.hello.name, reply.hello.pid, peer->dir.path);
	return err;
}

static int
no_answer(struct handoff__peer *peer, uint32_t other, int err)
{
	char who[64];

	handoff__places_holder(peer, (int)other, who);
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
	int64_t deadline = handoff__now_us() + HANDOFF__START_TIMEOUT_US;
	int locked, err;

	while ((locked = handoff__dir_locked(
			&peer->dir, handoff__places_lock_name(other))) > 0) {
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
				       : no_answer(peer, other, err);
		handoff__places_pause(); /* it is about to listen, or to be gone
					  */
	}
	/* Nobody may serve beside a peer that is only not seen. */
	if (locked < 0)
		return handoff__fail(&peer->error, locked,
			"service directory %s: cannot tell whether a peer "
			"holds %s: %s",
			peer->dir.path, handoff__places_lock_name(other),
			strerror(-locked));
	return 0;
}

int
handoff__join(struct handoff__peer *peer)
{
	int err;

	handoff__candidates_init(peer);
	err = handoff__dir_open(&peer->dir, peer->config.dir, true,
		peer->config.user, &peer->error);
	if (err >= 0)
		handoff__upkeep_init(peer);
	if (err >= 0)
		err = handoff__places_enter(peer);
	if (err >= 0)
		err = join_other(peer);
	return err < 0 ? err : handoff__candidates_listen(peer);
}

void
handoff__join_leave(struct handoff__peer *peer)
{
	handoff__candidates_deafen(peer);
	handoff__places_leave(peer);
	handoff__dir_close(&peer->dir);
}
