/* SPDX-License-Identifier: MIT */
/*
 * What a batch has to keep beyond the deaths of the processes that know it: one
 * run of bytes for each slot of the batch table, in the file of the segment
 * with the commons, behind all that is mapped. The file is sparse. It is not
 * mapped, so no process can take memory away from another one; a reader gets a
 * copy, whose length was read once and checked, and believes nothing of it.
 * Knows no sockets and no images.
 */
#ifndef HANDOFF_RECORD_KEEP_H
#define HANDOFF_RECORD_KEEP_H

#include "record/arena.h"

/* Of one slot, without its head. */
#define HANDOFF__KEEP_MAX (HANDOFF__KEEP_SIZE - HANDOFF__SEGMENT_PAGE)

/* Keeps all bytes of `from`, a memfd, for batch `id` in that slot, in place of
 * what it has. -ENOTSUP: the arena has no room for it; -EINVAL, -E2BIG,
 * -EBADMSG if the file gets shorter, or what writing gave. */
int handoff__keep_put(const struct handoff__arena *arena, uint32_t slot,
	uint64_t id, int from);

/* A copy of what that batch has kept: a memfd, sealed against every change.
 * -ENOENT if there is nothing of this batch, -EBADMSG for what cannot be. */
int handoff__keep_get(
	const struct handoff__arena *arena, uint32_t slot, uint64_t id);

/* Gives the memory back. */
void handoff__keep_drop(const struct handoff__arena *arena, uint32_t slot);

#endif
