/* SPDX-License-Identifier: MIT */
/*
 * An iteration of the server's loop: waits on the set of this peer's entries,
 * runs turns for events, and acts on what was noted meanwhile. Everything but
 * the entries is behind one descriptor in that set.
 */
#include "server/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define READY_MAX 64

static void
entry_event(struct handoff__member *member, uint32_t events)
{
	if (member->entry.id == 0 || member->entry.fd < 0)
		return; /* closed earlier in this batch */
	/* The batch may contain events from before a give. With EPOLLONESHOT
	 * the kernel has disarmed the descriptor all the same. */
	if (!member->entry.mine || member->active) {
		if (member->server->model->flags & EPOLLONESHOT)
			member->armed = 0;
		return;
	}
	if (member->entry.kind == HANDOFF__LISTENER)
		handoff__listen_event(member);
	else
		member->server->model->event(member, events);
}

static void
run_kicked(struct handoff__member *member)
{
	const struct handoff__view *view = &member->entry.view;

	handoff__member_unkick(member);
	/* an event of the same batch may have given it to a thread */
	if (!member->entry.mine || member->active)
		return;
	handoff__outgoing_look(member);
	if (handoff__conn_pending(view, member->server->opts.service))
		member->server->model->event(member, 0);
	else
		handoff__member_wait_for(member, handoff__conn_want(view));
}

/* Runs a turn for each member that was kicked before this call. */
static void
run_server_kicks(struct handoff_server *server)
{
	struct handoff__member *member;

	for (unsigned n = server->nkicks; n > 0; n--) {
		member = TAILQ_FIRST(&server->kicks);
		if (member)
			run_kicked(member);
	}
}

/* Whether there is more work without an event. */
static bool
works(const struct handoff_server *server)
{
	return server->nkicks > 0 || server->posts_due || server->resumes.due ||
	       (server->publishing && !server->publishing_blocked);
}

/* Work noted by the loop's callbacks, and by workers. */
static void
after_loop(struct handoff_server *server)
{
	handoff__pair_proceed(&server->pair);
	handoff__outgoing_release(server);
	handoff__addresses_proceed(server);
	if (atomic_load(&server->sweep_wanted))
		handoff__server_sweep_later(server);
	if (atomic_load(&server->stall_wanted))
		handoff__server_stall(server);
	if (atomic_exchange(&server->scan_wanted, false))
		handoff__deadlines_missed(server);
}

/* Work after a batch of events. */
static void
after_batch(struct handoff_server *server)
{
	if (server->pair.noted)
		after_loop(server);
	if (server->resumes.due)
		handoff__resume_proceed(server);
	if (server->posts_due)
		handoff__posts_proceed(server);
	if (server->nkicks > 0)
		run_server_kicks(server);
	if (server->publishing)
		handoff__notices_step(server);
	if (server->stop_waits)
		handoff__stop_awaited(server);
	if (server->op.stopping) {
		handoff__stop_proceed(server);
		server->end_reported = server->op.ended;
	}
	if (server->listen_due) {
		server->listen_due = false;
		handoff__listen_update(server);
	}
	server->due =
		works(server) || server->op.stopping || server->stop_waits;
}

/* The first iteration after the end succeeds, so that its event is pulled. */
static int
after_end(struct handoff_server *server)
{
	if (!server->end_reported && server->op.ring.count > 0) {
		server->end_reported = true;
		return 0;
	}
	return handoff__fail(&server->error, -ESHUTDOWN,
		"server: already stopped: free the handle");
}

static int
run_iteration(struct handoff_server *server, int timeout_ms)
{
	struct epoll_event ready[READY_MAX];
	int n;

	if (server->due) {
		if (server->op.ended)
			return after_end(server);
		if (works(server))
			timeout_ms = 0;
	}
	n = epoll_wait(server->sets.ep[server->sets.mine], ready, READY_MAX,
		timeout_ms);
	if (n < 0 && errno != EINTR)
		return handoff__fail(&server->error, -errno, "epoll_wait: %s",
			strerror(errno));
	/* the link first: a handoff must not wait for a batch of turns */
	for (int i = 0; i < n; i++) {
		if (!ready[i].data.ptr) {
			handoff__loop_dispatch(&server->loop, 0);
			server->pair.noted = true;
		}
	}
	for (int i = 0; i < n; i++) {
		if (ready[i].data.ptr)
			entry_event(ready[i].data.ptr, ready[i].events);
	}
	if (server->due || server->pair.noted)
		after_batch(server);
	return 0;
}

int
handoff_server_wait(struct handoff_server *server, int timeout_ms)
{
	int err = handoff__server_check(server);

	return err < 0 ? err : run_iteration(server, timeout_ms);
}

int
handoff_server_dispatch(struct handoff_server *server)
{
	int err = handoff__server_check(server);

	if (err < 0)
		return err;
	do {
		err = run_iteration(server, 0);
		/* an outer loop is only woken by descriptors */
	} while (err >= 0 && !server->op.ended && works(server));
	return err < 0 ? err : 0;
}

/* Separate, so that a call without events, the common case, is cheap. */
static __attribute__((noinline)) int
pull(struct handoff_server *server, const struct handoff_server_event **event)
{
	const struct handoff__operator_event *queued =
		handoff__operator_pull(&server->op);
	const struct handoff__facts *facts = &queued->facts;

	server->event = (struct handoff_server_event){
		.type = (enum handoff_server_event_type)queued->type,
		.reason = facts->reason,
		.generation = queued->generation,
		.text = queued->text,
		.outcome = handoff__facts_outcome(facts),
		.closed = facts->closed,
		.moved = facts->moved,
		.passing = facts->passing,
		.died = facts->died,
		.over = facts->over,
	};
	if (server->op.ring.count == 0)
		handoff__timer_disarm(&server->loop, &server->op.wakeup);
	*event = &server->event;
	return 1;
}

int
handoff_server_next(struct handoff_server *server,
	const struct handoff_server_event **event)
{
	int err = handoff__server_check(server);

	if (err < 0 || !event)
		return err < 0 ? err : -EINVAL;
	return server->op.ring.count == 0 ? 0 : pull(server, event);
}
