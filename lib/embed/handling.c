/* SPDX-License-Identifier: MIT */
/*
 * The mark around a program's work on an entry, see record/handling.h.
 */
#include "embed/embed.h"

#include "record/handling.h"

#include <errno.h>

/* Only the owner may set the mark in a record. */
int
handoff_entry_enter(struct handoff_entry *entry)
{
	if (!handoff__embed_serves(entry))
		return -EINVAL;
	handoff__handler_enter(entry->entry.view.rec);
	return 0;
}

int
handoff_entry_leave(struct handoff_entry *entry)
{
	if (!handoff__embed_serves(entry))
		return -EINVAL;
	handoff__handler_leave(entry->entry.view.rec);
	return 0;
}
