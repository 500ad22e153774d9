/* SPDX-License-Identifier: MIT */
/*
 * Lets held connections move, once their service has released them or the give
 * waits no longer: as if a handler had returned.
 */
#include "server/held.h"
#include "server/internal.h"

#include <sys/epoll.h>

/* One that is with the loop follows at once; one that waits for others to move
 * with it gets no event meanwhile. */
static void
let_go_here(struct handoff__member *member)
{
	handoff__member_unkick(member);
	handoff__member_rearm(member, EPOLLONESHOT);
	member->result = (struct handoff__turn_result){
		.outcome = HANDOFF__TURN_WAIT,
		.want = (uint16_t)handoff__conn_want(&member->entry.view)};
	handoff__member_back(member);
}

/* What a thread, a child or a worker has comes back after its turn, if any. */
static void
let_go(struct handoff__member *member)
{
	const struct handoff__model_ops *model = member->server->model;

	if (!model->quiesce(member))
		return;
	if (member->active)
		handoff__pair_quiet(&member->server->pair, &member->entry);
	else if (model->recalled_turn)
		model->recalled_turn(member);
	else
		let_go_here(member);
}

static void
on_look(struct handoff__timer *timer)
{
	struct handoff_server *server = timer->arg;
	struct handoff__member *member;
	uint32_t at = 0;

	while ((member = handoff__held_next(server, &at)))
		let_go(member);
}

void
handoff__holds_init(struct handoff_server *server)
{
	server->holds.timer.fn = on_look;
	server->holds.timer.arg = server;
}
