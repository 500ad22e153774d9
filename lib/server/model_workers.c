/* SPDX-License-Identifier: MIT */
/*
 * Model `loop` with several workers: threads, each with a pair of sets of its
 * own that connections are spread over. The thread of the server accepts,
 * hands over, and ends connections; a worker gives them turns and arms them.
 *
 * A connection is its worker's while `served` is set, and the server's
 * otherwise. The server holds all workers while owner words move: none then
 * begins a turn, and only the connection that is in one is not quiet.
 */
#include "server/worker.h"

#include "base/high.h"
#include "record/desk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH        64
#define STACK_SIZE   (1u << 20)
#define JOIN_SECONDS 2

/* Waits until turns may begin. False if the worker is to end. */
static bool
may_work(struct handoff__worker *w)
{
	while (w->held && !w->stopping)
		pthread_cond_wait(&w->go, &w->lock);
	return !w->stopping;
}

static void
unkick(struct handoff__worker *w, struct handoff__member *conn)
{
	if (!conn->kicked)
		return;
	conn->kicked = false;
	TAILQ_REMOVE(&w->kicks, conn, node);
}

static void
kick(struct handoff__worker *w, struct handoff__member *conn)
{
	if (conn->kicked)
		return;
	conn->kicked = true;
	TAILQ_INSERT_TAIL(&w->kicks, conn, node);
}

/* The connection is the server's: it has ended, or is wanted back. */
static void
give_back(struct handoff__worker *w, struct handoff__member *conn)
{
	unkick(w, conn);
	conn->recalled = conn->served = false;
	conn->active = true;
	/* It stays in the set, silent, until the server says what becomes of
	 * it; an error would be reported all the same, but once. */
	handoff__sets_arm(
		&w->sets, conn->set, conn->entry.fd, EPOLLONESHOT, conn);
	conn->armed = 0;
	handoff__returns_push(&conn->server->returns, conn);
}

/* Buffers are to be given back, or a client that does not end is to be ended:
 * the server looks for such, from now on. */
static void
tell_sweeper(struct handoff__worker *w, struct handoff__member *conn)
{
	struct handoff_server *server = w->server;

	/* Who goes on talking after its service has closed does not live
	 * longer for it. */
	if (!conn->lingers)
		conn->tick = handoff__seconds();
	if (!atomic_load(&server->sweep_wanted) &&
		!atomic_exchange(&server->sweep_wanted, true))
		eventfd_write(server->returns.wake, 1);
}

/* The kernel is short of memory: the server has it tried again. */
static void
stall(struct handoff__worker *w, struct handoff__member *conn)
{
	struct handoff_server *server = w->server;

	conn->stalled = true;
	atomic_store(&server->stall_wanted, true);
	eventfd_write(server->returns.wake, 1);
}

static void
conclude(struct handoff__worker *w, struct handoff__member *conn,
	const struct handoff__turn_result *result)
{
	bool lingers = result->turn == HANDOFF__TURN_LINGER;

	if (conn->entry.view.rec->touched || lingers)
		tell_sweeper(w, conn);
	conn->lingers |= lingers;
	if (conn->recalled || result->turn == HANDOFF__TURN_END) {
		conn->result = *result;
		give_back(w, conn);
	} else if (result->turn == HANDOFF__TURN_AGAIN) {
		kick(w, conn);
	} else if (result->turn == HANDOFF__TURN_RETRY) {
		handoff__member_rearm(conn, EPOLLONESHOT);
		stall(w, conn);
	} else if (handoff__member_rearm(conn, result->want) < 0) {
		stall(w, conn);
	}
}

/* With the lock held, which is given up for the turn. */
static void
turn(struct handoff__worker *w, struct handoff__member *conn, uint32_t events)
{
	struct handoff__turn_result result;

	w->current = conn;
	pthread_mutex_unlock(&w->lock);
	handoff__conn_turn_at(
		handoff__desk_number(w->server->peer.slot, w->number),
		&conn->entry.view, conn->entry.fd, w->server->opts.service,
		events, &result);
	pthread_mutex_lock(&w->lock);
	w->current = NULL;
	conclude(w, conn, &result);
}

/* With the lock held. The event may be older than a change of hands, or mean a
 * connection that is gone; its cell may even be another worker's by now. */
static void
on_event(struct handoff__worker *w, struct handoff__member *conn,
	uint32_t events)
{
	if (may_work(w) && atomic_load(&conn->worker) == w && conn->served)
		turn(w, conn, events);
}

/* With the lock held. Each that was kicked before this call. */
static void
run_kicks(struct handoff__worker *w)
{
	struct handoff__member *conn, *last;

	last = TAILQ_LAST(&w->kicks, handoff__members);
	while (may_work(w) && (conn = TAILQ_FIRST(&w->kicks))) {
		bool done = conn == last;

		unkick(w, conn);
		if (conn->served)
			turn(w, conn, conn->on_trial ? EPOLLIN : 0);
		if (done)
			break;
	}
}

