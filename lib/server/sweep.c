/* SPDX-License-Identifier: MIT */
/*
 * Periodic passes over all entries: trims buffers of idle connections, ends
 * those that linger, retries those that have stalled.
 */
#include "server/arrivals.h"
#include "server/internal.h"

#include <sys/socket.h>

#define SWEEP_US       1000000
#define SWEEP_SOON_US  50000
#define SWEEP_MOST     32 /* buffers trimmed per pass, to bound its duration */
#define IDLE_SECONDS   3
#define LINGER_SECONDS 3

static void
retry_one(struct handoff__member *member)
{
	const struct handoff__roster_entry *e = &member->entry;

	if (member->set < 0) {
		int set = handoff__sets_add(handoff__member_sets(member), e->fd,
			member->armed, member, e->mine);

		if (set < 0)
			return;
		member->set = (int8_t)set;
	}
	member->stalled = false;
	if (!e->mine || e->kind != HANDOFF__CONNECTION)
		return;
	if (handoff__entry_marked(e))
		handoff__arrivals_begin(member);
	else
		handoff__member_kick(member);
}

/* Retries what has stalled. An entry that stalls again does so within this
 * iteration, and the next pass finds it. */
static void
on_stalls(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__roster_entry *e = NULL;
	bool any = false;

	atomic_store(&server->stall_wanted, false);
	handoff__server_hold(server, true);
	while ((e = handoff__roster_next(&server->pair.roster, e))) {
		struct handoff__member *member = handoff__member_of(e);

		/* a busy one will report a stall itself */
		if ((handoff__member_has_worker(member) &&
			    server->model->busy(member)) ||
			!member->stalled)
			continue;
		any = true;
		retry_one(member);
	}
	handoff__server_hold(server, false);
	any |= !handoff__sets_mend(&server->sets);
	server->stall_logged &= any;
	if (any)
		handoff__server_stall(server);
	handoff__listen_update(server);
}

/* Sweeps one connection; true if it must be visited again. */
static bool
sweep_one(struct handoff__member *member, unsigned *trimmed)
{
	struct handoff_server *server = member->server;
	const struct handoff__view *view = &member->entry.view;
	int32_t idle;

	if (server->model->busy ? server->model->busy(member) : member->active)
		return false;
	/* written by its worker while it is busy, possibly after this sweep
	 * began */
	idle = (int32_t)(server->tick - member->tick);
	if (member->lingers && idle > LINGER_SECONDS) {
		if (!handoff__conn_may_end(view, HANDOFF__END_SERVICE)) {
			shutdown(member->entry.fd, SHUT_RDWR);
			handoff__member_kick(member);
			return true;
		}
		if (!handoff__member_may_end(member, HANDOFF__END_SERVICE))
			return true;
		handoff__member_end(member, HANDOFF__END_SERVICE);
		return false;
	}
	if (handoff__member_trimmed(member))
		return member->lingers;
	if (idle <= IDLE_SECONDS || *trimmed == SWEEP_MOST ||
		!handoff__member_trim(member))
		return true;
	++*trimmed;
	return member->lingers;
}

/* Runs while there is something to trim or to end: once a second, or sooner if
 * there was more than one pass may do. */
static void
on_sweep(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;
	unsigned trimmed = 0;
	bool again = false;

	/* before the pass, so that later requests are not lost */
	atomic_store(&server->sweep_wanted, false);
	handoff__server_hold(server, true);
	server->tick = handoff__seconds();
	while ((e = handoff__roster_next(roster, e))) {
		if (e->mine && e->kind == HANDOFF__CONNECTION)
			again |= sweep_one(handoff__member_of(e), &trimmed);
	}
	handoff__server_hold(server, false);
	if (handoff__absent_lost(server))
		handoff__resume_release_all(server);
	again |= handoff__absent_expire(server);
	again |= handoff__posts_pass(server);
	if (again)
		handoff__timer_arm(&server->loop, &server->sweep,
			trimmed == SWEEP_MOST ? SWEEP_SOON_US : SWEEP_US);
}

void
handoff__sweep_init(struct handoff_server *server)
{
	server->sweep.fn = on_sweep;
	server->stalls.fn = on_stalls;
	server->sweep.arg = server->stalls.arg = server;
}
