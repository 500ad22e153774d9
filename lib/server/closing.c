/* SPDX-License-Identifier: MIT */
/*
 * Which connections end with this server, because no peer takes them, and how
 * they are closed. When that happens is stop.c's.
 */
#include "server/internal.h"

#include "base/still.h"

bool
handoff__closing_standby(const struct handoff_server *server)
{
	const struct handoff__pair *pair = &server->pair;

	return pair->partner == HANDOFF__PARTNER_READY && !pair->other_leaving;
}

/* The other peer detects the end of this process even if the link is broken. */
bool
handoff__closing_survived(const struct handoff_server *server)
{
	return handoff__closing_standby(server) ||
	       handoff__pair_rejoining(&server->pair);
}

/* Entries that the other peer has copies of pass to it when this process is
 * gone, even those in a hanging handler. A copy in flight will arrive. */
static bool
is_lost(const struct handoff_server *server,
	const struct handoff__roster_entry *e)
{
	if (e->kind != HANDOFF__CONNECTION || !e->mine)
		return false;
	return !handoff__closing_survived(server) ||
	       (server->pair.partner == HANDOFF__PARTNER_READY &&
		       e->copy != HANDOFF__COPY_HELD &&
		       e->copy != HANDOFF__COPY_SENT);
}

bool
handoff__server_ends(const struct handoff_server *server,
	const struct handoff__roster_entry *e)
{
	return server->closing && is_lost(server, e);
}

bool
handoff__closing_mark(
	struct handoff_server *server, const struct handoff__roster_entry *e)
{
	bool handling = server->handling;

	if (handoff__record_commit(e->view.rec)->flags & HANDOFF__CLOSING)
		return false;
	server->handling = true;
	handoff__conn_farewell(&e->view, e->fd, server->opts.service);
	server->handling = handling;
	return true;
}

uint32_t
handoff__closing_left(struct handoff_server *server)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t left = 0;

	while ((e = handoff__roster_next(&server->pair.roster, e)))
		left += is_lost(server, e);
	return left;
}

void
handoff__closing_reset(struct handoff_server *server)
{
	bool valid = handoff__pair_valid(&server->pair);
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&server->pair.roster, e))) {
		if (is_lost(server, e) && e->fd >= 0 &&
			(!valid || handoff__entry_unfinished(e)))
			handoff__still_reset(e->fd);
	}
}

uint32_t
handoff__closing_uncovered(struct handoff_server *server)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t uncovered = 0;

	while ((e = handoff__roster_next(&server->pair.roster, e)))
		uncovered += e->kind == HANDOFF__CONNECTION && e->mine &&
			     e->copy != HANDOFF__COPY_HELD;
	return uncovered;
}

/* Closes the connections that end with this server, after their output. */
void
handoff__server_close_all(struct handoff_server *server)
{
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	handoff__server_hold(server, true);
	while ((e = handoff__roster_next(roster, e))) {
		struct handoff__member *member = handoff__member_of(e);

		if (!handoff__server_ends(server, e))
			continue;
		handoff__suspects_release(member);
		handoff__resume_release(member);
		if (!server->model->quiesce(member))
			continue; /* marked when it comes back */
		if (handoff__closing_mark(server, e))
			handoff__member_kick(member);
	}
	handoff__server_hold(server, false);
}
