/* SPDX-License-Identifier: MIT */
/*
 * Entries as members of the sets: watched, armed, placed, kicked, ended. Knows
 * the model by its calls alone, and nothing of why a member is ended, or moved.
 */
#include "server/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

uint32_t
handoff__member_first_events(const struct handoff__member *conn)
{
	switch (conn->entry.kind) {
	case HANDOFF__CONNECTION:
		return EPOLLIN | conn->server->model->flags;
	case HANDOFF__LISTENER:
		return EPOLLIN;
	default:
		return 0;
	}
}

struct handoff__sets *
handoff__member_sets(const struct handoff__member *conn)
{
	struct handoff_server *server = conn->server;

	return conn->sets == 0 ? &server->sets
			       : &server->workers[conn->sets - 1].sets;
}

bool
handoff__member_apart(const struct handoff__member *conn)
{
	return conn->server->model->enter &&
	       conn->entry.kind == HANDOFF__CONNECTION;
}

void
handoff__server_hold(struct handoff_server *server, bool hold)
{
	if (server->model->hold && server->holding != hold)
		server->model->hold(server, hold);
	server->holding = hold;
}

/* Something failed that may work in a moment: the connection waits. Told once,
 * until nothing waits any more. */
void
handoff__member_stall(struct handoff__member *conn, const char *what, int err)
{
	struct handoff_server *server = conn->server;

	if (!server->stall_told)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"entry %llu: %s: %s: it waits, and others like it",
			(unsigned long long)conn->entry.id, what,
			strerror(-err));
	server->stall_told = true;
	conn->stalled = true;
	handoff__server_stall(server);
}

/* Once it is in a set of a worker's, that one may have a turn and end it: so
 * nothing of it is written after. */
int
handoff__member_watch(struct handoff__member *conn)
{
	const struct handoff__entry *e = &conn->entry;
	int rc;

	if (handoff__member_apart(conn))
		conn->server->model->enter(conn);
	conn->set =
		(int8_t)handoff__sets_home(handoff__member_sets(conn), e->mine);
	rc = handoff__sets_add(
		handoff__member_sets(conn), e->fd, conn->armed, conn, e->mine);
	if (rc >= 0)
		return 0;
	conn->set = -1;
	/* A client that was let in waits until it can be watched. */
	if (e->mine && e->kind == HANDOFF__CONNECTION) {
		handoff__member_stall(conn, "cannot be watched", rc);
		return 0;
	}
	if (handoff__member_apart(conn))
		conn->server->model->leave(conn);
	return rc;
}

bool
handoff__member_misplaced(const struct handoff__member *conn)
{
	return conn->set >= 0 &&
	       conn->set != handoff__sets_home(handoff__member_sets(conn),
				    conn->entry.mine);
}

void
handoff__member_place(struct handoff__member *conn)
{
	const struct handoff__entry *e = &conn->entry;
	int rc;

	if (!handoff__member_misplaced(conn))
		return;
	rc = handoff__sets_move(handoff__member_sets(conn), conn->set, e->fd,
		conn->armed, conn, e->mine);
	conn->set = (int8_t)(rc < 0 ? -1 : rc);
	if (rc < 0)
		handoff__member_stall(conn, "cannot be watched", rc);
}

void
handoff__member_kick(struct handoff__member *conn)
{
	if (conn->server->model->kick) {
		conn->server->model->kick(conn);
		return;
	}
	if (conn->kicked || conn->active)
		return;
	conn->kicked = true;
	conn->server->nkicks++;
	conn->server->due = true;
	TAILQ_INSERT_TAIL(&conn->server->kicks, conn, node);
}

void
handoff__member_unkick(struct handoff__member *conn)
{
	if (!conn->kicked)
		return;
	conn->kicked = false;
	conn->server->nkicks--;
	TAILQ_REMOVE(&conn->server->kicks, conn, node);
}

int
handoff__member_rearm(struct handoff__member *conn, uint32_t want)
{
	struct handoff_server *server = conn->server;
	int err;

	want |= server->model->flags;
	if (conn->set < 0 || (conn->armed == want && !(want & EPOLLONESHOT)))
		return 0;
	err = handoff__sets_arm(handoff__member_sets(conn), conn->set,
		conn->entry.fd, want, conn);
	if (err == 0)
		conn->armed = want;
	return err;
}

void
handoff__member_wait_for(struct handoff__member *conn, uint32_t want)
{
	int err = handoff__member_rearm(conn, want);

	if (err < 0)
		handoff__member_stall(conn, "cannot be watched", err);
}

/* shutdown first: close alone sends no FIN while the standby has a copy. */
void
handoff__member_end(struct handoff__member *conn, enum handoff__end end)
{
	struct handoff_server *server = conn->server;

	/* A stop closes connections in the name of their services. */
	if (end == HANDOFF__END_SERVICE && server->closing)
		end = HANDOFF__END_STOP;
	if (conn->entry.kind == HANDOFF__CONNECTION)
		server->peer.tally.ends[end]++;
	shutdown(conn->entry.fd, SHUT_RDWR);
	handoff__peer_end(&server->peer, &conn->entry);
	server->closed += server->closing;
	if (server->full)
		handoff__listen_later(server);
}

void
handoff__member_tell_end(const struct handoff__member *conn,
	const struct handoff__turn_result *result)
{
	if (result->why)
		handoff__log(&conn->server->log, HANDOFF_LOG_INFO,
			"connection %llu: closed: %s%s%s",
			(unsigned long long)conn->entry.id, result->why,
			result->err ? ": " : "",
			result->err ? strerror(result->err) : "");
}

bool
handoff__member_simple(const struct handoff__member *conn, uint32_t events)
{
	const struct handoff__view *view = &conn->entry.view;

	return (handoff__current(view->rec)->flags & HANDOFF__CLOSING) ||
	       (events == 0 &&
		       !handoff__conn_due(view, conn->server->opts.service));
}
