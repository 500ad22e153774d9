/* SPDX-License-Identifier: MIT */
/*
 * The subscriber: any number of transports behind one descriptor. Delivers only
 * notices that are newer than all before and have not expired: so each once,
 * and in order, however many transports bring it.
 */
#include "base/loop.h"
#include "notice/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* bounds one call when a publisher is fast or sends garbage */
#define MESSAGES_PER_CALL 16

/* interval between checks of the registration */
#define LOOK_US 1000000

/* interval at which transports without a descriptor are asked */
#define ASK_MS 100

/* One address that is subscribed to. */
struct inlet {
	const struct handoff_transport *transport;
	void *end;
	int fd;
	int broken;   /* a negative errno: asked again at the next check */
	bool waiting; /* `head` holds its next notice */
	struct handoff_notice head;
};

struct handoff_subscriber {
	size_t ninlets;
	/* If there are several, or one without a descriptor: a set of theirs,
	 * an eventfd that is readable while a head waits, a timerfd. */
	int epfd, more, timer;
	int64_t looked_us;
	uint64_t skipped; /* the greatest generation of what was not due */
	bool any;         /* `last` holds the newest notice so far */
	bool stating;     /* `error` is the state of a transport */
	struct handoff_notice last;
	struct handoff__error error;
	struct inlet inlets[];
};

static int
open_inlet(struct handoff_subscriber *sub, const char *address)
{
	static const struct handoff_transport_side side = {
		.size = sizeof(side), .publishes = false};
	struct inlet *inlet = &sub->inlets[sub->ninlets];
	const char *rest;
	int err;

	inlet->transport = handoff__transport_find(
		"subscriber", address, &rest, &sub->error);
	if (!inlet->transport)
		return -EINVAL;
	err = inlet->transport->open(&inlet->end, rest, &side, sub->error.text,
		sizeof(sub->error.text));
	if (err < 0)
		return err;
	sub->ninlets++;
	inlet->fd = inlet->transport->fd(inlet->end);
	return 0;
}

static int
watch(struct handoff_subscriber *sub, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return fd >= 0 && epoll_ctl(sub->epfd, EPOLL_CTL_ADD, fd, &event) == 0
		       ? 0
		       : -errno;
}

static int
open_timer(struct handoff_subscriber *sub)
{
	struct itimerspec every = {
		.it_value.tv_nsec = ASK_MS * 1000000L,
		.it_interval.tv_nsec = ASK_MS * 1000000L,
	};

	sub->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sub->timer < 0 || timerfd_settime(sub->timer, 0, &every, NULL) < 0)
		return -errno;
	return watch(sub, sub->timer);
}

static int
open_set(struct handoff_subscriber *sub)
{
	int err = 0;

	if (sub->ninlets == 1 && sub->inlets[0].fd >= 0)
		return 0;
	sub->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (sub->epfd < 0)
		return -errno;
	sub->more = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = sub->more < 0 ? -errno : watch(sub, sub->more);
	for (size_t i = 0; i < sub->ninlets && err == 0; i++) {
		if (sub->inlets[i].fd >= 0)
			err = watch(sub, sub->inlets[i].fd);
		else if (sub->timer < 0)
			err = open_timer(sub);
	}
	return err;
}

static int
open_all(
	struct handoff_subscriber *sub, const struct handoff_subscriber_opts *o)
{
	int err = 0;

	if (o->address || o->naddresses == 0)
		err = open_inlet(sub, o->address);
	for (size_t i = 0; i < o->naddresses && err == 0; i++)
		err = open_inlet(sub, o->addresses[i]);
	if (err < 0)
		return err;
	err = open_set(sub);
	if (err < 0)
		handoff__fail(&sub->error, err,
			"subscriber: cannot create its descriptor: %s",
			strerror(-err));
	sub->looked_us = handoff__now_us();
	return err;
}

