/* SPDX-License-Identifier: MIT */
/*
 * The mark around a program's work on an entry, see record/handling.h.
 */
#include "embed/embed.h"

#include "record/handling.h"

#include <errno.h>

/* Only the owner may set the mark in a record. */
static int
handled_here(const struct handoff_entry *e)
{
	return e && e->entry.id != 0 && e->entry.fd >= 0 && e->entry.mine
		       ? 0
		       : -EINVAL;
}

int
handoff_entry_enter(struct handoff_entry *entry)
{
	int err = handled_here(entry);

	if (err == 0)
		handoff__handler_enter(entry->entry.view.rec);
	return err;
}

int
handoff_entry_leave(struct handoff_entry *entry)
{
	int err = handled_here(entry);

	if (err == 0)
		handoff__handler_leave(entry->entry.view.rec);
	return err;
}
