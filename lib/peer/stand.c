/* SPDX-License-Identifier: MIT */
/*
 * Carries out in one peer what the tenure says: freezes, thaws and resets
 * sockets, and sets the timers for that, of which one ends this process if it
 * does not get to it. Knows neither the keeper of the lease nor its engine.
 */
#include "peer/stand.h"

#include "base/still.h"
#include "lease/lease.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define POLL_NS  UINT64_C(50000000) /* while something is to change soon */
#define SETTLES  4

struct handoff__tenure *
handoff__stand_tenure(const struct handoff__pair *pair)
{
	return handoff__pair_leased(pair) ? handoff__tenure_of(&pair->arena)
					  : NULL;
}

enum handoff_lease_state
handoff__stand_state(const struct handoff__tenure *tenure)
{
	return (enum handoff_lease_state)atomic_load(&tenure->state);
}

/* Whether the host has the lease, as far as it knows. */
bool
handoff__stand_holds(const struct handoff__tenure *tenure)
{
	return handoff__stand_state(tenure) == HANDOFF_LEASE_OWNER ||
	       handoff__stand_state(tenure) == HANDOFF_LEASE_DOUBT;
}

bool
handoff__pair_may_begin(const struct handoff__pair *pair)
{
	const struct handoff__tenure *tenure = handoff__stand_tenure(pair);
	uint64_t now;

	if (!handoff__pair_leased(pair))
		return true;
	now = handoff__boot_ns();
	return tenure && handoff__stand_holds(tenure) &&
	       now < atomic_load(&tenure->certain_ns) &&
	       now < atomic_load(&tenure->until_ns);
}

bool
handoff__pair_valid(const struct handoff__pair *pair)
{
	const struct handoff__tenure *tenure = handoff__stand_tenure(pair);

	return !handoff__pair_leased(pair) ||
	       (tenure && !handoff__tenure_over(tenure, handoff__boot_ns()));
}

bool
handoff__pair_holds(const struct handoff__pair *pair)
{
	const struct handoff__tenure *tenure = handoff__stand_tenure(pair);

	return !handoff__pair_leased(pair) ||
	       (tenure && handoff__stand_holds(tenure));
}

bool
handoff__stand_socket(const struct handoff__roster_entry *e)
{
	return e->fd >= 0 &&
	       (e->kind == HANDOFF__CONNECTION || e->kind == HANDOFF__LISTENER);
}

/* Freezes or thaws everything that this peer has a descriptor of, also copies:
 * the other peer may be stopped. Returns how many could not be. */
static uint32_t
still_all(struct handoff__pair *pair, bool freeze)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t failed = 0;
	int err, last = 0;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!handoff__stand_socket(e))
			continue;
		err = freeze ? handoff__still_freeze(e->fd)
			     : handoff__still_thaw(e->fd);
		if (err < 0) {
			last = err;
			failed++;
		}
	}
	if (failed > 0)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"lease: %u socket%s could not be %s: %s", failed,
			handoff__plural(failed), freeze ? "frozen" : "thawed",
			strerror(-last));
	return failed;
}

static uint64_t
token_of(const struct handoff__pair *pair)
{
	struct handoff__tenure_kept kept;

	handoff__tenure_read(handoff__stand_tenure(pair), &kept);
	return kept.token;
}

static void
freeze(struct handoff__pair *pair)
{
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		"lease: not confirmed in time: everything stands still");
	pair->guard.exposed = still_all(pair, true);
	pair->guard.frozen = true;
	pair->guard.frozen_token = token_of(pair);
}

static void
thaw(struct handoff__pair *pair)
{
	bool same = token_of(pair) == pair->guard.frozen_token;

	still_all(pair, false);
	pair->guard.frozen = false;
	pair->guard.exposed = 0;
	handoff__log(pair->log, HANDOFF_LOG_WARNING,
		same ? "lease: everything goes on"
		     : "lease: was lost, and is this host's again: what stood "
		       "still was ended");
}

/* Ends what this peer owns: a reset socket ends its connection, in whatever
 * thread or process its turn is. */