int
handoff_subscriber_open(struct handoff_subscriber **out,
	const struct handoff_subscriber_opts *opts)
{
	struct handoff_subscriber_opts o;
	struct handoff_subscriber *sub;
	int err = handoff__opts_copy(&o, sizeof(o), opts,
		offsetof(struct handoff_subscriber_opts, errbuf));

	if (err < 0 || !out)
		return err < 0 ? err : -EINVAL;
	if (o.naddresses > HANDOFF__NOTICES_MAX ||
		(o.naddresses > 0 && !o.addresses))
		return -EINVAL;
	sub = calloc(
		1, sizeof(*sub) + (o.naddresses + 1) * sizeof(sub->inlets[0]));
	if (!sub)
		return handoff__no_memory(
			"subscriber", o.errbuf, o.errbuf_size);
	sub->epfd = sub->more = sub->timer = -1;
	err = open_all(sub, &o);
	if (err < 0) {
		handoff__error_copy(&sub->error, o.errbuf, o.errbuf_size);
		handoff_subscriber_free(sub);
		return err;
	}
	*out = sub;
	return 0;
}

void
handoff_subscriber_free(struct handoff_subscriber *sub)
{
	if (!sub)
		return;
	for (size_t i = 0; i < sub->ninlets; i++)
		sub->inlets[i].transport->close(sub->inlets[i].end);
	if (sub->epfd >= 0)
		close(sub->epfd);
	if (sub->more >= 0)
		close(sub->more);
	if (sub->timer >= 0)
		close(sub->timer);
	free(sub);
}

int
handoff_subscriber_fd(struct handoff_subscriber *sub)
{
	if (!sub)
		return -EINVAL;
	return sub->epfd >= 0 ? sub->epfd : sub->inlets[0].fd;
}

/* The first that has something to say; for a subscriber that is trouble. */
static void
note_state(struct handoff_subscriber *sub)
{
	const char *text = "";

	for (size_t i = 0; i < sub->ninlets && !text[0]; i++) {
		const struct inlet *inlet = &sub->inlets[i];

		if (inlet->transport->state)
			text = inlet->transport->state(inlet->end);
	}
	if (text[0] || sub->stating)
		handoff__fail(&sub->error, 0, "%s", text);
	sub->stating = text[0] != '\0';
}

/* Lets the transports do what is due: to stay registered, to connect again. */
static void
look(struct handoff_subscriber *sub)
{
	int64_t now = handoff__now_us();

	if (now - sub->looked_us < LOOK_US)
		return;
	sub->looked_us = now;
	for (size_t i = 0; i < sub->ninlets; i++) {
		struct inlet *inlet = &sub->inlets[i];

		if (inlet->transport->tend)
			inlet->transport->tend(inlet->end);
		if (inlet->broken && sub->epfd >= 0 && inlet->fd >= 0)
			watch(sub, inlet->fd);
		inlet->broken = 0;
	}
	note_state(sub);
}

int
handoff_subscriber_wait(struct handoff_subscriber *sub, int timeout_ms)
{
	int64_t left_us,
		until_us = handoff__now_us() + timeout_ms * INT64_C(1000);
	int rc;

	if (!sub)
		return -EINVAL;
	do {
		look(sub);
		left_us =
			timeout_ms < 0 ? LOOK_US : until_us - handoff__now_us();
		if (left_us > LOOK_US)
			left_us = LOOK_US;
		if (left_us < 0)
			left_us = 0;
		rc = handoff__await(handoff_subscriber_fd(sub),
			(int)((left_us + 999) / 1000));
	} while (rc == 0 && (timeout_ms < 0 || handoff__now_us() < until_us));
	if (rc < 0 && rc != -EINTR)
		return handoff__fail(
			&sub->error, rc, "subscriber: poll: %s", strerror(-rc));
	return 0;
}

static bool
is_due(const struct handoff_subscriber *sub,
	const struct handoff_notice *notice)
{
	return (!sub->any || handoff__notice_newer(notice, &sub->last)) &&
	       !handoff__notice_expired(notice, handoff__realtime_ms());
}

