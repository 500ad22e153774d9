/* SPDX-License-Identifier: MIT */
/*
 * The guard. As long as a ferry is connected it does what that says; when the
 * ferry dies, what the words of the batches say; and when there is nothing to
 * guard and no ferry comes for a while, it removes its rule and ends.
 */
#include "ferry/unfreeze/guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGAIN_US (100 * INT64_C(1000))
#define REST_US  (5 * INT64_C(1000))
#define ROOM     (16 << 20) /* to tell a ferry of all that there is */
#define ROUNDS   64         /* receptions until other work gets its turn */

void
handoff__guard_log(struct handoff__guard *guard, const char *fmt, ...)
{
	char line[HANDOFF_TEXT_MAX + 256] = "handoff-unfreeze: ";
	size_t len = strlen(line);
	va_list ap;
	int n;

	if (guard->log_fd < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	len = strlen(line);
	line[len++] = '\n';
	(void)!write(guard->log_fd, line, len);
}

static void
on_say(void *arg, const char *text)
{
	handoff__guard_log(arg, "%s", text);
}

static void
on_verdict(void *arg, uint32_t id, bool accept)
{
	struct handoff__guard *guard = arg;

	handoff__queue_verdict(&guard->queue, id, accept);
}

static bool
on_send(void *arg, int family, const unsigned char *data, size_t len)
{
	struct handoff__guard *guard = arg;

	return handoff__raw_send(&guard->raw, family, data, len);
}

/* A connection that is only coming is here as soon as that is decided. */
static bool
on_here(void *arg, const struct handoff__flow *flow)
{
	struct handoff__guard *guard = arg;
	const struct handoff__flow_slot *s =
		handoff__flows_coming(&guard->flows, flow);

	if (s && handoff__thaw_open(
			 &guard->thaw, (uint32_t)(s - guard->flows.slots)))
		return false;
	return handoff__sockets_have(&guard->sockets, flow);
}

static void
on_queued(void *arg, uint32_t id, const unsigned char *data, size_t len,
	bool whole)
{
	struct handoff__guard *guard = arg;

	handoff__flows_packet(&guard->flows, id, data, len, whole);
}

/* What was decided is carried out before anything else is. */
static void
on_queue(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__guard *guard = watch->arg;
	int n = 1;

	(void)events;
	for (int i = 0; i < ROUNDS && n > 0; i++) {
		n = handoff__queue_receive(&guard->queue);
		handoff__queue_flush(&guard->queue);
	}
	if (n < 0)
		handoff__guard_log(guard, "queue: %s", strerror(-n));
}

static bool
is_needed(const struct handoff__guard *guard)
{
	return guard->ferry >= 0 || handoff__flows_guard(&guard->flows) ||
	       guard->rest_timer.armed;
}

static void
settle(struct handoff__guard *guard)
{
	if (is_needed(guard))
		handoff__timer_disarm(&guard->loop, &guard->leave_timer);
	else if (!guard->leave_timer.armed)
		handoff__timer_arm(&guard->loop, &guard->leave_timer,
			guard->linger_ms * INT64_C(1000));
}

static void
on_leave(struct handoff__timer *timer)
{
	struct handoff__guard *guard = timer->arg;

	if (is_needed(guard))
		return;
	handoff__guard_log(guard, "nothing to guard, and no ferry: it ends");
	handoff__guard_end(guard);
}

static void
send_rests(struct handoff__guard *guard)
{
	if (handoff__thaw_rests(&guard->thaw))
		handoff__timer_arm(&guard->loop, &guard->rest_timer, REST_US);
}

static void
on_rest(struct handoff__timer *timer)
{
	struct handoff__guard *guard = timer->arg;

	send_rests(guard);
	settle(guard);
}

static void
thaw(struct handoff__guard *guard, bool repeated)
{
	if (handoff__thaw_all(&guard->thaw, repeated))
		handoff__timer_arm(&guard->loop, &guard->again_timer, AGAIN_US);
	handoff__queue_flush(&guard->queue);
	send_rests(guard);
	settle(guard);
}

static void
on_again(struct handoff__timer *timer)
{
	thaw(timer->arg, true);
}

static void
set_timer(struct handoff__guard *guard, struct handoff__timer *timer,
	handoff__timer_fn *fn)
{
	*timer = (struct handoff__timer){.fn = fn, .arg = guard};
}

static int
open_all(struct handoff__guard *guard, struct handoff__error *error)
{
	const struct handoff__sink sink = {
		.verdict = on_verdict,
		.send = on_send,
		.here = on_here,
		.arg = guard,
	};
	int err = handoff__rules_open(&guard->rules, error);

	if (err == 0)
		err = handoff__queue_open(
			&guard->queue, on_queued, guard, error);
	if (err == 0)
		err = handoff__raw_open(&guard->raw, error);
	if (err == 0)
		err = handoff__sockets_open(&guard->sockets, error);
	if (err < 0)
		return err;
	err = handoff__flows_init(&guard->flows, &sink);
	return err < 0 ? handoff__fail(error, err, "no memory") : 0;
}

int
handoff__guard_init(struct handoff__guard *guard, struct handoff__error *error)
{
	int err;

	guard->ferry = guard->arena_fd = -1;
	guard->raw.fd = -1;
	handoff__thaw_init(&guard->thaw, &guard->flows, on_say, guard);
	err = open_all(guard, error);
	if (err < 0)
		return err;
	set_timer(guard, &guard->leave_timer, on_leave);
	set_timer(guard, &guard->again_timer, on_again);
	set_timer(guard, &guard->rest_timer, on_rest);
	guard->queue_watch =
		(struct handoff__watch){.fn = on_queue, .arg = guard};
	err = handoff__watch_add(&guard->loop, &guard->queue_watch,
		handoff__queue_fd(&guard->queue), EPOLLIN);
	if (err < 0)
		return handoff__fail(error, err, "epoll: %s", strerror(-err));
	settle(guard);
	return 0;
}

void
handoff__guard_fini(struct handoff__guard *guard)
{
	handoff__thaw_fini(&guard->thaw);
	if (guard->arena_fd >= 0)
		close(guard->arena_fd);
	if (guard->flows.buckets)
		handoff__flows_fini(&guard->flows);
	handoff__queue_close(&guard->queue);
	handoff__rules_close(&guard->rules);
	handoff__raw_close(&guard->raw);
	handoff__sockets_close(&guard->sockets);
}

/* No packet comes for the queue any more; those that did are decided about. */
static void
drain(struct handoff__guard *guard)
{
	while (handoff__queue_receive(&guard->queue) > 0)
		handoff__queue_flush(&guard->queue);
	handoff__flows_let_pass(&guard->flows);
	handoff__queue_flush(&guard->queue);
}

/* The own rule is in place, or packets pass. */
static void
remove_leftovers(struct handoff__guard *guard)
{
	uint32_t n = guard->leftovers.n;
	struct handoff__error error = {""};

	if (n == 0)
		return;
	if (handoff__leftover_remove(&guard->leftovers, &guard->rules, &error) <
		0)
		handoff__guard_log(guard, "%s", error.text);
	else
		handoff__guard_log(guard,
			"removed %u set%s of rules for these addresses that a "
			"helper has left in another service directory: they "
			"dropped packets to the service",
			n, n == 1 ? "" : "s");
}

int
handoff__guard_rule(
	struct handoff__guard *guard, bool on, struct handoff__error *error)
{
	int err = 0;

	if (!on) {
		err = handoff__rules_remove(&guard->rules, error);
		if (err == 0) {
			guard->rule_on = false;
			drain(guard);
		}
		return err;
	}
	if (guard->rules.way == HANDOFF__RULES_NONE)
		err = handoff__rules_probe(&guard->rules, error);
	if (err == 0)
		err = handoff__queue_bind(
			&guard->queue, guard->first_queue, error);
	if (err == 0)
		err = handoff__rules_install(
			&guard->rules, guard->queue.number, error);
	guard->rule_on |= err == 0;
	if (err == 0)
		remove_leftovers(guard);
	return err;
}

void
handoff__guard_attach(
	struct handoff__guard *guard, int fd, handoff__ready_fn *fn)
{
	int err, room = ROOM;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	guard->ferry = fd;
	guard->opened = false;
	guard->ferry_watch = (struct handoff__watch){.fn = fn, .arg = guard};
	err = handoff__watch_add(
		&guard->loop, &guard->ferry_watch, fd, EPOLLIN);
	handoff__timer_disarm(&guard->loop, &guard->again_timer);
	/* the ferry finishes what is not complete: never two at once */
	handoff__timer_disarm(&guard->loop, &guard->rest_timer);
	handoff__finish_end(&guard->thaw.rests);
	settle(guard);
	if (err < 0)
		handoff__guard_detach(guard, strerror(-err));
}

void
handoff__guard_detach(struct handoff__guard *guard, const char *why)
{
	handoff__watch_del(&guard->loop, &guard->ferry_watch);
	close(guard->ferry);
	guard->ferry = -1;
	guard->opened = false;
	handoff__guard_log(guard, "the ferry is gone: %s", why);
	if (!guard->ending)
		thaw(guard, false);
}

/* A rule that a helper before this one has left stays, and drops: packets of
 * flows that nobody knows must not reach their sockets. */
void
handoff__guard_end(struct handoff__guard *guard)
{
	struct handoff__error error = {""};

	handoff__flows_clear(&guard->flows);
	handoff__queue_flush(&guard->queue);
	if (guard->rule_on && handoff__guard_rule(guard, false, &error) < 0)
		handoff__guard_log(guard, "%s", error.text);
	guard->ending = true;
}
