/* SPDX-License-Identifier: MIT */
/*
 * A queue into the loop's thread, with an eventfd to wake it.
 */
#include "server/returns.h"

#include "base/high.h"
#include "server/internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void
on_wake(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__returns *returns = watch->arg;
	struct handoff__members list = TAILQ_HEAD_INITIALIZER(list);
	struct handoff__member *member;
	eventfd_t count;

	(void)events;
	pthread_mutex_lock(&returns->lock);
	eventfd_read(returns->wake, &count);
	TAILQ_CONCAT(&list, &returns->list, node);
	pthread_mutex_unlock(&returns->lock);
	while ((member = TAILQ_FIRST(&list))) {
		TAILQ_REMOVE(&list, member, node);
		returns->fn(member);
	}
	if (returns->rung)
		returns->rung(returns->arg);
}

int
handoff__returns_open(struct handoff__returns *returns,
	struct handoff__loop *loop, void (*fn)(struct handoff__member *member))
{
	int err;

	returns->wake =
		handoff__high_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (returns->wake < 0)
		return -errno;
	pthread_mutex_init(&returns->lock, NULL);
	TAILQ_INIT(&returns->list);
	returns->loop = loop;
	returns->fn = fn;
	returns->watch.fd = -1;
	returns->watch.fn = on_wake;
	returns->watch.arg = returns;
	err = handoff__watch_add(loop, &returns->watch, returns->wake, EPOLLIN);
	if (err < 0)
		handoff__returns_close(returns);
	return err;
}

void
handoff__returns_close(struct handoff__returns *returns)
{
	if (!returns->loop)
		return;
	handoff__watch_del(returns->loop, &returns->watch);
	close(returns->wake);
	pthread_mutex_destroy(&returns->lock);
	returns->loop = NULL;
}

void
handoff__returns_push(struct handoff__returns *returns,
	struct handoff__member *member, struct handoff__member *other)
{
	pthread_mutex_lock(&returns->lock);
	TAILQ_INSERT_TAIL(&returns->list, member, node);
	if (other)
		TAILQ_INSERT_TAIL(&returns->list, other, node);
	/* under the lock: once the loop has taken the last one it may close the
	 * descriptor */
	eventfd_write(returns->wake, 1);
	pthread_mutex_unlock(&returns->lock);
}
