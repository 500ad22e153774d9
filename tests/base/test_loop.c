/* SPDX-License-Identifier: MIT */
/*
 * The loop: callbacks run for what is ready and never for what was removed,
 * timers run once, in order and not too early.
 */
#include "support/support.h"

#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MANY 100 /* more than one batch of the loop */

struct alarm_clock;

struct source {
	struct handoff__loop *loop;
	struct handoff__watch watch;
	int fd;
	int calls;
	uint32_t events;
	struct source *other;
	struct alarm_clock *clock;
};

struct alarm_clock {
	struct handoff__loop *loop;
	struct handoff__timer timer;
	int calls;
	int due; /* calls after which the last arming has come true */
	int order;
	int64_t at_us;
	struct alarm_clock *other;
};

static int order;

static void
count_call(struct handoff__watch *watch, uint32_t events)
{
	struct source *source = watch->arg;

	source->calls++;
	source->events = events;
}

static void
source_open(struct source *source, struct handoff__loop *loop,
	handoff__ready_fn *fn, unsigned ready)
{
	memset(source, 0, sizeof(*source));
	source->loop = loop;
	source->fd = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(source->fd >= 0);
	source->watch.fn = fn;
	source->watch.arg = source;
	assert_int_equal(
		handoff__watch_add(loop, &source->watch, source->fd, EPOLLIN),
		0);
}

static void
source_close(struct source *source)
{
	handoff__watch_del(source->loop, &source->watch);
	close(source->fd);
}

static void
make_ready(struct source *source)
{
	assert_int_equal(eventfd_write(source->fd, 1), 0);
}

static void
clock_init(struct alarm_clock *clock, struct handoff__loop *loop,
	handoff__timer_fn *fn)
{
	memset(clock, 0, sizeof(*clock));
	clock->loop = loop;
	clock->timer.fn = fn;
	clock->timer.arg = clock;
}

static void
note_time(struct handoff__timer *timer)
{
	struct alarm_clock *clock = timer->arg;

	clock->calls++;
	clock->order = ++order;
	clock->at_us = handoff__now_us();
}

/* Dispatches until the counter reaches `want`, for up to five seconds. */
static void
run_until(struct handoff__loop *loop, const int *counter, int want)
{
	int64_t deadline = handoff__now_us() + 5000000;

	while (*counter < want && handoff__now_us() < deadline)
		assert_true(handoff__loop_dispatch(loop, 100) >= 0);
	assert_int_equal(*counter, want);
}

static void
ready_descriptor_is_called(void **state)
{
	struct handoff__loop loop;
	struct source source;
	uint64_t value;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&source, &loop, count_call, 0);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	assert_int_equal(source.calls, 0);
	make_ready(&source);
	assert_int_equal(support_poll(loop.epfd, POLLIN), POLLIN);
	assert_int_equal(handoff__loop_dispatch(&loop, -1), 1);
	assert_int_equal(source.calls, 1);
	assert_int_equal(source.events, EPOLLIN);
	/* Level triggered: it is called again until it is read. */
	assert_int_equal(handoff__loop_dispatch(&loop, -1), 1);
	assert_int_equal(source.calls, 2);
	assert_int_equal(read(source.fd, &value, sizeof(value)), 8);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	assert_int_equal(source.calls, 2);
	source_close(&source);
	handoff__loop_fini(&loop);
}

static void
watch_can_be_changed(void **state)
{
	struct handoff__loop loop;
	struct source source;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&source, &loop, count_call, 1);
	handoff__watch_set(&loop, &source.watch, 0);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	handoff__watch_set(&loop, &source.watch, EPOLLOUT);
	handoff__watch_set(&loop, &source.watch, EPOLLOUT);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 1);
	assert_int_equal(source.events, EPOLLOUT);
	source_close(&source);
	handoff__loop_fini(&loop);
}

static void
removed_watch_is_silent(void **state)
{
	struct handoff__loop loop;
	struct source source;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&source, &loop, count_call, 1);
	handoff__watch_del(&loop, &source.watch);
	assert_int_equal(source.watch.fd, -1);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	assert_int_equal(source.calls, 0);
	handoff__watch_del(&loop, &source.watch);
	assert_int_equal(
		handoff__watch_add(&loop, &source.watch, source.fd, EPOLLIN),
		0);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 1);
	assert_int_equal(source.calls, 1);
	source_close(&source);
	handoff__loop_fini(&loop);
}

