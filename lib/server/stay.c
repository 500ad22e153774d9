/* SPDX-License-Identifier: MIT */
/*
 * The turns of one connection, one after the other. Touches its socket, its
 * record and its result, nothing else: it runs in a thread or a process that
 * owns no more than that.
 */
#include "server/stay.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#define IDLE_MS  3000
#define RETRY_MS 100

static void
trim(struct handoff__member *conn)
{
	struct handoff__record *rec = conn->entry.view.rec;

	if (handoff__record_unsent(rec) > 0 || handoff__record_unread(rec) > 0)
		return;
	handoff__arena_trim(&conn->server->peer.arena, conn->entry.segment,
		conn->entry.slot);
	rec->touched = 0;
}

/* Waits for the socket. False when the connection is wanted back; `*events`
 * is 0 after a false alarm. */
static bool
wait_for(struct handoff__member *conn, uint32_t *events,
	const struct handoff__recall *recall)
{
	struct pollfd fds[2] = {
		{.fd = recall->fd, .events = POLLIN},
		{.fd = conn->entry.fd, .events = (short)conn->result.want},
	};
	bool trimmed = !conn->entry.view.rec->touched;

	for (;;) {
		int n = poll(fds, 2, trimmed ? -1 : IDLE_MS);

		if (n < 0 && errno != EINTR) {
			conn->result.turn = HANDOFF__TURN_RETRY;
			return false;
		}
		if (n > 0) {
			*events = (uint32_t)fds[1].revents;
			return !fds[0].revents || !recall->wanted(recall);
		}
		if (n == 0) {
			trim(conn);
			trimmed = true;
		}
	}
}

/* A client may never let it come to wait: asks in between. */
static bool
called_back(const struct handoff__recall *recall, int timeout_ms)
{
	struct pollfd p = {.fd = recall->fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0 && recall->wanted(recall);
}

/* False when the connection is to be given back. */
static bool
go_on(struct handoff__member *conn, uint32_t *events,
	const struct handoff__recall *recall)
{
	switch (conn->result.turn) {
	case HANDOFF__TURN_WAIT:
		return wait_for(conn, events, recall);
	case HANDOFF__TURN_AGAIN:
		*events = 0;
		return !called_back(recall, 0);
	case HANDOFF__TURN_RETRY:
		*events = EPOLLIN;
		return !called_back(recall, RETRY_MS);
	default:
		return false;
	}
}

void
handoff__stay(struct handoff__member *conn, uint32_t events,
	const struct handoff__recall *recall)
{
	do {
		handoff__conn_turn(&conn->entry.view, conn->entry.fd,
			conn->server->opts.service, events, &conn->result);
	} while (!conn->on_trial && go_on(conn, &events, recall));
}
