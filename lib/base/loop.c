/* SPDX-License-Identifier: MIT */
/*
 * The event loop. Callbacks may add, change and remove any watch or timer,
 * including their own.
 */
#include "base/loop.h"

#include "base/high.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define READY_MAX 32
#define RETRY_US  100000

int64_t
handoff__now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t
handoff__boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t
handoff__boot_ms(void)
{
	return handoff__boot_ns() / 1000000;
}

int
handoff__await(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = poll(&p, 1, timeout_ms);

	return n < 0 ? -errno : n;
}

/* Sets the timerfd to the earliest deadline, if that has changed. */
static void
timerfd_update(struct handoff__loop *loop)
{
	struct handoff__timer *first = TAILQ_FIRST(&loop->timers);
	int64_t us = first ? first->deadline_us : 0;
	struct itimerspec its = {
		.it_value = {.tv_sec = us / 1000000,
			.tv_nsec = us % 1000000 * 1000},
	};

	if (us == loop->timerfd_us)
		return;
	if (timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME, &its, NULL) == 0)
		loop->timerfd_us = us;
}

static void
on_timerfd(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__loop *loop = watch->arg;
	int64_t now = handoff__now_us();
	struct handoff__timer *timer;
	uint64_t count;

	(void)events;
	(void)!read(loop->timerfd, &count, sizeof(count));
	loop->timerfd_us = 0;
	/* `now` is read once: a callback that arms a timer for now must not
	 * keep this loop running. */
	while ((timer = TAILQ_FIRST(&loop->timers)) &&
		timer->deadline_us <= now) {
		handoff__timer_disarm(loop, timer);
		timer->fn(timer);
	}
	timerfd_update(loop);
}

static bool
epoll_modify(struct handoff__loop *loop, struct handoff__watch *watch)
{
	struct epoll_event ev = {.events = watch->events, .data.ptr = watch};

	return epoll_ctl(loop->epfd, EPOLL_CTL_MOD, watch->fd, &ev) == 0;
}

static void
set_stale(struct handoff__loop *loop, struct handoff__watch *watch, bool stale)
{
	if (watch->stale == stale)
		return;
	watch->stale = stale;
	if (stale)
		TAILQ_INSERT_TAIL(&loop->stale, watch, node);
	else
		TAILQ_REMOVE(&loop->stale, watch, node);
}

static void
on_watch_retry(struct handoff__timer *timer)
{
	struct handoff__loop *loop = timer->arg;
	struct handoff__watch *watch, *next;

	for (watch = TAILQ_FIRST(&loop->stale); watch; watch = next) {
		next = TAILQ_NEXT(watch, node);
		if (epoll_modify(loop, watch))
			set_stale(loop, watch, false);
	}
	if (!TAILQ_EMPTY(&loop->stale))
		handoff__timer_arm(loop, timer, RETRY_US);
}

int
handoff__loop_init(struct handoff__loop *loop)
{
	int err;

	memset(loop, 0, sizeof(*loop));
	TAILQ_INIT(&loop->timers);
	TAILQ_INIT(&loop->stale);
	loop->retry =
		(struct handoff__timer){.fn = on_watch_retry, .arg = loop};
	loop->timerfd = -1;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		return -errno;
	loop->timerfd = handoff__high_raise(
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (loop->timerfd < 0) {
		err = -errno;
		handoff__loop_fini(loop);
		return err;
	}
	loop->timer_watch.fn = on_timerfd;
	loop->timer_watch.arg = loop;
	err = handoff__watch_add(
		loop, &loop->timer_watch, loop->timerfd, EPOLLIN);
	if (err < 0)
		handoff__loop_fini(loop);
	return err;
}

void
handoff__loop_fini(struct handoff__loop *loop)
{
	if (loop->timerfd >= 0)
		close(loop->timerfd);
	if (loop->epfd >= 0)
		close(loop->epfd);
	loop->timerfd = loop->epfd = -1;
}

int
handoff__loop_dispatch(struct handoff__loop *loop, int timeout_ms)
{
	struct epoll_event ready[READY_MAX];
	int n = epoll_wait(loop->epfd, ready, READY_MAX, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	assert(!loop->ready);
	loop->ready = ready;
	loop->batch_len = n;
	for (int i = 0; i < n; i++) {
		struct handoff__watch *watch = ready[i].data.ptr;

		if (watch)
			watch->fn(watch, ready[i].events);
	}
	loop->ready = NULL;
	loop->batch_len = 0;
	return n;
}

int
handoff__watch_add(struct handoff__loop *loop, struct handoff__watch *watch,
	int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};

	assert(watch->fn);
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		watch->fd = -1;
		return -errno;
	}
	watch->fd = fd;
	watch->events = events;
	watch->stale = false;
	return 0;
}

void
handoff__watch_set(struct handoff__loop *loop, struct handoff__watch *watch,
	uint32_t events)
{
	if (watch->events == events)
		return;
	watch->events = events;
	if (epoll_modify(loop, watch)) {
		set_stale(loop, watch, false);
	} else {
		set_stale(loop, watch, true);
		if (!loop->retry.armed)
			handoff__timer_arm(loop, &loop->retry, RETRY_US);
	}
}

void
handoff__watch_del(struct handoff__loop *loop, struct handoff__watch *watch)
{
	if (watch->fd < 0)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, watch->fd, NULL);
	set_stale(loop, watch, false);
	watch->fd = -1;
	for (int i = 0; i < loop->batch_len; i++) {
		if (loop->ready[i].data.ptr == watch)
			loop->ready[i].data.ptr = NULL;
	}
}

void
handoff__timer_arm(struct handoff__loop *loop, struct handoff__timer *timer,
	int64_t delay_us)
{
	struct handoff__timer *t;

	assert(timer->fn);
	if (timer->armed)
		TAILQ_REMOVE(&loop->timers, timer, node);
	timer->armed = true;
	timer->deadline_us = handoff__now_us() + (delay_us > 0 ? delay_us : 1);
	TAILQ_FOREACH (t, &loop->timers, node) {
		if (t->deadline_us > timer->deadline_us)
			break;
	}
	if (t)
		TAILQ_INSERT_BEFORE(t, timer, node);
	else
		TAILQ_INSERT_TAIL(&loop->timers, timer, node);
	timerfd_update(loop);
}

void
handoff__timer_disarm(struct handoff__loop *loop, struct handoff__timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = false;
	TAILQ_REMOVE(&loop->timers, timer, node);
	timerfd_update(loop);
}
