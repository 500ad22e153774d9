/* SPDX-License-Identifier: MIT */
/*
 * Decides whether an input killed the process that handled it. All handlers
 * that run when a process dies are suspects: any of them may be the cause. A
 * connection in whose handler a second process has died is given up. The layer
 * above decides what a suspect may do until then.
 */
#include "peer/blame.h"

#include "peer/core.h"
#include "record/handling.h"

const char *
handoff__entry_blame(
	struct handoff__roster_entry *e, struct handoff__survival *survival)
{
	struct handoff__record *rec = e->view.rec;

	survival->in_handler += handoff__handler_died(rec);
	/* A survivor may have counted it and died before it could end it. */
	return handoff__entry_poisoned(e)
		       ? "two processes died in its handler, on the same input"
		       : NULL;
}

bool
handoff__entry_poisoned(const struct handoff__roster_entry *e)
{
	return e->kind == HANDOFF__CONNECTION &&
	       handoff__handler_deaths(e->view.rec) >= HANDOFF__DEATHS_MOST;
}

bool
handoff__entry_suspected(const struct handoff__roster_entry *e)
{
	return e->mine && e->kind == HANDOFF__CONNECTION &&
	       handoff__handler_deaths(e->view.rec) > 0;
}

uint32_t
handoff__pair_suspects(struct handoff__pair *pair)
{
	struct handoff__roster_entry *e = NULL;
	uint32_t count = 0;

	while ((e = handoff__roster_next(&pair->roster, e)))
		count += handoff__entry_suspected(e);
	return count;
}