static void
remove_other(struct handoff__watch *watch, uint32_t events)
{
	struct source *source = watch->arg;

	count_call(watch, events);
	handoff__watch_del(source->loop, &source->other->watch);
}

/* Both are in the same batch; whichever runs first removes the other. */
static void
removed_in_the_batch_is_not_called(void **state)
{
	struct handoff__loop loop;
	struct source a, b;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&a, &loop, remove_other, 1);
	source_open(&b, &loop, remove_other, 1);
	a.other = &b;
	b.other = &a;
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 2);
	assert_int_equal(a.calls + b.calls, 1);
	source_close(&a);
	source_close(&b);
	handoff__loop_fini(&loop);
}

static void
renew_other(struct handoff__watch *watch, uint32_t events)
{
	struct source *source = watch->arg;
	struct source *other = source->other;

	count_call(watch, events);
	handoff__watch_del(source->loop, &other->watch);
	assert_int_equal(handoff__watch_add(source->loop, &other->watch,
				 other->fd, EPOLLOUT),
		0);
}

/* A watch that is used again for something else must not get an event that
 * was meant for what it was before. */
static void
renewed_in_the_batch_gets_no_old_event(void **state)
{
	struct handoff__loop loop;
	struct source a, b;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&a, &loop, renew_other, 1);
	source_open(&b, &loop, renew_other, 1);
	a.other = &b;
	b.other = &a;
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 2);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(a.events | b.events, EPOLLIN);
	source_close(&a);
	source_close(&b);
	handoff__loop_fini(&loop);
}

static void
remove_self(struct handoff__watch *watch, uint32_t events)
{
	struct source *source = watch->arg;

	count_call(watch, events);
	handoff__watch_del(source->loop, watch);
	close(source->fd);
	source->fd = -1;
}

static void
callback_may_remove_itself(void **state)
{
	struct handoff__loop loop;
	struct source source;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&source, &loop, remove_self, 1);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 1);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	assert_int_equal(source.calls, 1);
	handoff__loop_fini(&loop);
}

static void
many_ready_are_all_served(void **state)
{
	static struct source sources[MANY];
	struct handoff__loop loop;
	int served = 0;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	for (int i = 0; i < MANY; i++)
		source_open(&sources[i], &loop, count_call, 1);
	for (int i = 0; i < MANY; i++)
		assert_true(handoff__loop_dispatch(&loop, 0) > 0);
	for (int i = 0; i < MANY; i++) {
		served += sources[i].calls > 0;
		source_close(&sources[i]);
	}
	assert_int_equal(served, MANY);
	handoff__loop_fini(&loop);
}

static void
bad_descriptor_is_refused(void **state)
{
	struct handoff__watch watch = {.fn = count_call, .fd = 5};
	struct handoff__loop loop;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	assert_int_equal(
		handoff__watch_add(&loop, &watch, -1, EPOLLIN), -EBADF);
	assert_int_equal(watch.fd, -1);
	handoff__watch_del(&loop, &watch);
	handoff__loop_fini(&loop);
}

static void
timers_run_in_order(void **state)
{
	static const int64_t delays_ms[] = {30, 10, 20, 10};
	static const int expected[] = {4, 1, 3, 2};
	struct alarm_clock clocks[4];
	struct handoff__loop loop;
	int64_t start;

	(void)state;
	order = 0;
	assert_int_equal(handoff__loop_init(&loop), 0);
	start = handoff__now_us();
	for (int i = 0; i < 4; i++) {
		clock_init(&clocks[i], &loop, note_time);
		handoff__timer_arm(
			&loop, &clocks[i].timer, delays_ms[i] * 1000);
	}
	run_until(&loop, &order, 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(clocks[i].calls, 1);
		assert_int_equal(clocks[i].order, expected[i]);
		assert_true(clocks[i].at_us - start >= delays_ms[i] * 1000);
		assert_false(clocks[i].timer.armed);
	}
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 0);
	handoff__loop_fini(&loop);
}

