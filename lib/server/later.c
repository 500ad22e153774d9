/* SPDX-License-Identifier: MIT */
/*
 * What has to be looked at soon, as found by a function in the middle of
 * something else: the sweep, what has stalled, the listeners. Knows nothing of
 * what is done then, see sweep.c and dispatch.c.
 */
#include "server/internal.h"

#define SWEEP_US   1000000
#define STALLED_US 100000

uint32_t
handoff__seconds(void)
{
	return (uint32_t)(handoff__now_us() / 1000000);
}

/* While nothing is swept the clock of idleness stands still. */
void
handoff__server_sweep_later(struct handoff_server *server)
{
	if (server->sweep.armed)
		return;
	server->tick = handoff__seconds();
	handoff__timer_arm(&server->loop, &server->sweep, SWEEP_US);
}

/* Something is to be tried again soon. */
void
handoff__server_stall(struct handoff_server *server)
{
	if (!server->stalls.armed)
		handoff__timer_arm(&server->loop, &server->stalls, STALLED_US);
}

/* Whether a client is accepted may be another question by now. */
void
handoff__listen_later(struct handoff_server *server)
{
	server->listen_due = server->due = true;
}
