/* SPDX-License-Identifier: MIT */
/*
 * Clears records and gives the memory of buffers back. Knows where all of that
 * is in a segment, and allocates nothing.
 */
#include "record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PAGE HANDOFF__SEGMENT_PAGE
/* from here on, punching a hole is faster than writing zeros */
#define MANY_PAGES 8u
/* A large state has pages of its own, and to get and to give back a few costs
 * as much as some requests: so many free records of each peer keep so many of
 * their states, and of their buffers, where the next connections find them. */
#define WARM_RECORDS 32u
#define WARM_PAGES   4u

static size_t
to_page(const unsigned char *at)
{
	return (size_t)(-(uintptr_t)at % PAGE);
}

/* Overwrites the pages of a range that are there, swapped ones too; without
 * system calls that say which are, all. False if they are more than `most`. */
static bool
overwrite(const struct handoff__segment *seg, uint64_t from, uint64_t to,
	size_t most)
{
	off_t at = (off_t)from, end = (off_t)to;

	while (at < end) {
		off_t data = lseek(seg->fd, at, SEEK_DATA), hole;

		if (data >= end || (data < 0 && errno == ENXIO))
			return true;
		at = data < 0 ? at : data;
		hole = data < 0 ? end : lseek(seg->fd, at, SEEK_HOLE);
		if (hole < 0 || hole > end)
			hole = end;
		if ((size_t)(hole - at) / PAGE > most)
			return false;
		most -= (size_t)(hole - at) / PAGE;
		memset(seg->base + at, 0, (size_t)(hole - at));
		at = hole;
	}
	return true;
}

void
handoff__segment_wipe(
	const struct handoff__segment *seg, unsigned char *from, size_t len)
{
	size_t head = to_page(from), at, pages;

	if (!seg->arena->secret)
		return;
	if (head >= len) {
		memset(from, 0, len);
		return;
	}
	at = (size_t)(from + head - seg->base);
	pages = (len - head) / PAGE * PAGE;
	memset(from, 0, head);
	overwrite(seg, at, at + pages, SIZE_MAX);
	memset(from + head + pages, 0, len - head - pages);
}

/* Zeroes a range of the segment by punching a hole. */
static int
punch(const struct handoff__segment *seg, uint64_t from, uint64_t len)
{
	handoff__segment_wipe(seg, seg->base + from, (size_t)len);
	return fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)from, (off_t)len);
}

/* ---- records ---- */

/* Those that are in use again do not count. */
static void
forget_used(struct handoff__arena *arena, struct handoff__segment *seg)
{
	for (uint32_t w = 0; w < (seg->geo.slots + 63) / 64; w++) {
		for (uint64_t left = seg->warm[w]; left; left &= left - 1) {
			uint32_t bit = (uint32_t)__builtin_ctzll(left);
			const struct handoff__record *rec =
				handoff__segment_record(seg, w * 64 + bit);

			if (handoff__owner_word(&rec->owner) == 0)
				continue;
			seg->warm[w] &= ~(UINT64_C(1) << bit);
			arena->warm--;
		}
	}
}

/* Whether the record may keep pages when it is free. */
static bool
stays_warm(struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	uint64_t *word = &arena->segments[segment]->warm[slot / 64];
	uint64_t bit = UINT64_C(1) << slot % 64;

	if (*word & bit)
		return true;
	for (uint32_t i = 0; arena->warm >= WARM_RECORDS && i < arena->count;
		i++)
		forget_used(arena, arena->segments[i]);
	if (arena->warm >= WARM_RECORDS)
		return false;
	*word |= bit;
	arena->warm++;
	return true;
}

/* Zeroes whole pages of a record that ends. */
static int
clear_pages(struct handoff__arena *arena, uint32_t segment, uint32_t slot,
	uint64_t from, uint64_t len)
{
	const struct handoff__segment *seg = arena->segments[segment];

	if ((seg->geo.stride >= MANY_PAGES * PAGE || seg->geo.fold_size > 0) &&
		stays_warm(arena, segment, slot) &&
		overwrite(seg, from, from + len, WARM_PAGES))
		return 0;
	return punch(seg, from, len);
}