static void
reset_own(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (e->mine && e->fd >= 0 && e->kind == HANDOFF__CONNECTION)
			handoff__still_reset(e->fd);
	}
	pair->guard.frozen = false;
	pair->guard.exposed = 0;
}

/* The process dies at that time, unless everything stands still by then. */
static void
set_deadman(struct handoff__pair *pair, const struct handoff__tenure *tenure)
{
	struct handoff__guard *guard = &pair->guard;
	struct handoff__tenure_kept kept;
	uint64_t at_ns = 0;
	int err;

	handoff__tenure_read(tenure, &kept);
	if (handoff__stand_holds(tenure) &&
		(pair->serving || pair->roster.owned > 0) &&
		(!guard->frozen || guard->exposed > 0))
		at_ns = handoff__lease_deadman_of(kept.valid_ns, kept.ttl_ns);
	err = handoff__deadman_set(&guard->deadman, at_ns);
	if (err < 0 && !guard->mortal)
		handoff__log(pair->log, HANDOFF_LOG_ERROR,
			"lease: no dead-man timer: %s: a process that hangs "
			"is not ended in time",
			strerror(-err));
	guard->mortal = err < 0;
}

static void
set_timer(struct handoff__pair *pair, uint64_t at_ns)
{
	struct itimerspec at = {.it_value.tv_sec = (time_t)(at_ns / NS_PER_S),
		.it_value.tv_nsec = (long)(at_ns % NS_PER_S)};

	if (at_ns == pair->guard.due_ns)
		return;
	pair->guard.due_ns = at_ns;
	timerfd_settime(pair->guard.timerfd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Does what the tenure says now. That may change meanwhile, in the other
 * process. */
void
handoff__stand(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;
	const struct handoff__tenure *tenure = handoff__stand_tenure(pair);
	uint64_t now = handoff__boot_ns(), due = 0;
	bool still;

	if (!tenure)
		return;
	for (int i = 0; i < SETTLES; i++) {
		now = handoff__boot_ns();
		still = handoff__stand_holds(tenure) &&
			handoff__tenure_over(tenure, now);
		if (still == guard->frozen)
			break;
		if (still)
			freeze(pair);
		else if (handoff__stand_holds(tenure))
			thaw(pair);
		else
			break;
	}
	if (handoff__stand_state(tenure) == HANDOFF_LEASE_LOST &&
		!guard->resetting)
		reset_own(pair);
	guard->resetting = handoff__stand_state(tenure) == HANDOFF_LEASE_LOST;
	set_deadman(pair, tenure);
	if (guard->frozen || guard->resetting)
		due = now + POLL_NS;
	else if (handoff__stand_holds(tenure))
		due = atomic_load(&tenure->until_ns);
	set_timer(pair, due);
}

static void
on_timer(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__pair *pair = watch->arg;
	uint64_t count;

	(void)events;
	pair->guard.due_ns = 0;
	if (read(watch->fd, &count, sizeof(count)) < 0)
		return;
	handoff__stand(pair);
}

int
handoff__stand_open(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	guard->timer_watch.fn = on_timer;
	guard->timer_watch.arg = pair;
	guard->timerfd =
		timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	return guard->timerfd < 0
		       ? -errno
		       : handoff__watch_add(pair->loop, &guard->timer_watch,
				 guard->timerfd, EPOLLIN);
}

void
handoff__stand_close(struct handoff__pair *pair)
{
	struct handoff__guard *guard = &pair->guard;

	handoff__deadman_fini(&guard->deadman);
	if (guard->timer_watch.fd >= 0)
		handoff__watch_del(pair->loop, &guard->timer_watch);
	if (guard->timerfd >= 0)
		close(guard->timerfd);
	guard->timerfd = -1;
}

void
handoff__pair_end_sockets(struct handoff__pair *pair)
{
	bool valid = handoff__pair_valid(pair);
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&pair->roster, e))) {
		if (!handoff__stand_socket(e))
			continue;
		if (valid)
			shutdown(e->fd, SHUT_RDWR);
		else
			handoff__still_reset(e->fd);
	}
}
