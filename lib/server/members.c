/* SPDX-License-Identifier: MIT */
/*
 * Entries as members of the sets: watched, armed, placed, kicked, ended. Uses
 * the model only by its calls, and does not know why a member is ended or
 * moved.
 */
#include "server/turn.h"
#include "server/worker.h"

#include "base/still.h"
#include "record/pass.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

uint32_t
handoff__member_first_events(const struct handoff__member *member)
{
	switch (member->entry.kind) {
	case HANDOFF__CONNECTION:
		return EPOLLIN | member->server->model->flags;
	case HANDOFF__LISTENER:
		return EPOLLIN;
	default:
		return 0;
	}
}

struct handoff__sets *
handoff__member_sets(const struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	return member->sets == 0 ? &server->sets
				 : &server->workers[member->sets - 1].sets;
}

bool
handoff__member_has_worker(const struct handoff__member *member)
{
	return member->server->model->enter &&
	       member->entry.kind == HANDOFF__CONNECTION;
}

struct handoff__roster_entry *
handoff__server_next(
	struct handoff_server *server, struct handoff__position *position)
{
	struct handoff__roster *roster = &server->pair.roster;
	struct handoff__roster_entry *e = NULL;

	/* the arena may have been forgotten meanwhile */
	if (position->begun)
		e = handoff__roster_at(
			roster, position->segment, position->slot);
	if (e || !position->begun)
		e = handoff__roster_next(roster, e);
	position->begun = e != NULL;
	if (e) {
		position->segment = e->segment;
		position->slot = e->slot;
	}
	return e;
}

void
handoff__server_hold(struct handoff_server *server, bool hold)
{
	if (server->model->hold && server->holding != hold)
		server->model->hold(server, hold);
	server->holding = hold;
}

/* A transient failure: the connection waits. Logged once, until none waits any
 * more. */
void
handoff__member_stall(struct handoff__member *member, const char *what, int err)
{
	struct handoff_server *server = member->server;

	if (!server->stall_logged)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"entry %llu: %s%s%s: retrying it and others like it",
			(unsigned long long)member->entry.id, what,
			err < 0 ? ": " : "", err < 0 ? strerror(-err) : "");
	server->stall_logged = true;
	member->stalled = true;
	handoff__server_stall(server);
}

/* Once the member is in a worker's set, that worker may run a turn and end it:
 * so nothing of it may be written afterwards. */
int
handoff__member_watch(struct handoff__member *member)
{
	const struct handoff__roster_entry *e = &member->entry;
	int rc;

	if (handoff__member_has_worker(member))
		member->server->model->enter(member);
	member->set = (int8_t)handoff__sets_home(
		handoff__member_sets(member), e->mine);
	rc = handoff__sets_add(handoff__member_sets(member), e->fd,
		member->armed, member, e->mine);
	if (rc >= 0)
		return 0;
	member->set = -1;
	/* an accepted client waits until it can be watched */
	if (e->mine && e->kind == HANDOFF__CONNECTION) {
		handoff__member_stall(member, "cannot be watched", rc);
		return 0;
	}
	if (handoff__member_has_worker(member))
		member->server->model->leave(member);
	return rc;
}

bool
handoff__member_misplaced(const struct handoff__member *member)
{
	return member->set >= 0 &&
	       member->set != handoff__sets_home(handoff__member_sets(member),
				      member->entry.mine);
}

void
handoff__member_place(struct handoff__member *member)
{
	const struct handoff__roster_entry *e = &member->entry;
	int rc;

	if (!handoff__member_misplaced(member))
		return;
	rc = handoff__sets_move(handoff__member_sets(member), member->set,
		e->fd, member->armed, member, e->mine);
	member->set = (int8_t)(rc < 0 ? -1 : rc);
	if (rc < 0)
		handoff__member_stall(member, "cannot be watched", rc);
}

void
handoff__member_kick(struct handoff__member *member)
{
	if (member->server->model->kick) {
		member->server->model->kick(member);
		return;
	}
	if (member->active)
		member->recalled = true; /* when it is back: outcome.c */
	if (member->kicked || member->active)
		return;
	member->kicked = true;
	member->server->nkicks++;
	member->server->due = true;
	TAILQ_INSERT_TAIL(&member->server->kicks, member, node);
}

void
handoff__member_unkick(struct handoff__member *member)
{
	if (!member->kicked)
		return;
	member->kicked = false;
	member->server->nkicks--;
	TAILQ_REMOVE(&member->server->kicks, member, node);
}

int
handoff__member_rearm(struct handoff__member *member, uint32_t want)
{
	struct handoff_server *server = member->server;
	int err;

	want |= server->model->flags;
	if (member->set < 0 ||
		(member->armed == want && !(want & EPOLLONESHOT)))
		return 0;
	err = handoff__sets_arm(handoff__member_sets(member), member->set,
		member->entry.fd, want, member);
	if (err == 0)
		member->armed = want;
	return err;
}

void
handoff__member_wait_for(struct handoff__member *member, uint32_t want)
{
	int err = handoff__member_rearm(member, want);

	if (err < 0)
		handoff__member_stall(member, "cannot be watched", err);
}

/* Ends the stream. shutdown first: close alone sends no FIN while the standby
 * has a copy. Dissolving the association sends a reset (connect(2)), which
 * close with SO_LINGER would not do then. A stream that lacks bytes has no end
 * in order. */