/* Clears all but the owner word. No pages are allocated if it has many. */
static void
clear_record(struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	const struct handoff__segment *seg = arena->segments[segment];
	struct handoff__record *rec = handoff__segment_record(seg, slot);
	unsigned char *from = (unsigned char *)rec + sizeof(rec->owner);
	size_t len = seg->geo.stride - sizeof(rec->owner), head = to_page(from);
	size_t pages = len > head ? (len - head) / PAGE * PAGE : 0;

	if (pages < (size_t)MANY_PAGES * PAGE ||
		clear_pages(arena, segment, slot,
			(uint64_t)(from + head - seg->base), pages) < 0) {
		memset(from, 0, len);
		return;
	}
	memset(from, 0, head);
	memset(from + head + pages, 0, len - head - pages);
}

static void
clear_buffers(struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	const struct handoff__segment *seg = arena->segments[segment];
	uint64_t from = seg->geo.buffers + slot * seg->geo.buffer_stride;

	if (clear_pages(arena, segment, slot, from, seg->geo.buffer_stride) < 0)
		memset(seg->base + from, 0, seg->geo.buffer_stride);
}

void
handoff__arena_trim(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	const struct handoff__segment *seg = arena->segments[segment];

	punch(seg, seg->geo.buffers + slot * seg->geo.buffer_stride,
		2 * (uint64_t)seg->geo.rx_size + seg->geo.tx_size);
}

void
handoff__arena_trim_pass(const struct handoff__segment *seg, uint32_t slot)
{
	if (seg->geo.pass_size > 0)
		punch(seg,
			seg->geo.buffers + slot * seg->geo.buffer_stride +
				2 * (uint64_t)seg->geo.rx_size +
				seg->geo.tx_size + HANDOFF__PASS_HEAD,
			seg->geo.pass_size);
}

/* Whether its state has pages that `touched` need not tell of. */
static bool
has_state_apart(
	const struct handoff__segment *seg, const struct handoff__record *rec)
{
	return seg->geo.fold_size > 0 && !handoff__record_commit(rec)->folded;
}

void
handoff__arena_clear(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	const struct handoff__segment *seg = arena->segments[segment];
	struct handoff__record *rec = handoff__segment_record(seg, slot);

	handoff__posts_leave(
		&arena->posts, handoff__record_id(rec), segment, slot);
	if (seg->geo.layout == HANDOFF__LAYOUT)
		handoff__posts_leave(&arena->posts,
			handoff__record_session(rec), segment, slot);
	handoff__record_set_id(rec, 0);
	/* If the process dies here, the id was cleared before anything else;
	 * and a snapshot that sees anything else cleared also sees the id
	 * cleared. */
	handoff__overwriting_follows();
	/* A process that died in a turn may not have recorded that it used its
	 * buffers. The buffers are cleared before the record, which marks them
	 * as used until then. */
	if ((rec->touched & ~HANDOFF__TIMED) || seg->geo.pass_size > 0 ||
		has_state_apart(seg, rec) ||
		handoff__record_activity(rec) == HANDOFF__IN_TURN)
		clear_buffers(arena, segment, slot);
	atomic_signal_fence(memory_order_seq_cst);
	clear_record(arena, segment, slot);
}

void
handoff__arena_clear_desks(struct handoff__arena *arena, uint32_t owner)
{
	for (uint32_t i = 0; i < arena->count; i++) {
		const struct handoff__segment *seg = arena->segments[i];
		uint64_t each = HANDOFF__DESKS / 2 * seg->geo.buffer_stride;

		/* segments with the same sizes use the first one's desks */
		if (seg->desks == seg->base + seg->geo.desks)
			punch(seg, seg->geo.desks + (owner - 1) * each, each);
	}
}
