/* SPDX-License-Identifier: MIT */
/*
 * Connections whose socket is not complete. A ferry gives a socket that comes
 * from another host the output that was not sent there, after it has switched
 * repair mode off; a ferry that dies before that leaves a socket to which
 * nobody may write, or the stream would have a gap: until the next ferry, or
 * the helper of the dead one, has finished it.
 *
 * A mark in the record says that this is to be asked. The socket itself, and
 * the position up to which the record says that it has output, say whether it
 * is so.
 */
#ifndef HANDOFF_PEER_UNFINISHED_H
#define HANDOFF_PEER_UNFINISHED_H

#include "peer/core.h"

/* Whether its socket is in repair mode, or lacks output that it should have.
 * For a process that does not own it, too. */
bool handoff__entry_lacks(const struct handoff__roster_entry *entry);

/* Marks an entry of this peer, or clears that. */
void handoff__entry_begin(struct handoff__roster_entry *entry);
void handoff__entry_finished(struct handoff__roster_entry *entry);

/* Whether the entry, which is this peer's, may not be read, written or ended in
 * order yet. Once it may, the mark is cleared and this costs nothing. */
static inline bool
handoff__entry_marked(const struct handoff__roster_entry *entry)
{
	return (entry->view.rec->touched & HANDOFF__UNFINISHED) != 0;
}

bool handoff__entry_unfinished(struct handoff__roster_entry *entry);

#endif
