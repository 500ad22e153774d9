/* SPDX-License-Identifier: MIT */
/*
 * An event loop of one epoll descriptor with a timerfd behind it: callbacks for
 * descriptors, and one-shot timers. Every pollable handle is built on it.
 * Watches and timers are embedded in their owners; nothing is allocated.
 */
#ifndef HANDOFF_BASE_LOOP_H
#define HANDOFF_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct epoll_event;
struct handoff__watch;
struct handoff__timer;

typedef void handoff__ready_fn(struct handoff__watch *watch, uint32_t events);
typedef void handoff__timer_fn(struct handoff__timer *timer);

struct handoff__watch {
	int fd; /* -1 when not watched */
	uint32_t events;
	handoff__ready_fn *fn;
	void *arg;
	bool stale; /* `events` is not in the kernel yet */
	TAILQ_ENTRY(handoff__watch) node; /* while stale */
};

TAILQ_HEAD(handoff__watches, handoff__watch);

struct handoff__timer {
	int64_t deadline_us;
	bool armed;
	handoff__timer_fn *fn;
	void *arg;
	TAILQ_ENTRY(handoff__timer) node;
};

TAILQ_HEAD(handoff__timers, handoff__timer);

struct handoff__loop {
	int epfd;
	int timerfd;
	int64_t timerfd_us;            /* the timerfd's setting; 0: disarmed */
	struct handoff__timers timers; /* by deadline */
	struct handoff__watch timer_watch;
	struct handoff__watches stale;
	struct handoff__timer retry; /* of the stale watches */
	/* the events of the running dispatch: removing a watch clears its entry
	 * here */
	struct epoll_event *ready;
	int batch_len;
};

/* CLOCK_MONOTONIC in microseconds; the same in all processes of a host. */
int64_t handoff__now_us(void);

/* CLOCK_BOOTTIME in milliseconds, rounded down; it goes on while the host
 * sleeps. */
uint64_t handoff__boot_ms(void);

/* The same in nanoseconds. */
uint64_t handoff__boot_ns(void);

int handoff__loop_init(struct handoff__loop *loop);
void handoff__loop_fini(struct handoff__loop *loop);

/* Runs the callbacks of all that is ready; waits up to timeout_ms. Returns the
 * number of descriptor callbacks that ran, or a negative errno. */
int handoff__loop_dispatch(struct handoff__loop *loop, int timeout_ms);

/* Waits until `fd` is readable: 1, 0 when the time is up, or a negative
 * errno, including -EINTR. A negative time waits forever. */
int handoff__await(int fd, int timeout_ms);

/* The watch's owner sets fn and arg; `fd` stays the caller's. Remove the watch
 * before closing the descriptor: epoll keeps reporting an open file that
 * another process still holds. */
int handoff__watch_add(struct handoff__loop *loop, struct handoff__watch *watch,
	int fd, uint32_t events);
/* If the kernel has no memory for the change it is retried until it
 * succeeds. */
void handoff__watch_set(struct handoff__loop *loop,
	struct handoff__watch *watch, uint32_t events);
void handoff__watch_del(
	struct handoff__loop *loop, struct handoff__watch *watch);

/* Arms or re-arms the timer for `delay_us` from now; it fires once, from
 * dispatch. */
void handoff__timer_arm(struct handoff__loop *loop,
	struct handoff__timer *timer, int64_t delay_us);
void handoff__timer_disarm(
	struct handoff__loop *loop, struct handoff__timer *timer);

#endif