static void
cut(struct handoff__member *member)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	const struct handoff__view *view = &member->entry.view;

	if (handoff__entry_unfinished(&member->entry))
		handoff__still_reset(member->entry.fd);
	if (member->entry.kind == HANDOFF__CONNECTION &&
		!handoff__older(view->seg) && handoff__record_ok(view) &&
		(handoff__record_commit(view->rec)->flags & HANDOFF__RESET))
		(void)connect(member->entry.fd, &none, sizeof(none));
	shutdown(member->entry.fd, SHUT_RDWR);
}

/* Runs the service's hook, if the turn that ended the connection has not. */
static bool
run_hook(struct handoff__member *member, enum handoff__end end, uint32_t how)
{
	struct handoff_server *server = member->server;
	bool handling = server->handling, ran;

	server->handling = true;
	ran = handoff__conn_ended(&member->entry.view, member->entry.fd,
		server->opts.service, end, how);
	server->handling = handling;
	return ran;
}

bool
handoff__member_may_end(struct handoff__member *member, enum handoff__end end)
{
	return member->server->closing || run_hook(member, end, 0);
}

void
handoff__member_park(struct handoff__member *member)
{
	int err = 0;

	if (member->armed != EPOLLONESHOT && member->set >= 0)
		err = handoff__member_rearm(member, EPOLLONESHOT);
	if (err < 0)
		handoff__member_stall(member, "cannot be watched", err);
}

void
handoff__member_wake_pair(struct handoff__member *member)
{
	struct handoff__record *rec = member->entry.view.rec;
	struct handoff__member *other;

	if (!(rec->touched & HANDOFF__TOUCHED_PAIR))
		return;
	rec->touched &= (uint8_t)~HANDOFF__TOUCHED_PAIR;
	other = handoff__pairs_other(member);
	if (other && other->entry.mine)
		handoff__member_kick(other);
}

struct handoff__member *
handoff__member_take_pair(struct handoff__member *member)
{
	struct handoff__member *other = handoff__pairs_other(member);

	if (!other || member->on_trial || !other->entry.mine || other->active ||
		other->set < 0 || other->stalled || other->on_trial ||
		(handoff__record_commit(other->entry.view.rec)->flags &
			(HANDOFF__CLOSING | HANDOFF__GONE)))
		return NULL;
	/* the list node is needed to give it back */
	handoff__member_unkick(other);
	other->active = true;
	return other;
}

/* Its pair is told. */
static void
end_for_pair(struct handoff__member *other)
{
	const struct handoff__view *view = &other->entry.view;
	uint32_t flags = handoff__record_commit(view->rec)->flags;

	/* it does not connect again */
	if (flags & HANDOFF__CONNECT)
		atomic_store(&handoff__pass_wish(view, flags)->error, EPIPE);
	if (other->entry.mine)
		handoff__member_kick(other);
}

/* A client that has violated the protocol may reset the connection, or keep it.
 * A stop closes connections on behalf of their services. */
static enum handoff__end
reason_of(const struct handoff__member *member, enum handoff__end end)
{
	const struct handoff__view *view = &member->entry.view;

	if (member->entry.kind == HANDOFF__CONNECTION &&
		!handoff__older(view->seg) &&
		handoff__turn_noted(handoff__record_commit(view->rec)->flags,
			end) == HANDOFF__END_PROTOCOL)
		return HANDOFF__END_PROTOCOL;
	return end == HANDOFF__END_SERVICE && member->server->closing
		       ? HANDOFF__END_STOP
		       : end;
}

/* Its label is the sentence. */
static void
log_violation(const struct handoff__member *member)
{
	char why[HANDOFF__LABEL_MAX];

	handoff__record_label(member->entry.view.rec, why);
	handoff__complain(member,
		"closed: it does not keep to the protocol of sessions", why);
}

void
handoff__member_end(struct handoff__member *member, enum handoff__end end)
{
	struct handoff_server *server = member->server;
	struct handoff__member *other = handoff__pairs_other(member);

	end = reason_of(member, end);
	if (member->entry.kind == HANDOFF__CONNECTION) {
		run_hook(member, end, HANDOFF__ENDED_AT_ONCE);
		server->pair.tally.ends[end]++;
	}
	if (end == HANDOFF__END_PROTOCOL)
		log_violation(member);
	cut(member);
	handoff__pair_end(&server->pair, &member->entry);
	if (other)
		end_for_pair(other);
	server->closed += server->closing;
	if (server->full)
		handoff__listen_later(server);
}

void
handoff__member_log_end(const struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	/* with posts that were dropped the client did nothing wrong */
	if (result->why)
		handoff__log(&member->server->log,
			result->end == HANDOFF__END_POSTS ? HANDOFF_LOG_WARNING
							  : HANDOFF_LOG_INFO,
			"connection %llu: closed: %s%s%s",
			(unsigned long long)member->entry.id, result->why,
			result->err ? ": " : "",
			result->err ? strerror(result->err) : "");
}

bool
handoff__member_simple(const struct handoff__member *member, uint32_t events)
{
	const struct handoff__view *view = &member->entry.view;
	const struct handoff_service *service = member->server->opts.service;
	uint32_t flags = handoff__record_commit(view->rec)->flags;

	if (flags & (HANDOFF__CLOSING | HANDOFF__GONE))
		return !handoff__flags_ending(flags);
	return events == 0 && !handoff__conn_due(view, service) &&
	       !(service->posted && handoff__record_posts_wait(view));
}