/* Takes messages until one is a notice to be delivered. */
static int
fill_head(struct handoff_subscriber *sub, struct inlet *inlet)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];

	for (int i = 0; i < MESSAGES_PER_CALL; i++) {
		size_t len = sizeof(data);
		int rc = inlet->transport->receive(inlet->end, data, &len);

		if (rc <= 0)
			return rc;
		if (handoff__notice_decode(&inlet->head, data, len) < 0)
			continue;
		if (is_due(sub, &inlet->head)) {
			inlet->waiting = true;
			return 0;
		}
		if (inlet->head.generation > sub->skipped)
			sub->skipped = inlet->head.generation;
	}
	return 0;
}

/* It would keep the set readable: it is left out until the next check. */
static void
leave_out(struct handoff_subscriber *sub, struct inlet *inlet, int err)
{
	inlet->broken = err;
	if (sub->epfd >= 0 && inlet->fd >= 0)
		epoll_ctl(sub->epfd, EPOLL_CTL_DEL, inlet->fd, NULL);
	handoff__fail(&sub->error, err,
		"subscriber: cannot receive notices by %.*s: %s",
		(int)strcspn(inlet->transport->prefix, ":"),
		inlet->transport->prefix, strerror(-err));
}

/* Fills the heads. An error only if no transport is left. */
static int
receive(struct handoff_subscriber *sub)
{
	size_t broken = 0;
	int err = 0;

	for (size_t i = 0; i < sub->ninlets; i++) {
		struct inlet *inlet = &sub->inlets[i];
		int rc = inlet->broken;

		inlet->waiting = inlet->waiting && is_due(sub, &inlet->head);
		if (!inlet->waiting && rc == 0)
			rc = fill_head(sub, inlet);
		if (rc < 0 && inlet->broken == 0)
			leave_out(sub, inlet, rc);
		if (rc < 0)
			err = rc;
		broken += inlet->broken < 0;
	}
	return broken == sub->ninlets ? err : 0;
}

/* The oldest of the heads, so that no notice is passed over. */
static struct inlet *
oldest(struct handoff_subscriber *sub)
{
	struct inlet *found = NULL;

	for (size_t i = 0; i < sub->ninlets; i++) {
		struct inlet *inlet = &sub->inlets[i];

		if (inlet->waiting &&
			(!found || handoff__notice_newer(
					   &found->head, &inlet->head)))
			found = inlet;
	}
	return found;
}

/* A caller may pull one notice each time the descriptor is readable. */
static void
signal_heads(struct handoff_subscriber *sub)
{
	eventfd_t count;
	bool waiting = false;

	if (sub->epfd < 0)
		return;
	for (size_t i = 0; i < sub->ninlets; i++)
		waiting = waiting || sub->inlets[i].waiting;
	if (waiting)
		eventfd_write(sub->more, 1);
	else
		eventfd_read(sub->more, &count);
}

static void
read_timer(const struct handoff_subscriber *sub)
{
	uint64_t count;

	if (sub->timer >= 0)
		(void)!read(sub->timer, &count, sizeof(count));
}

int
handoff_subscriber_next(
	struct handoff_subscriber *sub, const struct handoff_notice **notice)
{
	struct inlet *inlet;
	int err;

	if (!sub || !notice)
		return -EINVAL;
	look(sub);
	read_timer(sub);
	err = receive(sub);
	if (err < 0)
		return err;
	inlet = oldest(sub);
	if (inlet) {
		inlet->waiting = false;
		sub->any = true;
		sub->last = inlet->head;
		*notice = &sub->last;
	}
	signal_heads(sub);
	return inlet != NULL;
}

uint64_t
handoff__subscriber_skipped(const struct handoff_subscriber *sub)
{
	return sub->skipped;
}

const char *
handoff_subscriber_errmsg(const struct handoff_subscriber *sub)
{
	return sub ? sub->error.text : "";
}
