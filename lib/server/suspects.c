/* SPDX-License-Identifier: MIT */
/*
 * The queue of suspects. A connection in it gets no other turns, and its
 * descriptor is disarmed in its set. One at a time, in order of arrival, each
 * gets a single turn: so a death then is a death in the handler of at most one
 * suspect. A handler that returns has cleared its input of the suspicion.
 *
 * A child of model `fork` may die at any time. In every other model the turn
 * may kill this process, so it waits until a standby has copies of all that
 * would die with it. If none comes the connection is ended.
 *
 * A timer drives all of it: the request path is not involved.
 */
#include "server/suspects.h"

#include "record/handling.h"
#include "server/internal.h"

#include <errno.h>
#include <sys/epoll.h>

#define LOOK_US 20000 /* interval of checks for a standby */
/* after a turn in which the handler had nothing to do */
#define AGAIN_US 100000

static void
look_in(struct handoff_server *server, int64_t us)
{
	handoff__timer_arm(&server->loop, &server->suspects.timer, us);
}

/* Whether a death of this process now would cost only this process. */
static bool
is_covered(const struct handoff_server *server)
{
	const struct handoff__pair *pair = &server->pair;

	if (server->model->expendable)
		return true;
	return pair->partner == HANDOFF__PARTNER_READY && !pair->pulse.hung &&
	       pair->roster.uncovered == 0;
}

/* Disarms its descriptor: no event but an error, once. */
static void
silence(struct handoff__member *member)
{
	member->armed = EPOLLONESHOT;
	if (member->set >= 0)
		handoff__sets_arm(handoff__member_sets(member), member->set,
			member->entry.fd, member->armed, member);
}

bool
handoff__suspects_add(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	struct handoff__suspects *suspects = &server->suspects;
	uint32_t flags = handoff__record_commit(member->entry.view.rec)->flags;

	if (!handoff__entry_suspected(&member->entry) ||
		handoff__flags_absent(flags) ||
		((flags & HANDOFF__CLOSING) && !handoff__flags_ending(flags)))
		return false;
	if (member->suspect)
		return true;
	if (server->model->withhold)
		server->model->withhold(member);
	else
		handoff__member_unkick(member);
	member->active = member->suspect = true;
	member->suspected_us = handoff__now_us();
	silence(member);
	TAILQ_INSERT_TAIL(&suspects->list, member, node);
	/* not now: the others are served first */
	if (!suspects->timer.armed && !suspects->trying)
		look_in(server, 0);
	return true;
}

void
handoff__suspects_report(struct handoff_server *server, uint32_t count)
{
	if (count > 0)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"%u connection%s in the handler when its process died: "
			"each is tried alone%s",
			count, count == 1 ? " was" : "s were",
			is_covered(server)
				? ""
				: ", as soon as a standby has a copy "
				  "of everything");
}

/* Removes it from the queue. */
static void
take_out(struct handoff__member *member)
{
	TAILQ_REMOVE(&member->server->suspects.list, member, node);
	member->suspect = member->active = false;
}

void
handoff__suspects_drop(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	if (server->suspects.trying == member)
		handoff__suspects_tried(member);
	if (member->suspect)
		take_out(member);
}

void
handoff__suspects_release(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	if (!member->suspect)
		return;
	take_out(member);
	if (server->model->moved)
		server->model->moved(member);
}

void
handoff__suspects_absolve(struct handoff_server *server)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&server->pair.roster, e))) {
		if (e->mine && e->kind == HANDOFF__CONNECTION)
			handoff__handler_absolve(e->view.rec);
	}
}

void
handoff__suspects_tried(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	member->on_trial = false;
	if (server->suspects.trying != member)
		return;
	server->suspects.trying = NULL;
	look_in(server,
		handoff__entry_suspected(&member->entry) ? AGAIN_US : 0);
}

/* Runs its turn, as the model does. */
static void
try(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	uint64_t id = member->entry.id;

	take_out(member);
	server->suspects.trying = member;
	/* the others do not wait forever for a handler that hangs */
	look_in(server, (int64_t)server->opts.suspect_wait_ms * 1000);
	member->on_trial = true;
	handoff__log(&server->log, HANDOFF_LOG_INFO,
		"connection %llu: suspected of a death, is tried alone",
		(unsigned long long)id);
	if (server->model->recalled_turn) {
		server->model->recalled_turn(member);
		return;
	}
	/* input that arrived meanwhile has no event of its own */
	server->model->event(member, EPOLLIN);
	/* if it has ended it is no longer being tried */
	if (server->suspects.trying != member || member->active)
		return;
	handoff__suspects_tried(member);
	handoff__suspects_add(member);
}

/* Ends a connection that cannot be tried. */
static void
give_up(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	handoff__log(&server->log, HANDOFF_LOG_ERROR,
		"connection %llu: closed: a process died in its handler, and "
		"within %u ms no standby covered what another such death "
		"would cost",
		(unsigned long long)member->entry.id,
		server->opts.suspect_wait_ms);
	handoff__member_end(member, HANDOFF__END_SUSPECT);
}

/* Ends those that have waited too long for a standby; the others wait on. */
static void
wait_for_standby(struct handoff_server *server)
{
	struct handoff__suspects *suspects = &server->suspects;
	int64_t now = handoff__now_us(), since;
	int64_t most = (int64_t)server->opts.suspect_wait_ms * 1000;
	struct handoff__member *member;

	if (suspects->exposed_us == 0)
		suspects->exposed_us = now;
	while ((member = TAILQ_FIRST(&suspects->list))) {
		since = member->suspected_us > suspects->exposed_us
				? member->suspected_us
				: suspects->exposed_us;
		if (now - since < most)
			break;
		give_up(member);
	}
	if (member)
		look_in(server, LOOK_US);
}

/* Ends those in whose handler two processes have died: a survivor does that,
 * unless it is a ferry, which only counts. */
static void
end_poisoned(struct handoff_server *server)
{
	struct handoff__member *member = TAILQ_FIRST(&server->suspects.list);
	struct handoff__member *next;

	for (; member; member = next) {
		next = TAILQ_NEXT(member, node);
		if (!handoff__entry_poisoned(&member->entry))
			continue;
		handoff__log(&server->log, HANDOFF_LOG_ERROR,
			"connection %llu: closed: two processes died in its "
			"handler, on the same input",
			(unsigned long long)member->entry.id);
		handoff__member_end(member, HANDOFF__END_POISON);
	}
}

static void
on_look(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__suspects *suspects = &server->suspects;

	suspects->trying = NULL;
	end_poisoned(server);
	if (TAILQ_EMPTY(&suspects->list)) {
		suspects->exposed_us = 0;
	} else if (!is_covered(server)) {
		wait_for_standby(server);
	} else if (handoff__pair_moving(&server->pair)) {
		look_in(server, LOOK_US);
	} else {
		suspects->exposed_us = 0;
		try(TAILQ_FIRST(&suspects->list));
	}
}

void
handoff__suspects_init(struct handoff_server *server)
{
	struct handoff__suspects *suspects = &server->suspects;

	TAILQ_INIT(&suspects->list);
	suspects->timer.fn = on_look;
	suspects->timer.arg = server;
}
