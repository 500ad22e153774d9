/* SPDX-License-Identifier: MIT */
/*
 * A mark of each thread of the library's own, set once and for all: a request
 * costs nothing for it.
 */
#include "server/within.h"

#include "server/internal.h"

#include <errno.h>

static _Thread_local bool is_servant;

void
handoff__within_thread(void)
{
	is_servant = true;
}

bool
handoff__within(const struct handoff_server *server)
{
	return is_servant || server->forked || server->handling;
}

bool
handoff__within_loop(const struct handoff_server *server)
{
	return !is_servant && !server->forked && server->handling;
}

int
handoff__server_check(const struct handoff_server *server)
{
	if (!server)
		return -EINVAL;
	return handoff__within(server) ? -EDEADLK : 0;
}
