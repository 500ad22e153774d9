/* SPDX-License-Identifier: MIT */
/*
 * The first turn of a connection that has come from another peer, or the wait
 * for it. The check is here, before the connection is armed: turns know nothing
 * of it.
 */
#include "server/arrivals.h"

#include "server/internal.h"

#include <errno.h>
#include <sys/epoll.h>

/* In every model: the set reports nothing, and no kick leads to a turn. */
static void
withhold(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	if (server->model->withhold) {
		server->model->withhold(member);
	} else {
		handoff__member_unkick(member);
		member->active = true;
	}
	handoff__member_rearm(member, EPOLLONESHOT);
	handoff__member_stall(
		member, "its socket is not complete, a ferry has to do it", 0);
}

static void
give_back(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	if (server->model->moved)
		server->model->moved(member);
	else
		member->active = false;
}

static bool
is_withheld(struct handoff__member *member)
{
	if (!handoff__entry_marked(&member->entry))
		return false;
	if (handoff__entry_unfinished(&member->entry)) {
		withhold(member);
		return true;
	}
	give_back(member);
	return false;
}

void
handoff__arrivals_begin(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	const struct handoff__record *rec = member->entry.view.rec;

	if (is_withheld(member) || handoff__suspects_add(member))
		return;
	/* most are still quiet; the others get a turn */
	if (member->armed != handoff__member_first_events(member) ||
		handoff__record_activity(rec) != HANDOFF__AT_REST ||
		/* its pair may have left something to do */
		server->paired)
		handoff__member_kick(member);
	if (rec->touched & HANDOFF__PAGES)
		handoff__server_sweep_later(server);
	if (rec->touched & HANDOFF__TIMED)
		handoff__deadlines_scan(server);
}