static void *
worker_main(void *arg)
{
	struct handoff__worker *w = arg;
	struct epoll_event batch[BATCH];

	handoff__is_servant = true;
	pthread_mutex_lock(&w->lock);
	while (may_work(w)) {
		int epfd = w->sets.ep[w->sets.mine];
		int timeout_ms = TAILQ_EMPTY(&w->kicks) ? -1 : 0;
		eventfd_t count;
		int n;

		pthread_mutex_unlock(&w->lock);
		n = epoll_wait(epfd, batch, BATCH, timeout_ms);
		pthread_mutex_lock(&w->lock);
		for (int i = 0; i < n; i++) {
			if (batch[i].data.ptr)
				on_event(w, batch[i].data.ptr, batch[i].events);
			else
				eventfd_read(w->wake, &count);
		}
		run_kicks(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* The server's side. */

static void
take_back(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;
	bool again = false;

	handoff__member_place(conn);
	handoff__member_back(conn);
	pthread_mutex_lock(&w->lock);
	if (conn->worker == w && !conn->suspect &&
		conn->result.turn != HANDOFF__TURN_END) {
		conn->served = conn->entry.mine;
		again = conn->served &&
			conn->result.turn < HANDOFF__TURN_LINGER;
	}
	pthread_mutex_unlock(&w->lock);
	/* The worker may have seen a kick when it was not to serve it yet. */
	if (again)
		handoff__member_kick(conn);
}

static void
workers_kick(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;

	pthread_mutex_lock(&w->lock);
	/* Who gave it back asks about it later. */
	if (!conn->active)
		kick(w, conn);
	pthread_mutex_unlock(&w->lock);
	eventfd_write(w->wake, 1);
}

static bool
workers_busy(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;
	bool busy;

	pthread_mutex_lock(&w->lock);
	busy = w->current == conn || conn->active;
	pthread_mutex_unlock(&w->lock);
	return busy;
}

static bool
workers_quiesce(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;
	bool quiet;

	pthread_mutex_lock(&w->lock);
	quiet = w->current != conn && (!conn->active || conn->suspect);
	conn->recalled = w->current == conn;
	pthread_mutex_unlock(&w->lock);
	return quiet;
}

static void
workers_hold(struct handoff_server *server, bool hold)
{
	for (uint32_t i = 0; i < server->nworkers; i++) {
		struct handoff__worker *w = &server->workers[i];

		pthread_mutex_lock(&w->lock);
		w->held = hold;
		pthread_cond_signal(&w->go);
		pthread_mutex_unlock(&w->lock);
		/* Its sets may have changed places. */
		if (!hold)
			eventfd_write(w->wake, 1);
	}
}

/* To the worker with the fewest. */
static void
workers_enter(struct handoff__member *conn)
{
	struct handoff_server *server = conn->server;
	struct handoff__worker *w = &server->workers[0];

	for (uint32_t i = 1; i < server->nworkers; i++) {
		if (server->workers[i].members < w->members)
			w = &server->workers[i];
	}
	w->members++;
	pthread_mutex_lock(&w->lock);
	conn->sets = (uint8_t)(w->number + 1);
	conn->served = conn->entry.mine;
	conn->recalled = conn->kicked = false;
	atomic_store(&conn->worker, w);
	pthread_mutex_unlock(&w->lock);
}

static void
workers_moved(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;

	pthread_mutex_lock(&w->lock);
	conn->served = conn->entry.mine;
	pthread_mutex_unlock(&w->lock);
}

static void
workers_withhold(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;

	pthread_mutex_lock(&w->lock);
	unkick(w, conn);
	conn->served = false;
	pthread_mutex_unlock(&w->lock);
}

static void
workers_recalled_turn(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;

	pthread_mutex_lock(&w->lock);
	conn->served = conn->recalled = true;
	kick(w, conn);
	pthread_mutex_unlock(&w->lock);
	eventfd_write(w->wake, 1);
}

static void
workers_leave(struct handoff__member *conn)
{
	struct handoff__worker *w = conn->worker;

	pthread_mutex_lock(&w->lock);
	unkick(w, conn);
	conn->served = false;
	atomic_store(&conn->worker, NULL);
	pthread_mutex_unlock(&w->lock);
	w->members--;
}

static int
launch(struct handoff__worker *w)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	/* Signals are the program's own affair. */
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

static int
worker_open(struct handoff__worker *w, struct handoff_server *server)
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
	return err < 0 ? err : launch(w);
}

/* False if it is in a handler that does not return. */
static bool
worker_end(struct handoff__worker *w)
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

static void
worker_close(struct handoff__worker *w)
{
	if (!w->server)
		return;
	handoff__sets_fini(&w->sets);
	if (w->wake >= 0)
		close(w->wake);
	pthread_cond_destroy(&w->go);
	pthread_mutex_destroy(&w->lock);
}

static int
workers_start(struct handoff_server *server)
{
	int err = handoff__returns_open(
		&server->returns, &server->loop, take_back);

	server->workers =
		calloc(server->opts.workers, sizeof(*server->workers));
	if (!server->workers)
		return -ENOMEM;
	for (uint32_t i = 0; err >= 0 && i < server->opts.workers; i++) {
		server->nworkers++;
		err = worker_open(&server->workers[i], server);
	}
	return err;
}

static uint32_t
workers_stop(struct handoff_server *server)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < server->nworkers; i++)
		left += !worker_end(&server->workers[i]);
	if (left > 0)
		return left;
	for (uint32_t i = 0; i < server->nworkers; i++)
		worker_close(&server->workers[i]);
	free(server->workers);
	server->workers = NULL;
	server->nworkers = 0;
	handoff__returns_close(&server->returns);
	return 0;
}

const struct handoff__model handoff__model_workers = {
	.name = "loop",
	.start = workers_start,
	.stop = workers_stop,
	.enter = workers_enter,
	.leave = workers_leave,
	.moved = workers_moved,
	.withhold = workers_withhold,
	.recalled_turn = workers_recalled_turn,
	.kick = workers_kick,
	.hold = workers_hold,
	.busy = workers_busy,
	.quiesce = workers_quiesce,
};
