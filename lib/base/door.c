/* SPDX-License-Identifier: MIT */
/*
 * Accepts one client per iteration, so that a burst of clients does not delay
 * everything else in the loop.
 */
#include "base/door.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define RETRY_US 100000

/* The errors that accept(2) lists under "Error handling". */
bool
handoff__accept_goes_on(int err)
{
	switch (err) {
	case EINTR:
	case ECONNABORTED:
	case EPERM:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}

static void
on_door_event(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__door *door = watch->arg;
	int fd;

	(void)events;
	if (door->room)
		door->room(door->room_arg);
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		door->fn(door->arg, fd);
	} else if (errno != EAGAIN && !handoff__accept_goes_on(errno)) {
		handoff__watch_set(door->loop, watch, 0);
		handoff__timer_arm(door->loop, &door->retry, RETRY_US);
	}
}

static void
on_door_retry(struct handoff__timer *timer)
{
	struct handoff__door *door = timer->arg;

	handoff__watch_set(door->loop, &door->watch, EPOLLIN);
}

int
handoff__door_open(struct handoff__door *door, struct handoff__loop *loop,
	int fd, handoff__door_fn *fn, void *arg)
{
	door->loop = loop;
	door->fn = fn;
	door->arg = arg;
	door->watch = (struct handoff__watch){
		.fd = -1, .fn = on_door_event, .arg = door};
	door->retry = (struct handoff__timer){.fn = on_door_retry, .arg = door};
	return handoff__watch_add(loop, &door->watch, fd, EPOLLIN);
}

void
handoff__door_close(struct handoff__door *door)
{
	if (!door->loop)
		return;
	handoff__timer_disarm(door->loop, &door->retry);
	handoff__watch_del(door->loop, &door->watch);
}
