/* SPDX-License-Identifier: MIT */
/*
 * What the thread of the handle, the helper and the client library share, under
 * one lock that nobody holds while it waits. Knows nothing of connections.
 */
#include "nats/end.h"

#include "notice/notice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define STOP_MS 300

static void
destroy(struct handoff__nats_end *end)
{
	if (end->event >= 0)
		close(end->event);
	if (end->wake >= 0)
		close(end->wake);
	if (end->set >= 0)
		close(end->set);
	handoff__nats_address_free(&end->address);
	free(end);
}

static int
open_fds(struct handoff__nats_end *end)
{
	struct epoll_event event = {.events = EPOLLIN};

	end->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	end->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	end->set = epoll_create1(EPOLL_CLOEXEC);
	event.data.fd = end->wake;
	if (end->event < 0 || end->wake < 0 || end->set < 0 ||
		epoll_ctl(end->set, EPOLL_CTL_ADD, end->wake, &event) < 0)
		return -errno;
	return 0;
}

int
handoff__nats_end_new(struct handoff__nats_end **out,
	struct handoff__nats_address *address, bool publishes,
	struct handoff__error *error)
{
	struct handoff__nats_end *end = calloc(1, sizeof(*end));
	pthread_condattr_t attr;
	int err;

	if (!end)
		return handoff__fail(error, -ENOMEM, "nats: out of memory");
	end->event = end->wake = end->set = end->sock = -1;
	err = open_fds(end);
	if (err < 0) {
		destroy(end);
		return handoff__fail(error, err,
			"nats: cannot create its descriptors: %s",
			strerror(-err));
	}
	end->address = *address;
	memset(address, 0, sizeof(*address));
	end->publishes = publishes;
	end->pid = getpid();
	end->refs = 1;
	pthread_mutex_init(&end->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&end->released, &attr);
	pthread_condattr_destroy(&attr);
	*out = end;
	return 0;
}

void
handoff__nats_end_ref(struct handoff__nats_end *end)
{
	pthread_mutex_lock(&end->lock);
	end->refs++;
	pthread_mutex_unlock(&end->lock);
}

void
handoff__nats_end_unref(struct handoff__nats_end *end)
{
	unsigned left;

	pthread_mutex_lock(&end->lock);
	left = --end->refs;
	if (left == 1)
		pthread_cond_signal(&end->released);
	pthread_mutex_unlock(&end->lock);
	if (left > 0)
		return;
	pthread_cond_destroy(&end->released);
	pthread_mutex_destroy(&end->lock);
	destroy(end);
}

static void
stop(struct handoff__nats_end *end)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STOP_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&end->lock);
	end->stopping = true;
	eventfd_write(end->wake, 1);
	while (end->refs > 1 && err == 0)
		err = pthread_cond_timedwait(
			&end->released, &end->lock, &until);
	pthread_mutex_unlock(&end->lock);
	handoff__nats_end_unref(end);
}

/* In a child of the process that has opened it there is no helper, and its lock
 * may have been held at the fork. */
void
handoff__nats_end_stop(struct handoff__nats_end *end)
{
	if (end->pid == getpid())
		stop(end);
	else
		destroy(end);
}

static int
copy_out(const struct handoff__nats_message *message, void *data, size_t *len)
{
	size_t n = message->len < *len ? message->len : *len;

	memcpy(data, message->data, n);
	*len = n;
	return 1;
}

static void
copy_in(struct handoff__nats_message *message, const void *data, size_t len)
{
	message->len =
		len < sizeof(message->data) ? len : sizeof(message->data);
	memcpy(message->data, data, message->len);
}

int
handoff__nats_end_take(struct handoff__nats_end *end, void *data, size_t *len)
{
	eventfd_t count;
	int any = 0;

	pthread_mutex_lock(&end->lock);
	if (end->count > 0) {
		any = copy_out(&end->ring[end->first], data, len);
		end->first = (end->first + 1) % HANDOFF__NATS_RING;
		end->count--;
	}
	if (end->count == 0)
		eventfd_read(end->event, &count);
	pthread_mutex_unlock(&end->lock);
	return any;
}

void
handoff__nats_end_put(
	struct handoff__nats_end *end, const void *data, size_t len)
{
	bool first;

	pthread_mutex_lock(&end->lock);
	if (end->count == HANDOFF__NATS_RING) {
		end->first = (end->first + 1) % HANDOFF__NATS_RING;
		end->count--;
	}
	copy_in(&end->ring[(end->first + end->count) % HANDOFF__NATS_RING],
		data, len);
	first = end->count++ == 0;
	pthread_mutex_unlock(&end->lock);
	/* after the lock, which the reader takes as soon as it wakes up */
	if (first)
		eventfd_write(end->event, 1);
}

/* Anything that is no notice is older than one. */
static bool
is_newer(const struct handoff__nats_message *a,
	const struct handoff__nats_message *b)
{
	struct handoff_notice x, y;

	if (handoff__notice_decode(&x, a->data, a->len) < 0)
		return false;
	return handoff__notice_decode(&y, b->data, b->len) < 0 ||
	       handoff__notice_newer(&x, &y);
}

