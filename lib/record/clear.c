/* SPDX-License-Identifier: MIT */
/*
 * Clears records and gives the memory of buffers back. Knows where all of that
 * is in a segment, and allocates nothing.
 */
#include "record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE        HANDOFF__SEGMENT_PAGE
#define PAGES_ASKED 64u /* by one mincore(2) */
/* from here on, punching a hole is faster than writing zeros */
#define MANY_PAGES 8u

static size_t
to_page(const unsigned char *at)
{
	return (size_t)(-(uintptr_t)at % PAGE);
}

/* Of whole pages. A system that does not say which ones are there gets more. */
static void
wipe_pages(unsigned char *from, size_t pages)
{
	unsigned char there[PAGES_ASKED];

	while (pages > 0) {
		size_t n = pages < PAGES_ASKED ? pages : PAGES_ASKED;
		bool known = mincore(from, n * PAGE, there) == 0;

		for (size_t i = 0; i < n; i++) {
			if (!known || (there[i] & 1))
				memset(from + i * PAGE, 0, PAGE);
		}
		from += n * PAGE;
		pages -= n;
	}
}

void
handoff__segment_wipe(
	const struct handoff__segment *seg, unsigned char *from, size_t len)
{
	size_t head = to_page(from);

	if (!seg->arena->secret)
		return;
	if (head >= len) {
		memset(from, 0, len);
		return;
	}
	memset(from, 0, head);
	len -= head;
	wipe_pages(from + head, len / PAGE);
	memset(from + head + len / PAGE * PAGE, 0, len % PAGE);
}

/* Zeroes a range of the segment by punching a hole. */
static int
punch(const struct handoff__segment *seg, uint64_t from, uint64_t len)
{
	handoff__segment_wipe(seg, seg->base + from, (size_t)len);
	return fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)from, (off_t)len);
}

/* Like memset(3), but does not allocate pages if the range has many. Only for
 * memory that this peer owns. */
static void
zero(const struct handoff__segment *seg, unsigned char *from, size_t len)
{
	size_t head = to_page(from);
	size_t pages = len > head ? (len - head) / PAGE * PAGE : 0;

	if (pages < (size_t)MANY_PAGES * PAGE ||
		punch(seg, (uint64_t)(from + head - seg->base), pages) < 0) {
		memset(from, 0, len);
		return;
	}
	memset(from, 0, head);
	memset(from + head + pages, 0, len - head - pages);
}

/* Clears all but the owner word. */
static void
record_zero(const struct handoff__segment *seg, struct handoff__record *rec)
{
	zero(seg, (unsigned char *)rec + sizeof(rec->owner),
		seg->geo.stride - sizeof(rec->owner));
}

static int
punch_buffers(const struct handoff__segment *seg, uint32_t slot)
{
	return punch(seg, seg->geo.buffers + slot * seg->geo.buffer_stride,
		seg->geo.buffer_stride);
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
			seg->geo.buffers + (slot + 1) * seg->geo.buffer_stride -
				seg->geo.pass_size,
			seg->geo.pass_size);
}

void
handoff__arena_clear(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	struct handoff__segment *seg = arena->segments[segment];
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
	if (((rec->touched & ~HANDOFF__TIMED) || seg->geo.pass_size > 0 ||
		    handoff__record_activity(rec) == HANDOFF__IN_TURN) &&
		punch_buffers(seg, slot) < 0)
		memset(handoff__segment_buffers(seg, slot), 0,
			seg->geo.buffer_stride);
	atomic_signal_fence(memory_order_seq_cst);
	record_zero(seg, rec);
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
