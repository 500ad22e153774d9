/* SPDX-License-Identifier: MIT */
/*
 * The same, asked by others between turns.
 */
#include "server/sight.h"

#include "server/conn.h"

bool
handoff__conn_due(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__sight s = handoff__sight_of(view, service);

	return handoff__sight_due(&s);
}

uint32_t
handoff__conn_want(const struct handoff__view *view)
{
	struct handoff__sight s = handoff__sight_of(view, NULL);

	return handoff__sight_want(&s);
}

bool
handoff__conn_pending(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__sight s = handoff__sight_of(view, service);

	return handoff__sight_pending(&s);
}
