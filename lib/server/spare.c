/* SPDX-License-Identifier: MIT */
/*
 * Descriptors reserved from clients: while this server accepts it holds some
 * spare ones, and accepts no client when it cannot hold them. They are released
 * for work that must go on when the table is full: a command, a standby, a
 * dump, a child. So a server with a full table can be inspected, handed over
 * and stopped, and recovers as clients leave.
 *
 * A model whose connections need one more descriptor once they are in use
 * reserves that too, from the accept on: an accepted client will be answered.
 */
#include "server/internal.h"

#include "base/high.h"
#include "session/session.h"

#include <sys/resource.h>

/* A standby needs up to 5 for a moment (link, pidfd, two sets, the pipe of its
 * children), a dump 5 (client, file, pipe, pidfd). */
#define SPARE_MOST  16u
#define SPARE_LEAST 6u
#define SPARE_PART  6u /* this fraction of a small table */
#define LENT_US     1000000

static uint32_t
spare_base(void)
{
	struct rlimit limit;
	rlim_t part;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return SPARE_LEAST;
	part = limit.rlim_cur / SPARE_PART;
	if (part < SPARE_LEAST)
		return SPARE_LEAST;
	return part < SPARE_MOST ? (uint32_t)part : SPARE_MOST;
}

/* Descriptors that connections will need and do not have yet. */
static uint32_t
spare_promised(const struct handoff_server *server)
{
	uint32_t have = server->children.count;
	uint32_t count = server->pair.roster.connections, pairs = 0;
	/* one thread or child serves both of a pair */
	uint32_t need = (count - server->noutgoing) * server->model->spare;

	/* of a service with pairs, each client needs one for its own */
	if (server->paired && count > 2 * server->noutgoing)
		pairs = count - 2 * server->noutgoing;
	return pairs + (need > have ? need - have : 0);
}

bool
handoff__spare_keep(struct handoff_server *server)
{
	uint32_t promised = spare_promised(server);

	if (server->spare_base == 0)
		server->spare_base = spare_base();
	/* the borrower may still need it */
	if (server->spare_lent.armed)
		return handoff__reserve_fill(&server->reserve, promised) &&
		       handoff__high_fits(
			       server->loop.epfd, server->spare_base);
	return handoff__reserve_fill(
		&server->reserve, server->spare_base + promised);
}

bool
handoff__spare_drop(struct handoff_server *server)
{
	uint32_t promised = spare_promised(server);
	uint32_t held = server->reserve.count;

	/* the limit may have changed when they are next held */
	server->spare_base = 0;
	return held > promised &&
	       handoff__reserve_release(&server->reserve, held - promised) > 0;
}

bool
handoff__spare_lend(struct handoff_server *server)
{
	if (!handoff__spare_drop(server))
		return false;
	handoff__timer_arm(&server->loop, &server->spare_lent, LENT_US);
	return true;
}

void
handoff__spare_warn(struct handoff_server *server)
{
	struct handoff__session_limits limits;
	struct rlimit limit;
	size_t room, need;

	if (!handoff__session_limits(server->opts.service, &limits) ||
		getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	/* the one more is for a client that comes back */
	need = ((size_t)limits.max_absent + 1) * (1 + server->model->spare) +
	       spare_base();
	room = handoff__high_room(server->loop.epfd) + server->reserve.count;
	if (room < need)
		handoff__log(&server->log, HANDOFF_LOG_WARNING,
			"sessions: %u without a connection (session_max) do "
			"not fit into RLIMIT_NOFILE, which is %llu: when it is "
			"reached the oldest end: raise it to %llu and more, or "
			"lower session_max",
			limits.max_absent, (unsigned long long)limit.rlim_cur,
			(unsigned long long)(limit.rlim_cur + need - room));
}

void
handoff__spare_on_return(struct handoff__timer *timer)
{
	handoff__listen_later(timer->arg);
}
