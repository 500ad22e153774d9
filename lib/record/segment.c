/* SPDX-License-Identifier: MIT */
/*
 * Where the records of a segment are. Below arena.c and clear.c, which make and
 * clear them, and the posts, which find their receivers by it. Changes nothing.
 */
#include "record/arena.h"

struct handoff__record *
handoff__segment_record(const struct handoff__segment *seg, uint32_t slot)
{
	return (void *)(seg->base + HANDOFF__SEGMENT_HEAD +
			(size_t)slot * seg->geo.stride);
}

uint32_t
handoff__segment_slot(
	const struct handoff__segment *seg, const struct handoff__record *rec)
{
	const unsigned char *at = (const unsigned char *)rec;
	const unsigned char *first = seg->base + HANDOFF__SEGMENT_HEAD;

	return (uint32_t)((size_t)(at - first) / seg->geo.stride);
}

struct handoff__record *
handoff__arena_record(
	const struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	if (segment >= arena->count ||
		slot >= arena->segments[segment]->geo.slots)
		return NULL;
	return handoff__segment_record(arena->segments[segment], slot);
}

unsigned char *
handoff__segment_buffers(const struct handoff__segment *seg, uint32_t slot)
{
	return seg->base + seg->geo.buffers + slot * seg->geo.buffer_stride;
}
