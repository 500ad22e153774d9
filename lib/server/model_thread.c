/* SPDX-License-Identifier: MIT */
/*
 * Model `thread`: a thread per connection, started at its first event, so
 * that idle connections cost none and change hands for nothing. A thread
 * touches its connection's socket and record; all else is the loop's. While
 * it runs its descriptor is disarmed in the sets (EPOLLONESHOT).
 *
 * Threads started since the last give share an epoch: one eventfd that they
 * poll beside their socket. When it is written they all come back; threads
 * started later have another one.
 */
#include "server/stay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (1u << 20)

struct handoff__epoch {
	int fd;
	bool over;
	uint32_t threads;
};

/* The epoch of threads that start now. */
static struct handoff__epoch *
epoch_now(struct handoff__threads *threads)
{
	struct handoff__epoch *epoch = threads->epoch;

	if (epoch)
		return epoch;
	epoch = calloc(1, sizeof(*epoch));
	if (!epoch)
		return NULL;
	epoch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (epoch->fd < 0) {
		free(epoch);
		return NULL;
	}
	threads->epoch = epoch;
	return epoch;
}

static void
epoch_free(struct handoff__epoch *epoch)
{
	close(epoch->fd);
	free(epoch);
}

static void
epoch_leave(struct handoff__epoch *epoch)
{
	if (--epoch->threads == 0 && epoch->over)
		epoch_free(epoch);
}

/* Calls all threads of an epoch back. */
static void
epoch_end(struct handoff__threads *threads, struct handoff__epoch *epoch)
{
	if (epoch->over)
		return;
	epoch->over = true;
	if (threads->epoch == epoch)
		threads->epoch = NULL;
	eventfd_write(epoch->fd, 1);
	if (epoch->threads == 0)
		epoch_free(epoch);
}

static void
hand_back(struct handoff__member *conn)
{
	struct handoff__threads *threads = &conn->server->threads;

	pthread_mutex_lock(&threads->lock);
	TAILQ_INSERT_TAIL(&threads->done, conn, node);
	/* Under the lock: once the loop has taken the last of them, it may
	 * close the descriptor. */
	eventfd_write(threads->wake, 1);
	pthread_mutex_unlock(&threads->lock);
}

/* The epoch is over for good: nobody reads its descriptor. */
static bool
wanted(int fd)
{
	(void)fd;
	return true;
}

static void *
thread_main(void *arg)
{
	struct handoff__member *conn = arg;
	struct handoff__recall recall = {
		.fd = conn->epoch->fd, .wanted = wanted};

	handoff__stay(conn, conn->result.want, &recall);
	hand_back(conn);
	return NULL;
}

/* Starts a detached thread; it gives the connection back when it is done. */
static int
launch(struct handoff__member *conn, uint32_t events)
{
	struct handoff__threads *threads = &conn->server->threads;
	struct handoff__epoch *epoch = epoch_now(threads);
	pthread_attr_t attr;
	pthread_t id;
	int err;

	if (!epoch)
		return -ENOMEM;
	conn->epoch = epoch;
	conn->active = true;
	conn->result.want = events;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	err = pthread_create(&id, &attr, thread_main, conn);
	pthread_attr_destroy(&attr);
	if (err != 0) {
		conn->active = false;
		return -err;
	}
	epoch->threads++;
	threads->active++;
	return 0;
}

static void
thread_event(struct handoff__member *conn, uint32_t events)
{
	int err;

	conn->armed = 0;
	/* A service that is about to close needs none: no handler runs. */
	if (handoff__member_closing(conn)) {
		handoff__model_loop.event(conn, events);
		return;
	}
	err = launch(conn, events);
	if (err < 0)
		handoff__member_stall(conn, "cannot start a thread", err);
}

static bool
thread_quiesce(struct handoff__member *conn)
{
	struct handoff__threads *threads = &conn->server->threads;

	epoch_end(threads, conn->epoch);
	/* Always one, so that a server has as many descriptors after any
	 * number of handoffs as before. */
	epoch_now(threads);
	return false;
}

static void
take_back(struct handoff__member *conn)
{
	conn->server->threads.active--;
	epoch_leave(conn->epoch);
	conn->epoch = NULL;
	handoff__member_back(conn);
}

static void
on_wake(struct handoff__watch *watch, uint32_t events)
{
	struct handoff_server *server = watch->arg;
	struct handoff__threads *threads = &server->threads;
	struct handoff__members list = TAILQ_HEAD_INITIALIZER(list);
	struct handoff__member *conn;
	eventfd_t count;

	(void)events;
	pthread_mutex_lock(&threads->lock);
	eventfd_read(threads->wake, &count);
	TAILQ_CONCAT(&list, &threads->done, node);
	pthread_mutex_unlock(&threads->lock);
	while ((conn = TAILQ_FIRST(&list))) {
		TAILQ_REMOVE(&list, conn, node);
		take_back(conn);
	}
}

static int
thread_start(struct handoff_server *server)
{
	struct handoff__threads *threads = &server->threads;

	pthread_mutex_init(&threads->lock, NULL);
	TAILQ_INIT(&threads->done);
	threads->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (threads->wake < 0)
		return -errno;
	if (!epoch_now(threads))
		return -ENOMEM;
	threads->watch.fn = on_wake;
	threads->watch.arg = server;
	return handoff__watch_add(
		&server->loop, &threads->watch, threads->wake, EPOLLIN);
}

static void
thread_stop(struct handoff_server *server)
{
	struct handoff__threads *threads = &server->threads;

	if (threads->epoch)
		epoch_end(threads, threads->epoch);
	handoff__watch_del(&server->loop, &threads->watch);
	close(threads->wake);
	pthread_mutex_destroy(&threads->lock);
}

const struct handoff__model handoff__model_thread = {
	.name = "thread",
	.flags = EPOLLONESHOT,
	.start = thread_start,
	.stop = thread_stop,
	.event = thread_event,
	.quiesce = thread_quiesce,
};
