/* SPDX-License-Identifier: MIT */
/* In place of manager.c where libsystemd is not: --systemd is refused. */
#include "manager.h"

#include <errno.h>

bool
manager_known(void)
{
	return false;
}

int
manager_open(struct handoff_systemd **sd, struct handoff_server_opts *opts,
	bool listens)
{
	(void)sd;
	(void)opts;
	(void)listens;
	return -EOPNOTSUPP;
}

void
manager_attach(struct handoff_systemd *sd, struct handoff_server *server)
{
	(void)sd;
	(void)server;
}

void
manager_event(
	struct handoff_systemd *sd, const struct handoff_server_event *event)
{
	(void)sd;
	(void)event;
}

void
manager_free(struct handoff_systemd *sd)
{
	(void)sd;
}
