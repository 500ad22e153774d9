/* SPDX-License-Identifier: MIT */
/*
 * Sessions of this peer without a socket: a list in the order in which they
 * became absent, and their end. Does not know who resumes them.
 */
#include "server/internal.h"

#include "record/tenure.h"
#include "session/session.h"

#include <handoff/lease.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MS  3000     /* then its buffers are trimmed */
#define QUIET_US 10000000 /* between two lines of the log */

static struct handoff__session_limits
limits_of(const struct handoff_server *server)
{
	struct handoff__session_limits limits = {
		.timeout_ms = HANDOFF_SESSION_TIMEOUT_MS,
		.max_absent = HANDOFF_SESSION_MAX};

	handoff__session_limits(server->opts.service, &limits);
	return limits;
}

static int64_t
absent_since(const struct handoff__member *member)
{
	return handoff__record_absent(member->entry.view.rec);
}

void
handoff__absent_enter(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	struct handoff__resumes *resumes = &server->resumes;
	struct handoff__member *last =
		TAILQ_LAST(&resumes->absents, handoff__members);

	resumes->disordered |=
		last && absent_since(last) > absent_since(member);
	TAILQ_INSERT_TAIL(&resumes->absents, member, node);
	resumes->absent++;
	/* the oldest one ends after the iteration */
	if (resumes->absent > limits_of(server).max_absent)
		resumes->due = server->due = true;
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

/* --- which one is the oldest --- */

static int
compare_absent(const void *a, const void *b)
{
	int64_t x = absent_since(*(struct handoff__member *const *)a);
	int64_t y = absent_since(*(struct handoff__member *const *)b);

	return (x > y) - (x < y);
}

/* Those that came from the other peer, all at once, came in any order. */
static void
put_in_order(struct handoff__resumes *resumes)
{
	struct handoff__member **list, *member;
	uint32_t count = 0;

	if (!resumes->disordered)
		return;
	list = calloc(resumes->absent, sizeof(struct handoff__member *));
	if (!list)
		return; /* roughly is better than not at all */
	while ((member = TAILQ_FIRST(&resumes->absents))) {
		TAILQ_REMOVE(&resumes->absents, member, node);
		list[count++] = member;
	}
	qsort(list, count, sizeof(struct handoff__member *), compare_absent);
	for (uint32_t i = 0; i < count; i++)
		TAILQ_INSERT_TAIL(&resumes->absents, list[i], node);
	resumes->disordered = false;
	free(list);
}

/* --- too many --- */

void
handoff__absent_bound(struct handoff_server *server)
{
	struct handoff__resumes *resumes = &server->resumes;
	uint32_t most = limits_of(server).max_absent, excess;
	struct handoff__member *member, *next;

	if (resumes->absent <= most || handoff__absent_barred(server))
		return;
	put_in_order(resumes);
	excess = resumes->absent - most;
	member = TAILQ_FIRST(&resumes->absents);
	/* one that leaves, or has to be tried again, is on its way out too */
	for (; member && excess > 0; member = next, excess--) {
		next = TAILQ_NEXT(member, node);
		if (!member->entry.leaving)
			expire(member);
	}
}

bool
handoff__absent_yields(const struct handoff_server *server)
{
	return server->resumes.absent > 0 && !handoff__absent_barred(server);
}

/* One line says it of all in a while: a client can make many of them end. */
static void
log_yield(struct handoff_server *server)
{
	struct handoff__resumes *resumes = &server->resumes;
	int64_t now = handoff__now_us();
	uint32_t count = ++resumes->unlogged;

	if (resumes->logged_us > 0 && now - resumes->logged_us < QUIET_US)
		return;
	resumes->logged_us = now;
	resumes->unlogged = 0;
	handoff__log(&server->log, HANDOFF_LOG_WARNING,
		"accept: %s: the oldest of the sessions without a connection "
		"end to make room (%u since this was last said, %u left): "
		"raise RLIMIT_NOFILE, "
		"or lower session_max",
		strerror(EMFILE), count, resumes->absent);
}

bool
handoff__absent_yield(struct handoff_server *server)
{
	struct handoff__member *member, *next;

	if (!handoff__absent_yields(server))
		return false;
	put_in_order(&server->resumes);
	for (member = TAILQ_FIRST(&server->resumes.absents); member;
		member = next) {
		next = TAILQ_NEXT(member, node);
		if (!member->entry.leaving && expire(member)) {
			log_yield(server);
			return true;
		}
	}
	return false;
}

/* --- for too long --- */

static void
expire_late(struct handoff_server *server)
{
	uint32_t timeout_ms = limits_of(server).timeout_ms;
	int64_t now = (int64_t)handoff__boot_ms();
	struct handoff__member *member, *next;

	for (member = TAILQ_FIRST(&server->resumes.absents); member;
		member = next) {
		int64_t since = absent_since(member);

		next = TAILQ_NEXT(member, node);
		if (member->entry.leaving)
			continue;
		if (now - since >= IDLE_MS && !handoff__member_trimmed(member))
			handoff__member_trim(member);
		if (now - since >= timeout_ms)
			expire(member);
	}
}

bool
handoff__absent_expire(struct handoff_server *server)
{
	if (server->resumes.absent > 0 && !handoff__absent_barred(server)) {
		expire_late(server);
		/* what could not be ended before */
		handoff__absent_bound(server);
	}
	return server->resumes.absent > 0;
}
