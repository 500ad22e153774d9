/* SPDX-License-Identifier: MIT */
/*
 * Defers work that another function has found: the sweep, stalled entries, the
 * listeners. Only sets timers and flags; the work is done in sweep.c and
 * dispatch.c.
 */
#include "server/internal.h"

#define SWEEP_US   1000000
#define STALLED_US 100000

uint32_t
handoff__seconds(void)
{
	return (uint32_t)(handoff__now_us() / 1000000);
}

/* While no sweep is scheduled the idle clock stands still, so set it. */
void
handoff__server_sweep_later(struct handoff_server *server)
{
	if (server->sweep.armed)
		return;
	server->tick = handoff__seconds();
	handoff__timer_arm(&server->loop, &server->sweep, SWEEP_US);
}

/* Schedules a retry of what has stalled. */
void
handoff__server_stall(struct handoff_server *server)
{
	if (!server->stalls.armed)
		handoff__timer_arm(&server->loop, &server->stalls, STALLED_US);
}

/* The conditions for accepting clients may have changed. */
void
handoff__listen_later(struct handoff_server *server)
{
	server->listen_due = server->due = true;
}
