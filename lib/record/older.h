/* SPDX-License-Identifier: MIT */
/*
 * Records of an older layout: what another library has made. They are read,
 * moved to a record of this library's own (peer/convert.c) and freed, and
 * never worked on. Nothing that a request runs through knows of them.
 *
 * The header of a segment, the bulletin, the desks, the buffers and the first
 * 64 bytes of a record, up to the commits, have been the same in all layouts:
 * so owner words, ids, positions and marks need no translation. A layout that
 * changes one of them needs more than a row of the table in older.c.
 */
#ifndef HANDOFF_RECORD_OLDER_H
#define HANDOFF_RECORD_OLDER_H

#include "record/record.h"

/* The oldest whose entries are taken over. Segments of layouts before it may
 * be in an arena, with no entry in them any more. */
#define HANDOFF__LAYOUT_OLDEST 5u

/* Bytes of a record before its states; 0: such a layout was never there. */
uint32_t handoff__layout_head(uint32_t layout);

static inline bool
handoff__older(const struct handoff__segment *seg)
{
	return seg->geo.layout != HANDOFF__LAYOUT;
}

/* Where the first or second commit is (`which` is 0 or 1), of which nothing
 * behind `line_pos` may be read: it is not there in all layouts. */
const struct handoff__commit *handoff__older_commit_at(
	const struct handoff__view *view, uint32_t which);

/* A copy of the first or second commit (`which` is 0 or 1), as one of now. For
 * records of this layout too. */
void handoff__older_commit(const struct handoff__view *view, uint32_t which,
	struct handoff__commit *commit);

/* The first or second state; NULL if there is none. Likewise. */
void *handoff__older_state(const struct handoff__view *view, uint32_t which);

/* What waits in the buffers. Likewise. */
void handoff__older_waits(
	const struct handoff__view *view, uint64_t *unread, uint64_t *unsent);

#endif
