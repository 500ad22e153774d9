/* SPDX-License-Identifier: MIT */
/*
 * What follows for a connection from the turn that it has had, once the loop
 * has it again. Called by the models.
 */
#include "server/internal.h"

#include <errno.h>
#include <sys/epoll.h>

void
handoff__member_done(
	struct handoff__member *conn, const struct handoff__turn_result *result)
{
	struct handoff_server *server = conn->server;

	/* That is all that the sweep looks after. */
	if (conn->entry.view.rec->touched ||
		result->turn == HANDOFF__TURN_LINGER)
		handoff__server_sweep_later(server);
	/* A client that goes on talking after its service has closed does not
	 * live longer for it. */
	if (!conn->lingers)
		conn->tick = server->tick;
	switch (result->turn) {
	case HANDOFF__TURN_AGAIN:
		handoff__member_kick(conn);
		return;
	case HANDOFF__TURN_LINGER:
		conn->lingers = true;
		/* fall through */
	case HANDOFF__TURN_WAIT:
		handoff__member_wait_for(conn, result->want);
		return;
	case HANDOFF__TURN_RETRY:
		/* Silent meanwhile; an error is reported once all the same. */
		handoff__member_rearm(conn, EPOLLONESHOT);
		handoff__member_stall(conn,
			result->why ? result->why : "cannot go on",
			result->err ? -result->err : -ENOMEM);
		return;
	case HANDOFF__TURN_END:
		handoff__member_tell_end(conn, result);
		handoff__member_end(conn, result->end);
		return;
	}
}

void
handoff__member_back(struct handoff__member *conn)
{
	struct handoff_server *server = conn->server;

	conn->active = false;
	handoff__suspects_tried(conn);
	if (conn->result.turn != HANDOFF__TURN_END &&
		handoff__server_ends(server, &conn->entry))
		handoff__record_flag(&conn->entry.view, HANDOFF__CLOSING);
	if (conn->entry.leaving && conn->result.turn != HANDOFF__TURN_END)
		handoff__peer_quiet(&server->peer, &conn->entry);
	if (conn->result.turn != HANDOFF__TURN_END &&
		handoff__suspects_add(conn))
		return;
	if (conn->entry.mine && conn->result.turn == HANDOFF__TURN_WAIT)
		handoff__member_kick(conn);
	else if (conn->entry.mine)
		handoff__member_done(conn, &conn->result);
}
