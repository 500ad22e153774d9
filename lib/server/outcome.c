/* SPDX-License-Identifier: MIT */
/*
 * What follows from a connection's turn, once the loop has it back. Called by
 * the models.
 */
#include "server/internal.h"

#include "record/pass.h"

#include <errno.h>
#include <sys/epoll.h>

/* What a turn may have left to do for its pair. */
static void
look_at_pair(struct handoff__member *member)
{
	handoff__member_wake_pair(member);
	handoff__outgoing_look(member);
}

/* What a session has ended for, when its client is told: of what its handler
 * does wrong the log says as much as for a plain connection. */
static void
log_noted(const struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	static const struct handoff__turn_result input = {
		.end = HANDOFF__END_INPUT, .why = HANDOFF__INPUT_FULL};
	static const struct handoff__turn_result failed = {
		.end = HANDOFF__END_HANDLER, .why = "handler"};
	uint32_t flags = handoff__record_commit(member->entry.view.rec)->flags;
	uint32_t end = (flags & HANDOFF__END) >> HANDOFF__END_SHIFT;

	if (end == HANDOFF__END_INPUT)
		handoff__member_log_end(member, &input);
	else if (end == HANDOFF__END_HANDLER)
		handoff__member_log_end(member, result->why ? result : &failed);
}

void
handoff__member_done(struct handoff__member *member,
	const struct handoff__turn_result *result)
{
	struct handoff_server *server = member->server;

	if (member->entry.view.rec->touched && server->paired)
		look_at_pair(member);
	/* the only cases that the sweep handles */
	if ((member->entry.view.rec->touched & HANDOFF__PAGES) ||
		result->outcome == HANDOFF__TURN_LINGER)
		handoff__server_sweep_later(server);
	/* a worker watches its connections' deadlines itself */
	if (member->sets == 0 && result->outcome < HANDOFF__TURN_END &&
		result->outcome != HANDOFF__TURN_RETRY)
		handoff__deadlines_look(member);
	/* input after close does not reset the linger timer */
	if (!member->lingers)
		member->tick = server->tick;
	switch (result->outcome) {
	case HANDOFF__TURN_AGAIN:
		handoff__member_kick(member);
		return;
	case HANDOFF__TURN_LINGER:
		if (!member->lingers)
			log_noted(member, result);
		member->lingers = true;
		/* fall through */
	case HANDOFF__TURN_WAIT:
		handoff__member_wait_for(member, result->want);
		return;
	case HANDOFF__TURN_PARK:
		if (handoff__resume_parked(member, result))
			return;
		/* why its socket has ended, and it outlives it */
		handoff__member_log_end(member, result);
		handoff__member_park(member);
		return;
	case HANDOFF__TURN_RETRY:
		/* disarmed meanwhile; an error is still reported, once */
		handoff__member_rearm(member, EPOLLONESHOT);
		handoff__member_stall(member,
			result->why ? result->why : "cannot go on",
			result->err ? -result->err : -ENOMEM);
		return;
	case HANDOFF__TURN_END:
		if (!handoff__member_may_end(member, result->end)) {
			handoff__member_rearm(member, EPOLLONESHOT);
			handoff__member_stall(member,
				"waits for the shared region", -ETIMEDOUT);
			return;
		}
		handoff__member_log_end(member, result);
		handoff__member_end(member, result->end);
		return;
	}
}

/* Whether it gets a turn at once. A paired connection may be given back after
 * each turn, so not if nothing has changed since the last one. */
static bool
may_go_on(struct handoff__member *member)
{
	struct handoff_server *server = member->server;
	uint8_t outcome = member->result.outcome;
	bool kicked = member->recalled;

	if (!server->paired || outcome == HANDOFF__TURN_END)
		return outcome == HANDOFF__TURN_WAIT;
	member->recalled = false;
	look_at_pair(member);
	return (outcome == HANDOFF__TURN_WAIT ||
		       outcome == HANDOFF__TURN_PARK) &&
	       (kicked || !handoff__conn_idle(
				  &member->entry.view, server->opts.service));
}

/* The loop has the connection, after a turn in a thread or child. */
static void
go_on(struct handoff__member *member)
{
	if (member->result.outcome != HANDOFF__TURN_END &&
		(handoff__resume_back(member) || handoff__suspects_add(member)))
		return;
	if (member->entry.mine && may_go_on(member)) {
		if (member->sets == 0)
			handoff__deadlines_look(member);
		handoff__member_kick(member);
	} else if (member->entry.mine)
		handoff__member_done(member, &member->result);
}

void
handoff__member_resume(struct handoff__member *member)
{
	member->active = false;
	if (handoff__member_has_worker(member))
		member->server->model->moved(member);
	go_on(member);
}

void
handoff__member_back(struct handoff__member *member)
{
	struct handoff_server *server = member->server;

	member->active = false;
	handoff__suspects_tried(member);
	if (member->result.outcome != HANDOFF__TURN_END &&
		handoff__server_ends(server, &member->entry))
		handoff__closing_mark(server, &member->entry);
	if (member->entry.leaving &&
		member->result.outcome != HANDOFF__TURN_END &&
		!handoff__held_keep(member))
		handoff__pair_quiet(&server->pair, &member->entry);
	/* until it moves together with others, or is resumed */
	if (handoff__entry_parked(&member->entry))
		member->active = true;
	else
		go_on(member);
}
