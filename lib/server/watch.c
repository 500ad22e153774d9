/* SPDX-License-Identifier: MIT */
/*
 * The program's own descriptors in the server's loop.
 */
#include "server/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

static void
on_user_watch(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__user_watch *user = watch->arg;

	(void)events;
	user->fn(watch->fd, user->arg);
}

int
handoff_server_watch(
	struct handoff_server *server, int fd, handoff_watch_fn *fn, void *arg)
{
	struct handoff__user_watch *user;
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	if (fd < 0 || !fn)
		return -EINVAL;
	if (server->nwatches == HANDOFF__WATCHES)
		return -ENOSPC;
	user = &server->watches[server->nwatches];
	user->fn = fn;
	user->arg = arg;
	user->watch.fn = on_user_watch;
	user->watch.arg = user;
	err = handoff__watch_add(&server->loop, &user->watch, fd, EPOLLIN);
	if (err < 0)
		return handoff__fail(&server->error, err,
			"server: cannot watch descriptor %d: %s", fd,
			strerror(-err));
	server->nwatches++;
	return 0;
}
