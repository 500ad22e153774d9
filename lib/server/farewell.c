/* SPDX-License-Identifier: MIT */
/*
 * A service's last words, in one transaction with the mark that the connection
 * ends with the server. In the loop's thread, in whatever model: no other one
 * has the connection then, and nothing is left to do for a process that dies
 * here, since no other peer takes over.
 */
#include "record/handling.h"
#include "server/turn.h"

/* Whether the hook is to run, and may: never where a process has died. */
static bool
runs_farewell(
	const struct handoff__view *view, const struct handoff_service *service)
{
	const struct handoff__geometry *geo = &view->seg->geo;
	uint32_t flags;

	if (!service->farewell || geo->layout != HANDOFF__LAYOUT ||
		geo->state_version != service->state_version ||
		handoff__handler_deaths(view->rec) > 0)
		return false;
	flags = handoff__record_commit(view->rec)->flags;
	return !(flags & (HANDOFF__NO_OUTPUT | HANDOFF__RESUMING)) &&
	       ((flags & HANDOFF__OPENED) || !service->open);
}

/* False: nothing of it is true. */
static bool
run_farewell(struct turn *t, uint32_t end)
{
	const struct handoff_service *service = t->now.service;
	int rc;

	handoff__txn_again(&t->txn);
	t->txn.next->flags |=
		HANDOFF__OPENED | (uint32_t)HANDOFF_CONN_FAREWELL
					  << HANDOFF__REASON_SHIFT;
	handoff__handler_enter(t->txn.view.rec);
	rc = service->farewell(&t->txn, service->arg);
	handoff__handler_leave(t->txn.view.rec);
	if (rc != 0) {
		handoff__effects_undo(t);
		return false;
	}
	t->txn.next->flags &= ~(uint32_t)HANDOFF__END;
	t->txn.next->flags |= end;
	return handoff__effects_commit(t, t->now.commit) >= 0;
}

void
handoff__conn_farewell(const struct handoff__view *view, int fd,
	const struct handoff_service *service)
{
	struct handoff__turn_result result;
	struct turn t = {.result = &result};
	uint32_t end = HANDOFF__CLOSING | (uint32_t)HANDOFF__END_STOP
						  << HANDOFF__END_SHIFT;

	t.txn.view = *view;
	t.txn.fd = fd;
	t.now.view = &t.txn.view;
	t.now.service = service;
	handoff__conn_state_load(&t.now);
	if (!runs_farewell(view, service) || !run_farewell(&t, end))
		handoff__record_flag(view, end);
}
