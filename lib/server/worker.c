/* SPDX-License-Identifier: MIT */
/*
 * The worker's side: waits on its sets and runs turns; holds its lock except
 * during turns. Of the server it touches only atomics, and the queue by which
 * it gives connections back.
 */
#include "server/worker.h"

#include "base/high.h"
#include "record/desk.h"
#include "record/pass.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define READY_MAX    64
#define STACK_SIZE   (1u << 20)
#define JOIN_SECONDS 2

/* Waits until turns may begin. False if the worker must end. */
static bool
may_work(struct handoff__worker *w)
{
	while (w->held && !w->stopping)
		pthread_cond_wait(&w->go, &w->lock);
	return !w->stopping;
}

void
handoff__worker_unkick(
	struct handoff__worker *w, struct handoff__member *member)
{
	if (!member->kicked)
		return;
	member->kicked = false;
	TAILQ_REMOVE(&w->kicks, member, node);
}

void
handoff__worker_kick(struct handoff__worker *w, struct handoff__member *member)
{
	if (member->kicked)
		return;
	member->kicked = true;
	TAILQ_INSERT_TAIL(&w->kicks, member, node);
}

/* Gives the connection to the server: it has ended, or is wanted back. */
static void
give_back(struct handoff__worker *w, struct handoff__member *member)
{
	handoff__worker_unkick(w, member);
	member->recalled = member->served = false;
	member->active = true;
	/* It stays in the set, disarmed, until the server decides; an error
	 * would still be reported, but only once. */
	handoff__sets_arm(
		&w->sets, member->set, member->entry.fd, EPOLLONESHOT, member);
	member->armed = 0;
	handoff__returns_push(&member->server->returns, member, NULL);
}

/* Requests a sweep: there are buffers to trim, or a lingering client. */
static void
request_sweep(struct handoff__worker *w, struct handoff__member *member)
{
	struct handoff_server *server = w->server;

	/* input after close does not reset the linger timer */
	if (!member->lingers)
		member->tick = handoff__seconds();
	if (!atomic_load(&server->sweep_wanted) &&
		!atomic_exchange(&server->sweep_wanted, true))
		eventfd_write(server->returns.wake, 1);
}

/* The kernel is short of memory: the server retries. */
static void
stall(struct handoff__worker *w, struct handoff__member *member)
{
	struct handoff_server *server = w->server;

	member->stalled = true;
	atomic_store(&server->stall_wanted, true);
	eventfd_write(server->returns.wake, 1);
}

/* The turn has left something for later: buffers, a linger, a deadline. */
static void
note_work(struct handoff__worker *w, struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	bool lingers = result->outcome == HANDOFF__TURN_LINGER;
	uint8_t touched = member->entry.view.rec->touched;

	if ((touched & HANDOFF__PAGES) || lingers)
		request_sweep(w, member);
	member->lingers |= lingers;
	/* the server cares for what is given back to it */
	if ((touched & HANDOFF__TIMED) &&
		result->outcome != HANDOFF__TURN_END &&
		result->outcome != HANDOFF__TURN_RETRY &&
		handoff__deadlines_note(&w->deadlines, member) < 0) {
		atomic_store(&w->server->scan_wanted, true);
		eventfd_write(w->server->returns.wake, 1);
	}
}

/* The turn may have left something to do for the connection's pair, which has
 * the same worker, or for the server, which connects. True if the server must
 * have it back. */
static bool
conclude_pair(struct handoff__worker *w, struct handoff__member *member)
{
	const struct handoff__view *view = &member->entry.view;
	struct handoff__member *other = handoff__pairs_other(member);

	if (view->rec->touched & HANDOFF__TOUCHED_PAIR) {
		view->rec->touched &= (uint8_t)~HANDOFF__TOUCHED_PAIR;
		if (other && atomic_load(&other->worker) == w && other->served)
			handoff__worker_kick(w, other);
	}
	return handoff__pass_to_dial(view, (uint32_t)w->server->pair.place);
}

/* Whether the server keeps it: a session without a socket, or one that waits
 * for its session. */
static bool
rests(const struct handoff__member *member)
{
	return (handoff__record_commit(member->entry.view.rec)->flags &
		       (HANDOFF__SESSION | HANDOFF__RESUMING)) != 0;
}

