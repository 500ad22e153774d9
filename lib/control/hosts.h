/* SPDX-License-Identifier: MIT */
/* Commands for the ferry of a directory, which moves its service to another
 * host and back. */
#ifndef HANDOFF_CONTROL_HOSTS_H
#define HANDOFF_CONTROL_HOSTS_H

#include <handoff/control.h>

#include "control/call.h"

/* The ferry among the peers, which have given their status; or NULL. */
struct handoff__contact *handoff__hosts_ferry(struct handoff__call *call);

/* Moves the service to the host `opts->to`. */
int handoff__hosts_move(
	struct handoff__call *call, const struct handoff_maintain_opts *opts);

/* Brings it back to this host. */
int handoff__hosts_fetch(const struct handoff__call *call,
	struct handoff__contact *ferry, bool silent);

/* Decides about a batch in doubt. */
int handoff__hosts_settle(
	struct handoff__call *call, const char *batch, bool here);

#endif
