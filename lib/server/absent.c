/* SPDX-License-Identifier: MIT */
/*
 * Sessions of this peer without a socket: a list in the order in which they
 * became absent, and their end. Does not know who resumes them.
 */
#include "server/internal.h"

#include "record/tenure.h"
#include "session/session.h"

#include <handoff/lease.h>

#include <stdlib.h>

#define IDLE_MS 3000 /* then its buffers are trimmed */

void
handoff__absent_enter(struct handoff__member *member)
{
	struct handoff__resumes *resumes = &member->server->resumes;

	TAILQ_INSERT_TAIL(&resumes->absents, member, node);
	resumes->absent++;
}

void
handoff__absent_leave(struct handoff__member *member)
{
	struct handoff__resumes *resumes = &member->server->resumes;

	TAILQ_REMOVE(&resumes->absents, member, node);
	resumes->absent--;
}

bool
handoff__absent_barred(const struct handoff_server *server)
{
	const struct handoff__arena *arena = &server->pair.arena;

	return arena->above && handoff__tenure_over(handoff__tenure_of(arena),
				       handoff__boot_ns());
}

bool
handoff__absent_lost(const struct handoff_server *server)
{
	const struct handoff__tenure *tenure =
		handoff__tenure_of(&server->pair.arena);
	uint32_t state;

	if (!handoff__absent_barred(server))
		return false;
	state = atomic_load(&tenure->state);
	return state != HANDOFF_LEASE_OWNER && state != HANDOFF_LEASE_DOUBT;
}

struct old {
	struct handoff__member *member;
	int64_t absent_ms;
};

static int
compare_old(const void *a, const void *b)
{
	const struct old *x = a, *y = b;

	return (x->absent_ms > y->absent_ms) - (x->absent_ms < y->absent_ms);
}

/* False: it has to be tried again. */
static bool
expire(struct handoff__member *member)
{
	if (!handoff__member_may_end(member, HANDOFF__END_CLIENT))
		return false;
	member->server->resumes.expired++;
	handoff__member_end(member, HANDOFF__END_CLIENT);
	return true;
}

/* Its buffers are empty, and its state is what it keeps. */
static void
trim(struct handoff__member *member)
{
	const struct handoff__view *view = &member->entry.view;

	if (!(view->rec->touched & HANDOFF__PAGES))
		return;
	handoff__arena_trim(&member->server->pair.arena, member->entry.segment,
		member->entry.slot);
	handoff__state_trim(view);
	view->rec->touched &= (uint8_t)~HANDOFF__PAGES;
}

/* Ends those whose time is up; the others are stored in `list`. */
static uint32_t
expire_late(struct handoff_server *server, uint32_t timeout_ms,
	struct old *list, uint32_t most)
{
	struct handoff__member *member, *next;
	int64_t now = (int64_t)handoff__boot_ms();
	uint32_t count = 0;

	for (member = TAILQ_FIRST(&server->resumes.absents); member;
		member = next) {
		int64_t since = handoff__record_absent(member->entry.view.rec);

		next = TAILQ_NEXT(member, node);
		if (member->entry.leaving)
			continue;
		if (now - since >= IDLE_MS)
			trim(member);
		if (now - since >= timeout_ms)
			expire(member);
		else if (count < most)
			list[count++] = (struct old){member, since};
	}
	return count;
}

bool
handoff__absent_expire(struct handoff_server *server)
{
	struct handoff__session_limits limits = {
		.timeout_ms = HANDOFF_SESSION_TIMEOUT_MS,
		.max_absent = HANDOFF_SESSION_MAX};
	uint32_t room = server->resumes.absent, count;
	struct old *list;

	if (room == 0 || handoff__absent_barred(server))
		return room > 0;
	handoff__session_limits(server->opts.service, &limits);
	list = calloc(room, sizeof(*list));
	count = expire_late(server, limits.timeout_ms, list, list ? room : 0);
	if (count > limits.max_absent) {
		qsort(list, count, sizeof(*list), compare_old);
		for (uint32_t i = 0; i < count - limits.max_absent; i++)
			expire(list[i].member);
	}
	free(list);
	return server->resumes.absent > 0;
}
