/* SPDX-License-Identifier: MIT */
/*
 * The proof that the other process serves no more: its pidfd, and the pipe
 * whose write end its children hold, since each of them may outlive the parent,
 * with which it is killed, for a moment. Only notes the end.
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
handoff__death_forget_process(struct handoff__pair *pair)
{
	handoff__watch_del(pair->loop, &pair->pidfd_watch);
	if (pair->pidfd >= 0)
		close(pair->pidfd);
	pair->pidfd = -1;
}

bool
handoff__death_certain(const struct handoff__pair *pair)
{
	return pair->pidfd < 0 && pair->life < 0;
}

static void
on_pidfd(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__pair *pair = watch->arg;

	(void)events;
	handoff__death_forget_process(pair);
	handoff__core_process_ended(pair);
}

int
handoff__death_watch(struct handoff__pair *pair, int fd, int passed, pid_t *pid)
{
	char why[128];
	int err;

	pair->pidfd = handoff__high_raise(
		handoff__process_of(fd, passed, pid, why, sizeof(why)));
	if (pair->pidfd < 0) {
		err = pair->pidfd;
		pair->pidfd = -1;
		return handoff__fail(&pair->error, err, "link: %s", why);
	}
	err = handoff__watch_add(
		pair->loop, &pair->pidfd_watch, pair->pidfd, EPOLLIN);
	if (err < 0) {
		handoff__death_forget_process(pair);
		return handoff__fail(&pair->error, err,
			"link: cannot watch the other process: %s",
			strerror(-err));
	}
	return 0;
}

/* Nothing is ever written to the pipe: an event is its end. */
static void
on_life(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__pair *pair = watch->arg;

	(void)events;
	handoff__death_forget_children(pair);
	handoff__core_process_ended(pair);
}

/* Without this watch this peer might serve beside a dead peer's children. */
void
handoff__death_watch_children(struct handoff__pair *pair, int fd)
{
	handoff__death_forget_children(pair);
	pair->life = handoff__high_raise(fd);
	if (handoff__watch_add(
		    pair->loop, &pair->life_watch, pair->life, EPOLLIN) < 0) {
		handoff__death_forget_children(pair);
		handoff__core_break(
			pair, "the end of its children cannot be watched");
	}
}

void
handoff__death_forget_children(struct handoff__pair *pair)
{
	handoff__watch_del(pair->loop, &pair->life_watch);
	if (pair->life >= 0)
		close(pair->life);
	pair->life = -1;
}

void
handoff__death_init(struct handoff__pair *pair)
{
	pair->pidfd = pair->life = -1;
	pair->pidfd_watch =
		(struct handoff__watch){.fd = -1, .fn = on_pidfd, .arg = pair};
	pair->life_watch =
		(struct handoff__watch){.fd = -1, .fn = on_life, .arg = pair};
}
