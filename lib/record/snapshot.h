/* SPDX-License-Identifier: MIT */
/*
 * A copy of what a record says, taken while its owner, be it this thread,
 * another one or another process, works on it.
 */
#ifndef HANDOFF_RECORD_SNAPSHOT_H
#define HANDOFF_RECORD_SNAPSHOT_H

#include "record/record.h"

struct handoff__snapshot {
	uint64_t id;
	uint32_t owner, kind, activity, flags;
	uint64_t received, consumed, produced, sent;
	uint32_t deaths;  /* in the handler, see handling.h */
	bool handling;    /* it runs */
	uint32_t in, out; /* bytes copied of the buffered input and output */
	bool unstable;    /* it never held still, or is damaged: what is here
			     may not fit together */
};

/*
 * Copies the record: the state to `state` (state_size bytes; NULL: not
 * wanted), of the buffered input and output the first `most` bytes each to
 * `bytes`, the output right behind the input. Never waits for the owner: when
 * it has tried often enough it keeps what it has and says `unstable`. False if
 * the record is free, or has another entry in it before all is copied.
 */
bool handoff__snapshot_take(struct handoff__snapshot *snap,
	const struct handoff__view *view, void *state, unsigned char *bytes,
	size_t most);

#endif
