/* SPDX-License-Identifier: MIT */
/*
 * The same queries, for use between turns.
 */
#include "server/conn_state.h"

#include "server/conn.h"

bool
handoff__conn_due(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__conn_state s = handoff__conn_state_of(view, service);

	return handoff__conn_state_due(&s);
}

uint32_t
handoff__conn_want(const struct handoff__view *view)
{
	struct handoff__conn_state s = handoff__conn_state_of(view, NULL);

	return handoff__conn_state_want(&s);
}

bool
handoff__conn_pending(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__conn_state s = handoff__conn_state_of(view, service);

	return handoff__conn_state_pending(&s);
}
