/* SPDX-License-Identifier: MIT */
/*
 * The thread that waits for a System V queue. It ends when the queue is
 * removed, by its own process or by anybody else. Does not interpret messages.
 *
 * fork(2): the child has no such thread, and a copy of the mutex that may be
 * locked. So a child calls nothing here but close and fd.
 */
#include "notice/helper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

#define RING       4
#define STACK_SIZE ((size_t)64 * 1024)

struct message {
	size_t len;
	unsigned char data[HANDOFF__NOTICE_SIZE];
};

struct handoff__helper {
	pthread_mutex_t lock;
	pthread_t thread;
	int msqid;
	int event;
	bool ended;
	unsigned first, count;
	struct message ring[RING];
};

int
handoff__helper_open(struct handoff__helper **out)
{
	struct handoff__helper *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->event < 0) {
		free(h);
		return -errno;
	}
	pthread_mutex_init(&h->lock, NULL);
	h->ended = true;
	*out = h;
	return 0;
}

void
handoff__helper_put(struct handoff__helper *h, const void *data, size_t len)
{
	struct message *message;
	bool first;

	pthread_mutex_lock(&h->lock);
	if (h->count == RING) {
		h->first = (h->first + 1) % RING;
		h->count--;
	}
	message = &h->ring[(h->first + h->count) % RING];
	memcpy(message->data, data, len);
	message->len = len;
	first = h->count++ == 0;
	pthread_mutex_unlock(&h->lock);
	/* After the lock, which the reader takes as soon as it wakes up. If it
	 * has taken the message already, it wakes up for nothing. */
	if (first)
		eventfd_write(h->event, 1);
}

static void *
wait_for_queue(void *arg)
{
	struct handoff__helper *h = arg;
	struct handoff__typed m;
	ssize_t n;

	for (;;) {
		n = msgrcv(h->msqid, &m, sizeof(m.data), 0, MSG_NOERROR);
		if (n >= 0)
			handoff__helper_put(h, m.data, (size_t)n);
		else if (errno != EINTR)
			break;
	}
	pthread_mutex_lock(&h->lock);
	h->ended = true;
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int
handoff__helper_start(struct handoff__helper *h, int msqid)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int err;

	h->msqid = msqid;
	h->ended = false;
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* it inherits the mask, so that signals go to the program's threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&h->thread, &attr, wait_for_queue, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (err != 0)
		h->ended = true;
	return -err;
}

void
handoff__helper_join(struct handoff__helper *h)
{
	pthread_join(h->thread, NULL);
}

void
handoff__helper_close(struct handoff__helper *h, bool mine, bool removed)
{
	if (mine && removed) {
		pthread_join(h->thread, NULL);
		pthread_mutex_destroy(&h->lock);
	} else if (mine) {
		pthread_detach(h->thread);
		return;
	}
	close(h->event);
	free(h);
}

int
handoff__helper_fd(const struct handoff__helper *h)
{
	return h->event;
}

int
handoff__helper_take(struct handoff__helper *h, void *data, size_t *len)
{
	eventfd_t value;
	bool any;

	pthread_mutex_lock(&h->lock);
	any = h->count > 0;
	if (any) {
		const struct message *message = &h->ring[h->first];

		*len = message->len;
		memcpy(data, message->data, message->len);
		h->first = (h->first + 1) % RING;
		h->count--;
	}
	if (h->count == 0)
		eventfd_read(h->event, &value);
	pthread_mutex_unlock(&h->lock);
	return any;
}

bool
handoff__helper_ended(struct handoff__helper *h)
{
	bool ended;

	pthread_mutex_lock(&h->lock);
	ended = h->ended;
	pthread_mutex_unlock(&h->lock);
	return ended;
}
