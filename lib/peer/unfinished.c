/* SPDX-License-Identifier: MIT */
/*
 * Compares a record with its socket. Finishes none, and lets nobody wait.
 */
#include "peer/unfinished.h"

#include "base/progress.h"
#include "base/still.h"
#include "record/older.h"

/* Without counters, or without a connection, there is nothing to wait for; and
 * a session that has none has no use for its socket. */
bool
handoff__entry_lacks(const struct handoff__roster_entry *e)
{
	struct handoff__progress progress;
	uint64_t due;

	if (e->kind != HANDOFF__CONNECTION)
		return false;
	if (handoff__still_in_repair(e->fd))
		return true;
	if (!handoff__older(e->view.seg) &&
		handoff__record_absent(e->view.rec) != 0)
		return false;
	due = handoff__record_due(&e->view);
	return handoff__progress(e->fd, &progress) == 0 &&
	       handoff__record_lacks(
		       e->view.rec, due, progress.written, progress.ended);
}

void
handoff__entry_begin(struct handoff__roster_entry *e)
{
	e->view.rec->touched |= HANDOFF__UNFINISHED;
}

/* The mark goes first: without it what is owed says nothing. */
void
handoff__entry_finished(struct handoff__roster_entry *e)
{
	e->view.rec->touched &= (uint8_t)~HANDOFF__UNFINISHED;
	if (!handoff__older(e->view.seg))
		atomic_store(&e->view.rec->extra.owed, 0);
}

bool
handoff__entry_unfinished(struct handoff__roster_entry *e)
{
	if (!handoff__entry_marked(e))
		return false;
	if (handoff__entry_lacks(e))
		return true;
	handoff__entry_finished(e);
	return false;
}
