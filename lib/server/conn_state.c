/* SPDX-License-Identifier: MIT */
/*
 * The same queries, for use between turns.
 */
#include "server/conn_state.h"

#include "base/loop.h"
#include "server/conn.h"

int
handoff__conn_left_ms(const struct handoff__record *rec)
{
	uint64_t now, deadline = rec->touched & HANDOFF__TIMED
					 ? handoff__record_deadline(rec)
					 : 0;

	if (deadline == 0)
		return -1;
	now = handoff__boot_ms();
	if (deadline <= now)
		return 0;
	return deadline - now < HANDOFF__DEADLINE_WAIT_MS
		       ? (int)(deadline - now)
		       : HANDOFF__DEADLINE_WAIT_MS;
}

bool
handoff__conn_due(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__conn_state s = handoff__conn_state_of(view, service);

	return handoff__conn_state_due(&s) ||
	       handoff__conn_left_ms(view->rec) == 0;
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

	return handoff__conn_state_pending(&s) ||
	       handoff__conn_left_ms(view->rec) == 0;
}

bool
handoff__conn_idle(
	const struct handoff__view *view, const struct handoff_service *service)
{
	struct handoff__conn_state s = handoff__conn_state_of(view, service);
	uint32_t flags = s.commit->flags;

	return !handoff__conn_state_posts_due(&s) &&
	       handoff__conn_left_ms(view->rec) != 0 &&
	       !handoff__conn_state_take_due(&s) &&
	       !(handoff__conn_state_pass(&s) &
		       (HANDOFF__PASS_SETTLE | HANDOFF__PASS_TELL)) &&
	       !(flags &
		       (HANDOFF__PAIR_OVER | HANDOFF__CLOSING | HANDOFF__GONE));
}
