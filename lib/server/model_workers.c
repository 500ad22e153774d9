/* SPDX-License-Identifier: MIT */
/*
 * Model `loop` with several workers: threads, each with a pair of sets of its
 * own, over which connections are distributed. The server's thread accepts,
 * distributes and ends connections; a worker runs their turns and arms them.
 * This is the server's side of it; worker.c is the worker's.
 *
 * A connection belongs to its worker while `served` is set, and to the server
 * otherwise. The server holds all workers while owner words change: none then
 * begins a turn, and only a connection in a turn is not quiet.
 */
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

static void
take_from_worker(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;
	bool again = false;

	handoff__member_place(member);
	handoff__member_back(member);
	pthread_mutex_lock(&w->lock);
	if (member->worker == w && !member->suspect && !member->rests &&
		!handoff__entry_parked(&member->entry) &&
		member->result.outcome != HANDOFF__TURN_END) {
		member->served = member->entry.mine;
		again = member->served &&
			member->result.outcome < HANDOFF__TURN_LINGER;
	}
	pthread_mutex_unlock(&w->lock);
	handoff__deadlines_look(member);
	/* the worker may have dropped a kick when it was not serving it yet */
	if (again)
		handoff__member_kick(member);
}

static void
workers_kick(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;

	pthread_mutex_lock(&w->lock);
	/* the worker that gave it back will be asked about it later */
	if (!member->active)
		handoff__worker_kick(w, member);
	pthread_mutex_unlock(&w->lock);
	eventfd_write(w->wake, 1);
}

static bool
workers_busy(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;
	bool busy;

	pthread_mutex_lock(&w->lock);
	busy = w->running == member || member->active;
	pthread_mutex_unlock(&w->lock);
	return busy;
}

static bool
workers_quiesce(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;
	bool quiet;

	pthread_mutex_lock(&w->lock);
	quiet = w->running != member &&
		(!member->active || member->suspect || member->rests);
	member->recalled = w->running == member;
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
		/* its sets may have been exchanged */
		if (!hold)
			eventfd_write(w->wake, 1);
	}
}

/* That of its pair, or the one with the fewest members. */
static struct handoff__worker *
choose_worker(const struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	struct handoff__worker *w = &server->workers[0];
	struct handoff__member *other =
		server->joining ? server->joining : handoff__pairs_find(member);

	if (other && atomic_load(&other->worker))
		return atomic_load(&other->worker);
	for (uint32_t i = 1; i < server->nworkers; i++) {
		if (server->workers[i].members < w->members)
			w = &server->workers[i];
	}
	return w;
}

static void
workers_enter(struct handoff__member *member)
{
	struct handoff__worker *w = choose_worker(member);

	w->members++;
	pthread_mutex_lock(&w->lock);
	member->sets = (uint8_t)(w->number + 1);
	member->served = member->entry.mine;
	member->recalled = member->kicked = false;
	atomic_store(&member->worker, w);
	pthread_mutex_unlock(&w->lock);
}

static void
workers_moved(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;

	pthread_mutex_lock(&w->lock);
	member->served = member->entry.mine;
	pthread_mutex_unlock(&w->lock);
}

static int
workers_timed(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;
	int rc = 0;

	if (!w)
		return 0; /* it has ended */
	pthread_mutex_lock(&w->lock);
	if (member->served && w->running != member &&
		(member->entry.view.rec->touched & HANDOFF__TIMED))
		rc = handoff__deadlines_note(&w->deadlines, member);
	pthread_mutex_unlock(&w->lock);
	if (rc > 0)
		eventfd_write(w->wake, 1);
	return rc < 0 ? rc : 0;
}

static void
workers_withhold(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;

	pthread_mutex_lock(&w->lock);
	handoff__worker_unkick(w, member);
	member->served = false;
	pthread_mutex_unlock(&w->lock);
}

static void
workers_recalled_turn(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;

	pthread_mutex_lock(&w->lock);
	member->served = member->recalled = true;
	handoff__worker_kick(w, member);
	pthread_mutex_unlock(&w->lock);
	eventfd_write(w->wake, 1);
}

static void
workers_leave(struct handoff__member *member)
{
	struct handoff__worker *w = member->worker;

	pthread_mutex_lock(&w->lock);
	handoff__worker_unkick(w, member);
	handoff__deadlines_drop(&w->deadlines, member);
	member->served = false;
	atomic_store(&member->worker, NULL);
	pthread_mutex_unlock(&w->lock);
	w->members--;
}

static int
workers_start(struct handoff_server *server)
{
	int err = handoff__returns_open(
		&server->returns, &server->loop, take_from_worker);

	server->workers =
		calloc(server->opts.workers, sizeof(*server->workers));
	if (!server->workers)
		return -ENOMEM;
	for (uint32_t i = 0; err >= 0 && i < server->opts.workers; i++) {
		server->nworkers++;
		err = handoff__worker_open(&server->workers[i], server);
	}
	return err;
}

static uint32_t
workers_stop(struct handoff_server *server)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < server->nworkers; i++)
		left += !handoff__worker_end(&server->workers[i]);
	if (left > 0)
		return left;
	for (uint32_t i = 0; i < server->nworkers; i++)
		handoff__worker_close(&server->workers[i]);
	free(server->workers);
	server->workers = NULL;
	server->nworkers = 0;
	handoff__returns_close(&server->returns);
	return 0;
}

const struct handoff__model_ops handoff__model_workers = {
	.name = "loop",
	.start = workers_start,
	.stop = workers_stop,
	.enter = workers_enter,
	.leave = workers_leave,
	.moved = workers_moved,
	.withhold = workers_withhold,
	.timed = workers_timed,
	.recalled_turn = workers_recalled_turn,
	.kick = workers_kick,
	.hold = workers_hold,
	.busy = workers_busy,
	.quiesce = workers_quiesce,
};
