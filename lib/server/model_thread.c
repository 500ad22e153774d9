/* SPDX-License-Identifier: MIT */
/*
 * Model `thread`: a thread per connection, started at its first event, so that
 * idle connections cost none and move at no cost. A thread touches only its
 * connection's socket and record. While it runs the descriptor is disarmed in
 * the sets (EPOLLONESHOT).
 *
 * Once there have been posts each thread that starts gets a bell, so that a
 * post wakes the receiver's alone; without one all are recalled.
 *
 * Threads started since the last give share an epoch: an eventfd that they poll
 * beside their socket. Writing it recalls them all; threads started later have
 * another one.
 */
#include "server/stay.h"

#include "base/high.h"

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

/* A thread that has a connection, or a pair. */
struct handoff__thread {
	struct handoff__member *members[2];
	unsigned count;
	struct handoff__epoch *epoch;
	int bell; /* eventfd, see stay.h; -1: none */
};

/* Makes sure that new threads have an epoch. */
static int
epoch_begin(struct handoff__threads *threads)
{
	struct handoff__epoch *epoch;
	int err;

	if (threads->epoch)
		return 0;
	epoch = calloc(1, sizeof(*epoch));
	if (!epoch)
		return -ENOMEM;
	epoch->fd = handoff__high_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (epoch->fd < 0) {
		err = -errno;
		free(epoch);
		return err;
	}
	threads->epoch = epoch;
	return 0;
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

/* Recalls all threads of an epoch. */
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

/* the epoch is over for good, so its eventfd is never reset */
static bool
wanted_by_server(const struct handoff__recall *recall)
{
	(void)recall;
	return true;
}

static void *
thread_main(void *arg)
{
	struct handoff__thread *thread = arg;
	struct handoff__member *member = thread->members[0];
	struct handoff__recall recall = {.fd = thread->epoch->fd,
		.wanted = wanted_by_server,
		.bell = thread->bell};

	handoff__is_library_thread = true;
	handoff__stay(member, thread->members[1], member->result.want, &recall);
	handoff__returns_push(
		&member->server->returns, member, thread->members[1]);
	return NULL;
}

static void
thread_enter(struct handoff__thread *thread, struct handoff__member *member)
{
	member->thread = thread;
	member->active = true;
	thread->members[thread->count++] = member;
	thread->epoch->threads++;
	member->server->threads.active++;
}

/* The last of its connections to leave it frees it. */
static void
thread_leave(struct handoff__member *member)
{
	struct handoff__thread *thread = member->thread;

	member->thread = NULL;
	member->active = false;
	member->server->threads.active--;
	epoch_leave(thread->epoch);
	if (--thread->count > 0)
		return;
	if (thread->bell >= 0)
		close(thread->bell);
	free(thread);
}

/* A thread that is not started yet, for the connection, and its pair, if it has
 * one. */
static int
prepare_thread(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	struct handoff__post_ring *ring = member->entry.view.seg->ring;
	struct handoff__member *other;
	struct handoff__thread *thread;
	int err = epoch_begin(&server->threads);

	if (err < 0 && handoff__spare_lend(server))
		err = epoch_begin(&server->threads);
	if (err < 0)
		return err;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return -ENOMEM;
	thread->epoch = server->threads.epoch;
	thread->bell = -1;
	if (ring && handoff__posts_head(ring) > 0)
		thread->bell = handoff__high_raise(
			eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	thread_enter(thread, member);
	other = handoff__member_take_pair(member);
	if (other)
		thread_enter(thread, other);
	return 0;
}

static int
create_thread(struct handoff__thread *thread)
{
	pthread_attr_t attr;
	pthread_t id;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	err = pthread_create(&id, &attr, thread_main, thread);
	pthread_attr_destroy(&attr);
	return -err;
}

/* Starts a detached thread; it gives the connection back when it is done. */
static int
launch_thread(struct handoff__member *member, uint32_t events)
{
	struct handoff__member *other;
	int err = prepare_thread(member);

	if (err < 0)
		return err;
	member->result.want = (uint16_t)events;
	other = member->thread->members[1];
	err = create_thread(member->thread);
	if (err == 0)
		return 0;
	thread_leave(member);
	if (other) {
		thread_leave(other);
		handoff__member_kick(other);
	}
	return err;
}

static void
thread_event(struct handoff__member *member, uint32_t events)
{
	int err;

	/* a parked one stays so: its event is not to come again */
	if (member->armed != EPOLLONESHOT)
		member->armed = 0;
	if (handoff__member_simple(member, events)) {
		handoff__model_loop.event(member, events);
		return;
	}
	/* the thread needs the list node to give the connection back */
	handoff__member_unkick(member);
	err = launch_thread(member, events);
	if (err < 0)
		handoff__member_stall(member, "cannot start a thread", err);
}

static bool
thread_quiesce(struct handoff__member *member)
{
	struct handoff__threads *threads = &member->server->threads;

	if (!member->thread)
		return true;
	epoch_end(threads, member->thread->epoch);
	/* Always keep one, so that a server has as many descriptors after any
	 * number of handoffs as before. If it cannot be created now the next
	 * thread creates it. */
	epoch_begin(threads);
	return false;
}

static void
thread_look(struct handoff__member *member)
{
	if (member->thread && member->thread->bell >= 0)
		eventfd_write(member->thread->bell, 1);
	else if (thread_quiesce(member))
		handoff__member_kick(member);
}

static void
take_thread_back(struct handoff__member *member)
{
	thread_leave(member);
	handoff__member_back(member);
}

static int
thread_start(struct handoff_server *server)
{
	int err = epoch_begin(&server->threads);

	return err < 0 ? err
		       : handoff__returns_open(&server->returns, &server->loop,
				 take_thread_back);
}

static uint32_t
thread_stop(struct handoff_server *server)
{
	struct handoff__threads *threads = &server->threads;

	if (threads->active > 0)
		return threads->active;
	if (threads->epoch)
		epoch_end(threads, threads->epoch);
	handoff__returns_close(&server->returns);
	return 0;
}

const struct handoff__model_ops handoff__model_thread = {
	.name = "thread",
	.flags = EPOLLONESHOT,
	.start = thread_start,
	.stop = thread_stop,
	.event = thread_event,
	.quiesce = thread_quiesce,
	.look = thread_look,
};