static void
timer_makes_the_descriptor_readable(void **state)
{
	struct handoff__loop loop;
	struct alarm_clock clock;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	clock_init(&clock, &loop, note_time);
	handoff__timer_arm(&loop, &clock.timer, -5);
	assert_int_equal(support_poll(loop.epfd, POLLIN), POLLIN);
	assert_int_equal(handoff__loop_dispatch(&loop, 0), 1);
	assert_int_equal(clock.calls, 1);
	handoff__loop_fini(&loop);
}

static void
disarmed_timer_is_silent(void **state)
{
	struct alarm_clock gone, kept;
	struct handoff__loop loop;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	clock_init(&gone, &loop, note_time);
	clock_init(&kept, &loop, note_time);
	handoff__timer_disarm(&loop, &gone.timer);
	handoff__timer_arm(&loop, &gone.timer, 1);
	handoff__timer_arm(&loop, &kept.timer, 10000);
	handoff__timer_disarm(&loop, &gone.timer);
	run_until(&loop, &kept.calls, 1);
	assert_int_equal(gone.calls, 0);
	handoff__timer_arm(&loop, &gone.timer, 1);
	handoff__timer_disarm(&loop, &gone.timer);
	assert_int_equal(handoff__loop_dispatch(&loop, 20), 0);
	assert_int_equal(gone.calls, 0);
	handoff__loop_fini(&loop);
}

static void
armed_again_counts_from_then(void **state)
{
	struct handoff__loop loop;
	struct alarm_clock clock;
	int64_t start;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	clock_init(&clock, &loop, note_time);
	handoff__timer_arm(&loop, &clock.timer, 1000);
	start = handoff__now_us();
	handoff__timer_arm(&loop, &clock.timer, 30000);
	run_until(&loop, &clock.calls, 1);
	assert_true(clock.at_us - start >= 30000);
	/* And earlier than it was. */
	handoff__timer_arm(&loop, &clock.timer, 60000000);
	handoff__timer_arm(&loop, &clock.timer, 1000);
	run_until(&loop, &clock.calls, 2);
	handoff__loop_fini(&loop);
}

static void
arm_self_for_now(struct handoff__timer *timer)
{
	struct alarm_clock *clock = timer->arg;

	note_time(timer);
	handoff__timer_arm(clock->loop, timer, 0);
}

/* A timer that arms itself for now must not keep dispatch from returning. */
static void
eager_timer_runs_once_a_dispatch(void **state)
{
	struct handoff__loop loop;
	struct alarm_clock clock;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	clock_init(&clock, &loop, arm_self_for_now);
	handoff__timer_arm(&loop, &clock.timer, 0);
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(handoff__loop_dispatch(&loop, 1000), 1);
		assert_int_equal(clock.calls, i);
	}
	handoff__loop_fini(&loop);
}

static void
disarm_other(struct handoff__timer *timer)
{
	struct alarm_clock *clock = timer->arg;

	note_time(timer);
	handoff__timer_disarm(clock->loop, &clock->other->timer);
}

/* Both are due in the same pass; the first takes the second away. */
static void
timer_may_disarm_another(void **state)
{
	struct alarm_clock a, b;
	struct handoff__loop loop;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	clock_init(&a, &loop, disarm_other);
	clock_init(&b, &loop, disarm_other);
	a.other = &b;
	b.other = &a;
	handoff__timer_arm(&loop, &a.timer, 1);
	handoff__timer_arm(&loop, &b.timer, 1);
	while (handoff__now_us() <= b.timer.deadline_us)
		;
	assert_int_equal(handoff__loop_dispatch(&loop, 1000), 1);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	assert_int_equal(handoff__loop_dispatch(&loop, 10), 0);
	handoff__loop_fini(&loop);
}

static void
disarm_and_rearm(struct handoff__watch *watch, uint32_t events)
{
	struct source *source = watch->arg;

	count_call(watch, events);
	handoff__timer_disarm(source->loop, &source->clock->timer);
	handoff__timer_arm(source->loop, &source->clock->timer, 1000);
	source->clock->due = source->clock->calls + 1;
	handoff__watch_set(source->loop, watch, 0);
}

/* The timerfd may be in the batch already when a callback sets it anew; the
 * timer must still come. */