static bool
is_same(const struct handoff__nats_message *a,
	const struct handoff__nats_message *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

void
handoff__nats_end_publish(
	struct handoff__nats_end *end, const void *data, size_t len)
{
	pthread_mutex_lock(&end->lock);
	copy_in(&end->outgoing, data, len);
	end->published++;
	end->refused = false;
	pthread_mutex_unlock(&end->lock);
	eventfd_write(end->wake, 1);
}

bool
handoff__nats_end_told(
	struct handoff__nats_end *end, struct handoff_transport_told *told)
{
	bool settled;

	pthread_mutex_lock(&end->lock);
	settled = end->settled == end->published;
	if (settled && end->refused)
		told->refused++;
	else if (settled)
		told->reached++;
	pthread_mutex_unlock(&end->lock);
	return settled;
}

int
handoff__nats_end_retained(
	struct handoff__nats_end *end, void *data, size_t *len)
{
	int rc = -EAGAIN;

	pthread_mutex_lock(&end->lock);
	if (end->known == HANDOFF__NATS_NONE)
		rc = 0;
	else if (end->known == HANDOFF__NATS_SOME)
		rc = copy_out(&end->retained, data, len);
	pthread_mutex_unlock(&end->lock);
	return rc;
}

int
handoff__nats_end_keep(struct handoff__nats_end *end)
{
	bool gone;

	pthread_mutex_lock(&end->lock);
	gone = end->published > 0 && end->settled == end->published &&
	       end->connected &&
	       (end->known == HANDOFF__NATS_NONE ||
		       (end->known == HANDOFF__NATS_SOME &&
			       is_newer(&end->outgoing, &end->retained)));
	if (gone) {
		end->published++;
		end->refused = false;
	}
	pthread_mutex_unlock(&end->lock);
	if (gone)
		eventfd_write(end->wake, 1);
	return gone;
}

/* A subscriber that is well says nothing. */
const char *
handoff__nats_end_state(struct handoff__nats_end *end)
{
	const char *hosts = end->address.hosts;

	pthread_mutex_lock(&end->lock);
	if (end->denied[0])
		handoff__copy(end->text, sizeof(end->text), end->denied);
	else if (end->trouble[0])
		handoff__copy(end->text, sizeof(end->text), end->trouble);
	else if (!end->connected)
		snprintf(end->text, sizeof(end->text), "connecting to %.200s",
			hosts);
	else if (end->refused)
		handoff__copy(end->text, sizeof(end->text),
			"refused: what another owner has published is newer; "
			"if there is none, start this service again");
	else if (end->publishes)
		snprintf(end->text, sizeof(end->text), "connected to %.200s",
			hosts);
	else
		end->text[0] = '\0';
	pthread_mutex_unlock(&end->lock);
	return end->text;
}

bool
handoff__nats_end_stopping(struct handoff__nats_end *end)
{
	bool stopping;

	pthread_mutex_lock(&end->lock);
	stopping = end->stopping;
	pthread_mutex_unlock(&end->lock);
	return stopping;
}

/* With the lock. */
static void
settle(struct handoff__nats_end *end, bool refused)
{
	end->settled = end->published;
	end->refused = refused;
}

/* With the lock: what is retained may settle what is to be published. */
static void
compare(struct handoff__nats_end *end)
{
	if (end->known != HANDOFF__NATS_SOME || end->settled == end->published)
		return;
	if (is_same(&end->retained, &end->outgoing))
		settle(end, false);
	else if (is_newer(&end->retained, &end->outgoing))
		settle(end, true);
}

void
handoff__nats_end_know(
	struct handoff__nats_end *end, const void *data, size_t len)
{
	pthread_mutex_lock(&end->lock);
	end->known = data ? HANDOFF__NATS_SOME : HANDOFF__NATS_NONE;
	if (data)
		copy_in(&end->retained, data, len);
	compare(end);
	pthread_mutex_unlock(&end->lock);
	if (end->publishes)
		eventfd_write(end->event, 1);
}

uint64_t
handoff__nats_end_outgoing(
	struct handoff__nats_end *end, struct handoff__nats_message *message)
{
	uint64_t counter = 0;
	bool settled;

	pthread_mutex_lock(&end->lock);
	settled = end->settled == end->published;
	compare(end);
	if (end->settled < end->published) {
		counter = end->published;
		*message = end->outgoing;
	}
	settled = !settled && counter == 0;
	pthread_mutex_unlock(&end->lock);
	if (settled)
		eventfd_write(end->event, 1);
	return counter;
}

void
handoff__nats_end_done(struct handoff__nats_end *end, uint64_t counter)
{
	pthread_mutex_lock(&end->lock);
	if (counter == end->published) {
		end->known = HANDOFF__NATS_SOME;
		end->retained = end->outgoing;
		settle(end, false);
	}
	pthread_mutex_unlock(&end->lock);
	eventfd_write(end->event, 1);
}

void
handoff__nats_end_connected(struct handoff__nats_end *end, bool connected)
{
	pthread_mutex_lock(&end->lock);
	end->connected = connected;
	if (connected)
		end->denied[0] = end->trouble[0] = '\0';
	pthread_mutex_unlock(&end->lock);
}

void
handoff__nats_end_trouble(struct handoff__nats_end *end, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&end->lock);
	vsnprintf(end->trouble, sizeof(end->trouble), fmt, ap);
	pthread_mutex_unlock(&end->lock);
	va_end(ap);
}

void
handoff__nats_end_denied(struct handoff__nats_end *end, const char *what)
{
	pthread_mutex_lock(&end->lock);
	snprintf(end->denied, sizeof(end->denied),
		"not permitted at %.80s: %.120s: see handoff_nats(3)",
		end->address.hosts, what);
	pthread_mutex_unlock(&end->lock);
}
