/* SPDX-License-Identifier: MIT */
/*
 * The servers under systemd: what it takes beyond the server itself. The
 * library tells systemd nothing where there is none.
 */
#include "manager.h"

#include <handoff/systemd.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

bool
manager_known(void)
{
	return true;
}

int
manager_open(struct handoff_systemd **sd, struct handoff_server_opts *server,
	bool listens)
{
	/* Listeners that are bound here are kept for a restart, if the unit
	 * has FileDescriptorStoreMax=. */
	struct handoff_systemd_opts opts = {.size = sizeof(opts),
		.store = "listener",
		.log = server->log,
		.log_arg = server->log_arg,
		.errbuf = server->errbuf,
		.errbuf_size = server->errbuf_size};
	int rc = handoff_systemd_open(sd, &opts);

	if (rc < 0 || !listens)
		return rc;
	rc = handoff_systemd_adopt(*sd, server);
	if (rc > 0 || server->nlisten > 0)
		return 0;
	snprintf(server->errbuf, server->errbuf_size,
		"systemd passed no socket that listens: --listen is needed");
	return -EINVAL;
}

void
manager_attach(struct handoff_systemd *sd, struct handoff_server *server)
{
	char at[HANDOFF_STAMP_MAX];

	if (sd && handoff_systemd_attach(sd, server) < 0)
		fprintf(stderr, "%s%s\n",
			handoff_log_stamp(STDERR_FILENO, at, sizeof(at)),
			handoff_systemd_errmsg(sd));
}

void
manager_event(
	struct handoff_systemd *sd, const struct handoff_server_event *event)
{
	/* What fails is in the log, and no reason not to serve. */
	if (sd)
		handoff_systemd_event(sd, event);
}

void
manager_free(struct handoff_systemd *sd)
{
	handoff_systemd_free(sd);
}