static void
conclude_work(struct handoff__worker *w, struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	bool back = w->server->paired && conclude_pair(w, member);

	back |= result->outcome == HANDOFF__TURN_PARK && rests(member);

	if (member->entry.view.rec->touched ||
		result->outcome == HANDOFF__TURN_LINGER)
		note_work(w, member, result);
	if (member->recalled || back || result->outcome == HANDOFF__TURN_END) {
		member->result = *result;
		give_back(w, member);
	} else if (result->outcome == HANDOFF__TURN_AGAIN) {
		handoff__worker_kick(w, member);
	} else if (result->outcome == HANDOFF__TURN_PARK) {
		if (member->armed != EPOLLONESHOT &&
			handoff__member_rearm(member, EPOLLONESHOT) < 0)
			stall(w, member);
	} else if (result->outcome == HANDOFF__TURN_RETRY) {
		handoff__member_rearm(member, EPOLLONESHOT);
		stall(w, member);
	} else if (handoff__member_rearm(member, result->want) < 0) {
		stall(w, member);
	}
}

/* Called with the lock held; releases it during the turn. */
static void
turn(struct handoff__worker *w, struct handoff__member *member, uint32_t events)
{
	struct handoff__turn_result result;

	w->running = member;
	pthread_mutex_unlock(&w->lock);
	handoff__conn_turn_at(
		handoff__desk_number(w->server->pair.place, w->number),
		&member->entry.view, member->entry.fd, w->server->opts.service,
		events, &result);
	pthread_mutex_lock(&w->lock);
	w->running = NULL;
	conclude_work(w, member, &result);
}

/* With the lock held. The event may be older than a move, or for a connection
 * that is gone; its memory may even belong to another worker's connection
 * now. */
static void
on_member_event(struct handoff__worker *w, struct handoff__member *member,
	uint32_t events)
{
	if (may_work(w) && atomic_load(&member->worker) == w && member->served)
		turn(w, member, events);
}

/* With the lock held. Runs each that was kicked before this call. */
static void
run_worker_kicks(struct handoff__worker *w)
{
	struct handoff__member *member, *last;

	last = TAILQ_LAST(&w->kicks, handoff__members);
	while (may_work(w) && (member = TAILQ_FIRST(&w->kicks))) {
		bool done = member == last;

		handoff__worker_unkick(w, member);
		if (member->served)
			turn(w, member, member->on_trial ? EPOLLIN : 0);
		if (done)
			break;
	}
}

/* With the lock held. */
static void
kick_overdue(struct handoff__worker *w)
{
	struct handoff__member *member;

	while ((member = handoff__deadlines_due(&w->deadlines)))
		handoff__worker_kick(w, member);
}

static void *
worker_main(void *arg)
{
	struct handoff__worker *w = arg;
	struct epoll_event ready[READY_MAX];

	handoff__is_library_thread = true;
	pthread_mutex_lock(&w->lock);
	while (may_work(w)) {
		int epfd = w->sets.ep[w->sets.mine];
		int timeout_ms =
			TAILQ_EMPTY(&w->kicks)
				? handoff__deadlines_wait_ms(&w->deadlines)
				: 0;
		eventfd_t count;
		int n;

		pthread_mutex_unlock(&w->lock);
		n = epoll_wait(epfd, ready, READY_MAX, timeout_ms);
		pthread_mutex_lock(&w->lock);
		for (int i = 0; i < n; i++) {
			if (ready[i].data.ptr)
				on_member_event(
					w, ready[i].data.ptr, ready[i].events);
			else
				eventfd_read(w->wake, &count);
		}
		kick_overdue(w);
		run_worker_kicks(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int
launch_worker(struct handoff__worker *w)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	/* signals belong to the program */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	err = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->started = err == 0;
	return -err;
}

int
handoff__worker_open(struct handoff__worker *w, struct handoff_server *server)
{
	int err;

	w->server = server;
	w->number = server->nworkers - 1;
	w->sets.ep[0] = w->sets.ep[1] = w->sets.outer = -1;
	TAILQ_INIT(&w->kicks);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->go, NULL);
	w->wake = handoff__high_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (w->wake < 0)
		return -errno;
	err = handoff__sets_init(&w->sets, w->wake);
	return err < 0 ? err : launch_worker(w);
}

bool
handoff__worker_end(struct handoff__worker *w)
{
	struct timespec end;

	if (!w->started)
		return true;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->go);
	pthread_mutex_unlock(&w->lock);
	eventfd_write(w->wake, 1);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += JOIN_SECONDS;
	return pthread_timedjoin_np(w->thread, NULL, &end) == 0;
}

void
handoff__worker_close(struct handoff__worker *w)
{
	if (!w->server)
		return;
	handoff__deadlines_free(&w->deadlines);
	handoff__sets_fini(&w->sets);
	if (w->wake >= 0)
		close(w->wake);
	pthread_cond_destroy(&w->go);
	pthread_mutex_destroy(&w->lock);
}
