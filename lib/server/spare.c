/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that clients cannot have: while this server accepts it holds
 * some that it does not need, and accepts no client when they cannot be held.
 * They are given up for what has to go on when the table is full: a command, a
 * standby, a dump, a child. So a full table can be looked at, handed over and
 * stopped, and heals as clients leave.
 *
 * A model whose connections need a descriptor more once they are in use holds
 * that too, from the accept on: a client that was let in is answered.
 */
#include "server/internal.h"

#include "base/high.h"

#include <sys/resource.h>

/* A standby takes up to 5 (link, pidfd, two sets, the pipe of its children), a
 * dump 5 (client, file, pipe, pidfd), for a moment. */
#define SPARE_MOST  16u
#define SPARE_LEAST 6u
#define SPARE_PART  6u /* of a small table */
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

/* Those that connections will need, and do not have yet. */
static uint32_t
spare_promised(const struct handoff_server *server)
{
	uint32_t have = server->children.count;
	uint32_t need = server->pair.roster.connections * server->model->spare;

	return need > have ? need - have : 0;
}

bool
handoff__spare_keep(struct handoff_server *server)
{
	uint32_t promised = spare_promised(server);

	if (server->spare_base == 0)
		server->spare_base = spare_base();
	/* Whoever it was lent to may still need it. */
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

	/* The limit may be another when they are held again. */
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
handoff__spare_on_return(struct handoff__timer *timer)
{
	handoff__listen_later(timer->arg);
}
