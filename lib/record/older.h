/* SPDX-License-Identifier: MIT */
/*
 * Records of an older layout, created by an older library. This library reads
 * them, moves their entries to records of its own layout (peer/convert.c) and
 * frees them. It never processes requests in them, so no code on the request
 * path depends on them.
 *
 * The header of a segment, the bulletin, the desks, the buffers and the first
 * 64 bytes of a record, up to the commits, are the same in all layouts so far:
 * owner words, ids, positions and marks need no translation. A layout that
 * changes one of them needs more than a row of the table in older.c.
 */
#ifndef HANDOFF_RECORD_OLDER_H
#define HANDOFF_RECORD_OLDER_H

#include "record/record.h"

/* The oldest layout whose entries are taken over. An arena may also have
 * segments of even older layouts, but no entries are left in them. */
#define HANDOFF__LAYOUT_OLDEST 5u

/* Bytes of a record in front of its states; 0: there is no such layout. */
uint32_t handoff__layout_head(uint32_t layout);

static inline bool
handoff__older(const struct handoff__segment *seg)
{
	return seg->geo.layout != HANDOFF__LAYOUT;
}

/* The first or second commit (`which` is 0 or 1). Fields after
 * `line_pos` do not exist in every layout: do not read them. */
const struct handoff__commit *handoff__older_commit_at(
	const struct handoff__view *view, uint32_t which);

/* Copies the first or second commit (`which` is 0 or 1) converted to the
 * present layout. Also for records of this layout. */
void handoff__older_commit(const struct handoff__view *view, uint32_t which,
	struct handoff__commit *commit);

/* The first or second state; NULL if there is none. Also for records of this
 * layout. */
void *handoff__older_state(const struct handoff__view *view, uint32_t which);

/* That of a commit which was copied; also if it is folded. */
const void *handoff__older_state_of(
	const struct handoff__view *view, const struct handoff__commit *commit);

/* The bytes waiting in the buffers. Also for records of this layout. */
void handoff__older_waits(
	const struct handoff__view *view, uint64_t *unread, uint64_t *unsent);

#endif