static void
timer_moved_by_a_callback_still_comes(void **state)
{
	struct handoff__loop loop;
	struct alarm_clock clock;
	struct source source;

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(handoff__loop_init(&loop), 0);
		clock_init(&clock, &loop, note_time);
		source_open(&source, &loop, disarm_and_rearm, 1);
		source.clock = &clock;
		handoff__timer_arm(&loop, &clock.timer, 1);
		while (handoff__now_us() <= clock.timer.deadline_us)
			;
		run_until(&loop, &source.calls, 1);
		run_until(&loop, &clock.calls, clock.due);
		source_close(&source);
		handoff__loop_fini(&loop);
	}
}

static void
on_signal(int number)
{
	(void)number;
}

static void
interrupted_wait_is_no_error(void **state)
{
	struct sigaction action = {.sa_handler = on_signal}, old;
	struct itimerspec its = {
		.it_value = {.tv_nsec = 5000000},
		.it_interval = {.tv_nsec = 5000000},
	};
	struct handoff__loop loop;
	timer_t timer;
	int64_t start;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC,
				 &(struct sigevent){
					 .sigev_notify = SIGEV_SIGNAL,
					 .sigev_signo = SIGUSR1,
				 },
				 &timer),
		0);
	assert_int_equal(timer_settime(timer, 0, &its, NULL), 0);
	start = handoff__now_us();
	assert_int_equal(handoff__loop_dispatch(&loop, 10000), 0);
	assert_true(handoff__now_us() - start < 9000000);
	timer_delete(timer);
	sigaction(SIGUSR1, &old, NULL);
	handoff__loop_fini(&loop);
}

/* Leaves room for `room` more descriptors while the loop is made. */
static int
init_with_room(int room)
{
	struct handoff__loop loop;
	int rc;

	support_limit_descriptors(room);
	rc = handoff__loop_init(&loop);
	support_unlimit_descriptors();
	handoff__loop_fini(&loop);
	return rc;
}

static void
init_fails_whole(void **state)
{
	(void)state;
	assert_int_equal(init_with_room(0), -EMFILE);
	assert_int_equal(init_with_room(1), -EMFILE);
}

static int mod_fails; /* how many more do */

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *ev);

int
__wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *ev)
{
	if (op == EPOLL_CTL_MOD && mod_fails > 0) {
		mod_fails--;
		errno = ENOMEM;
		return -1;
	}
	return __real_epoll_ctl(set, op, fd, ev);
}

/* The kernel has no memory for a change: it is made when it has. */
static void
watch_that_could_not_be_set_is_set_later(void **state)
{
	struct handoff__loop loop;
	struct source source;

	(void)state;
	assert_int_equal(handoff__loop_init(&loop), 0);
	source_open(&source, &loop, count_call, 1);
	handoff__watch_set(&loop, &source.watch, 0);
	mod_fails = 2;
	handoff__watch_set(&loop, &source.watch, EPOLLOUT);
	for (int i = 0; i < 10 && source.calls == 0; i++)
		handoff__loop_dispatch(&loop, 1000);
	assert_int_equal(mod_fails, 0);
	assert_int_equal(source.calls, 1);
	assert_int_equal(source.events, EPOLLOUT);
	/* One that is taken out meanwhile is forgotten. */
	mod_fails = 1;
	handoff__watch_set(&loop, &source.watch, EPOLLIN);
	source_close(&source);
	assert_false(source.watch.stale);
	handoff__loop_fini(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(watch_that_could_not_be_set_is_set_later),
		handoff_test(ready_descriptor_is_called),
		handoff_test(watch_can_be_changed),
		handoff_test(removed_watch_is_silent),
		handoff_test(removed_in_the_batch_is_not_called),
		handoff_test(renewed_in_the_batch_gets_no_old_event),
		handoff_test(callback_may_remove_itself),
		handoff_test(many_ready_are_all_served),
		handoff_test(bad_descriptor_is_refused),
		handoff_test(timers_run_in_order),
		handoff_test(timer_makes_the_descriptor_readable),
		handoff_test(disarmed_timer_is_silent),
		handoff_test(armed_again_counts_from_then),
		handoff_test(eager_timer_runs_once_a_dispatch),
		handoff_test(timer_may_disarm_another),
		handoff_test(timer_moved_by_a_callback_still_comes),
		handoff_test(interrupted_wait_is_no_error),
		handoff_test(init_fails_whole),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
