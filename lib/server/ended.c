/* SPDX-License-Identifier: MIT */
/*
 * The last transaction of a connection: the service's `ended`, once it has
 * ended, or will when its client has. Sends nothing.
 */
#include "record/handling.h"
#include "server/turn.h"

/* Whether the service's hook is to run, and may. What killed two processes is
 * not tried a third time, and what killed one only when it is tried alone. */
static bool
runs_ended(const struct handoff__view *view,
	const struct handoff_service *service, enum handoff__end why)
{
	const struct handoff__geometry *geo = &view->seg->geo;
	uint32_t flags, deaths = handoff__handler_deaths(view->rec);

	if (!service->ended || geo->layout != HANDOFF__LAYOUT ||
		geo->state_version != service->state_version)
		return false;
	flags = handoff__record_commit(view->rec)->flags;
	if ((flags & HANDOFF__ENDED) || deaths > HANDOFF__DEATHS_MOST)
		return false;
	if (flags & HANDOFF__ENDING)
		return deaths < HANDOFF__DEATHS_MOST &&
		       why != HANDOFF__END_SUSPECT;
	return (flags & HANDOFF__OPENED) || !service->open;
}

/* The transaction of the hook: there is no input and no room. False if it has
 * waited for the shared region in vain: then it has not run. */
static bool
run_ended(struct turn *t, enum handoff__end why, uint32_t how)
{
	const struct handoff_service *service = t->now.service;
	struct handoff__commit *next;

	handoff__txn_again(&t->txn);
	next = t->txn.next;
	next->flags |= HANDOFF__ENDED | (uint32_t)HANDOFF_CONN_ENDED
						<< HANDOFF__REASON_SHIFT;
	/* one that was set with the close bounds how long it may linger */
	if (!(how & HANDOFF__ENDED_LINGERS))
		next->deadline = 0;
	t->txn.rx_head = next->rx_tail;
	t->txn.tx_tail = next->tx_head - t->now.view->seg->geo.tx_size;
	handoff__handler_enter(t->txn.view.rec);
	service->ended(&t->txn, (enum handoff_end_reason)why, service->arg);
	handoff__handler_leave(t->txn.view.rec);
	if ((next->flags & HANDOFF__SHARED_LATE) &&
		!(how & HANDOFF__ENDED_AT_ONCE)) {
		handoff__effects_undo(t);
		return false;
	}
	handoff__effects_flip(t);
	return true;
}

bool
handoff__conn_ended(const struct handoff__view *view, int fd,
	const struct handoff_service *service, enum handoff__end why,
	uint32_t how)
{
	struct handoff__turn_result result;
	struct turn t = {.result = &result};
	uint32_t flags = HANDOFF__CLOSING | HANDOFF__ENDING;

	if (!runs_ended(view, service, why))
		return true;
	why = handoff__turn_noted(
		handoff__record_commit(view->rec)->flags, why);
	flags |= (uint32_t)why << HANDOFF__END_SHIFT;
	/* a survivor has to look at it */
	handoff__record_mark(view->rec, HANDOFF__PENDING);
	handoff__record_flag(view,
		how & HANDOFF__ENDED_LINGERS ? flags : flags | HANDOFF__OVER);
	t.txn.view = *view;
	t.txn.fd = fd;
	t.now.view = &t.txn.view;
	t.now.service = service;
	handoff__conn_state_load(&t.now);
	return run_ended(&t, why, how);
}
