/* SPDX-License-Identifier: MIT */
/*
 * Models `loop` and `iterative`: the turn of every connection runs in the
 * loop's thread. No handler runs while anything else does, so every connection
 * is quiet. `iterative` differs in its limit of one connection: it accepts only
 * while it has none.
 */
#include "record/desk.h"
#include "server/internal.h"

static int
loop_start(struct handoff_server *server)
{
	/* used only as a wakeup from other threads, which post */
	return handoff__returns_open(
		&server->returns, &server->loop, handoff__member_back);
}

static uint32_t
loop_stop(struct handoff_server *server)
{
	handoff__returns_close(&server->returns);
	return 0;
}

/* A deadline alone is cheaper than all that may follow. */
static __attribute__((noinline)) void
conclude_turn(struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	if (result->outcome == HANDOFF__TURN_WAIT &&
		result->want == member->armed &&
		member->entry.view.rec->touched == HANDOFF__TIMED &&
		!member->lingers)
		handoff__deadlines_look(member);
	else
		handoff__member_done(member, result);
}

static void
loop_event(struct handoff__member *member, uint32_t events)
{
	struct handoff_server *server = member->server;
	struct handoff__turn_result result;

	server->handling = true;
	handoff__conn_turn_at(handoff__desk_number(server->pair.place, 0),
		&member->entry.view, member->entry.fd, server->opts.service,
		events, &result);
	server->handling = false;
	/* in most cases nothing follows */
	if (result.outcome != HANDOFF__TURN_WAIT ||
		result.want != member->armed ||
		member->entry.view.rec->touched || member->lingers)
		conclude_turn(member, &result);
}

static bool
loop_quiesce(struct handoff__member *member)
{
	(void)member;
	return true;
}

const struct handoff__model_ops handoff__model_loop = {
	.name = "loop",
	.start = loop_start,
	.stop = loop_stop,
	.event = loop_event,
	.quiesce = loop_quiesce,
};

const struct handoff__model_ops handoff__model_iterative = {
	.name = "iterative",
	.connections = 1,
	.start = loop_start,
	.stop = loop_stop,
	.event = loop_event,
	.quiesce = loop_quiesce,
};
