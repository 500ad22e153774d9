/* SPDX-License-Identifier: MIT */
/*
 * What tells for certain that the other process serves no more: its pidfd, and
 * the pipe that its children have one end of, because each of them runs for a
 * moment longer than the parent that they are killed with. Only notes the end.
 */
#include "peer/death.h"

#include "base/high.h"
#include "base/process.h"
#include "peer/core.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

void
handoff__death_forget_process(struct handoff__peer *peer)
{
	handoff__watch_del(peer->loop, &peer->pidfd_watch);
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	peer->pidfd = -1;
}

/* Does no process run any more that may touch what the other peer owns? */
bool
handoff__death_certain(const struct handoff__peer *peer)
{
	return peer->pidfd < 0 && peer->life < 0;
}

static void
on_pidfd(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__peer *peer = watch->arg;

	(void)events;
	handoff__death_forget_process(peer);
	handoff__core_process_ended(peer);
}

/* The other's process, seen by a pidfd that is watched. */
int
handoff__death_watch(struct handoff__peer *peer, int fd, int passed, pid_t *pid)
{
	char why[128];
	int err;

	peer->pidfd = handoff__high_raise(
		handoff__process_of(fd, passed, pid, why, sizeof(why)));
	if (peer->pidfd < 0) {
		err = peer->pidfd;
		peer->pidfd = -1;
		return handoff__fail(&peer->error, err, "link: %s", why);
	}
	err = handoff__watch_add(
		peer->loop, &peer->pidfd_watch, peer->pidfd, EPOLLIN);
	if (err < 0) {
		handoff__death_forget_process(peer);
		return handoff__fail(&peer->error, err,
			"link: cannot watch the other process: %s",
			strerror(-err));
	}
	return 0;
}

/* Nothing is ever written to it: what comes is the end. */
static void
on_life(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__peer *peer = watch->arg;

	(void)events;
	handoff__death_forget_children(peer);
	handoff__core_process_ended(peer);
}

/* Without it this peer would serve beside the children of a dead one. */
void
handoff__death_watch_children(struct handoff__peer *peer, int fd)
{
	handoff__death_forget_children(peer);
	peer->life = handoff__high_raise(fd);
	if (handoff__watch_add(
		    peer->loop, &peer->life_watch, peer->life, EPOLLIN) < 0) {
		handoff__death_forget_children(peer);
		handoff__core_break(
			peer, "the end of its children could not be watched");
	}
}

void
handoff__death_forget_children(struct handoff__peer *peer)
{
	handoff__watch_del(peer->loop, &peer->life_watch);
	if (peer->life >= 0)
		close(peer->life);
	peer->life = -1;
}

void
handoff__death_init(struct handoff__peer *peer)
{
	peer->pidfd = peer->life = -1;
	peer->pidfd_watch =
		(struct handoff__watch){.fd = -1, .fn = on_pidfd, .arg = peer};
	peer->life_watch =
		(struct handoff__watch){.fd = -1, .fn = on_life, .arg = peer};
}
