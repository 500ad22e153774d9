/* SPDX-License-Identifier: MIT */
/*
 * A connection that is idle gives back the memory of its buffers and of its
 * state, and its service what it keeps about it in the process. Called by
 * whoever serves the connection, between two of its turns.
 */
#include "server/internal.h"

#include "record/pass.h"

bool
handoff__member_trimmed(const struct handoff__member *member)
{
	return !(member->entry.view.rec->touched & HANDOFF__PAGES);
}

bool
handoff__member_trim(struct handoff__member *member)
{
	const struct handoff_service *service = member->server->opts.service;
	const struct handoff__view *view = &member->entry.view;

	if (handoff__record_unsent(view->rec) > 0 ||
		handoff__record_unread(view->rec) > 0)
		return false;
	handoff__arena_trim(&member->server->pair.arena, member->entry.segment,
		member->entry.slot);
	handoff__pass_trim(view);
	handoff__state_trim(view);
	view->rec->touched &= (uint8_t)~HANDOFF__PAGES;
	if (service->idle)
		service->idle(handoff__record_number(view->rec), service->arg);
	return true;
}
