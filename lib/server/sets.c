/* SPDX-License-Identifier: MIT */
/*
 * The two epoll sets of a server. The caller of epoll_wait chooses the set to
 * wait on; the other one accumulates events that are not read until it becomes
 * this peer's. Level-triggered, so that they are evaluated again then.
 */
#include "server/sets.h"

#include "base/high.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int
handoff__sets_init(struct handoff__sets *sets, int inner)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	memset(sets, 0, sizeof(*sets));
	sets->outer = sets->ep[1] = -1;
	for (int i = 0; i < 2; i++) {
		sets->ep[i] = handoff__high_raise(epoll_create1(EPOLL_CLOEXEC));
		if (sets->ep[i] < 0 ||
			epoll_ctl(sets->ep[i], EPOLL_CTL_ADD, inner, &ev) < 0) {
			int err = -errno;

			handoff__sets_fini(sets);
			return err;
		}
	}
	return 0;
}

void
handoff__sets_fini(struct handoff__sets *sets)
{
	for (int i = 0; i < 2; i++) {
		if (sets->ep[i] >= 0)
			close(sets->ep[i]);
		sets->ep[i] = -1;
	}
	if (sets->outer >= 0)
		close(sets->outer);
	sets->outer = -1;
}

int
handoff__sets_add(struct handoff__sets *sets, int fd, uint32_t events,
	void *data, bool mine)
{
	struct epoll_event ev = {.events = events, .data.ptr = data};
	int set = handoff__sets_home(sets, mine);

	if (epoll_ctl(sets->ep[set], EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	sets->members[set][mine]++;
	return set;
}

void
handoff__sets_del(struct handoff__sets *sets, int set, int fd, bool mine)
{
	epoll_ctl(sets->ep[set], EPOLL_CTL_DEL, fd, NULL);
	sets->members[set][mine]--;
}

int
handoff__sets_arm(struct handoff__sets *sets, int set, int fd, uint32_t events,
	void *data)
{
	struct epoll_event ev = {.events = events, .data.ptr = data};

	return epoll_ctl(sets->ep[set], EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno
								    : 0;
}

void
handoff__sets_own(struct handoff__sets *sets, int set, bool mine)
{
	sets->members[set][!mine]--;
	sets->members[set][mine]++;
}

static uint32_t
misplaced(const struct handoff__sets *sets)
{
	return sets->members[sets->mine][0] + sets->members[1 - sets->mine][1];
}

/* Enables the current set in the outer set, and disables the other. */
static void
outer_update(struct handoff__sets *sets)
{
	sets->stale = false;
	for (int i = 0; i < 2 && sets->outer >= 0; i++) {
		struct epoll_event ev = {
			.events = i == sets->mine ? EPOLLIN : 0};

		sets->stale |= epoll_ctl(sets->outer, EPOLL_CTL_MOD,
				       sets->ep[i], &ev) < 0;
	}
}

bool
handoff__sets_mend(struct handoff__sets *sets)
{
	if (sets->stale)
		outer_update(sets);
	return !sets->stale;
}

uint32_t
handoff__sets_exchange(struct handoff__sets *sets)
{
	uint32_t wrong = misplaced(sets), then;

	sets->mine = 1 - sets->mine;
	then = misplaced(sets);
	if (then >= wrong) {
		sets->mine = 1 - sets->mine;
		return wrong;
	}
	outer_update(sets);
	return then;
}

int
handoff__sets_move(struct handoff__sets *sets, int set, int fd, uint32_t events,
	void *data, bool mine)
{
	handoff__sets_del(sets, set, fd, mine);
	return handoff__sets_add(sets, fd, events, data, mine);
}

int
handoff__sets_outer(struct handoff__sets *sets)
{
	struct epoll_event ev = {.events = 0};

	if (sets->outer >= 0)
		return sets->outer;
	sets->outer = epoll_create1(EPOLL_CLOEXEC);
	if (sets->outer < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (epoll_ctl(sets->outer, EPOLL_CTL_ADD, sets->ep[i], &ev) <
			0) {
			int err = -errno;

			close(sets->outer);
			sets->outer = -1;
			return err;
		}
	}
	outer_update(sets);
	return sets->outer;
}
