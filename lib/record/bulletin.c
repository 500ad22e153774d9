/* SPDX-License-Identifier: MIT */
/*
 * A ring of lines with one writer at a time, an older library, which no reader
 * waits for. A line exists once `head` has passed it, and is gone once `tail`
 * has: a reader checks `tail` again after copying, as with a seqlock.
 */
#include "record/bulletin.h"

#include <stdbool.h>
#include <string.h>

#define MASK (HANDOFF__BULLETIN_SIZE - 1)

struct line {
	uint64_t to;
	int64_t at_us;
	uint32_t len;
	uint32_t size; /* of header and text, up to the next line */
};

static uint32_t
size_of(size_t len)
{
	return (uint32_t)((sizeof(struct line) + len + 7) & ~(size_t)7);
}

static void
get_bytes(
	const struct handoff__bulletin *b, uint64_t at, void *data, size_t len)
{
	size_t from = (size_t)(at & MASK);
	size_t first = HANDOFF__BULLETIN_SIZE - from;

	if (first > len)
		first = len;
	memcpy(data, b->ring + from, first);
	memcpy((char *)data + first, b->ring, len - first);
}

/* Validates the line: the other peer may have written anything. */
static bool
get_line(const struct handoff__bulletin *b, uint64_t at, struct line *line)
{
	get_bytes(b, at, line, sizeof(*line));
	return line->len <= HANDOFF__LINE_MAX &&
	       line->size == size_of(line->len);
}

/* Reads one line; false if it was overwritten meanwhile. */
static bool
read_line(const struct handoff__bulletin *b, uint64_t at, struct line *line,
	char *text)
{
	bool ok = get_line(b, at, line);

	if (ok)
		get_bytes(b, at + sizeof(*line), text, line->len);
	else
		line->size = 0;
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&b->tail, memory_order_relaxed) <= at;
}

size_t
handoff__bulletin_read(const struct handoff__bulletin *b, uint64_t *position,
	uint64_t id, char *text)
{
	uint64_t head;

	for (;;) {
		uint64_t tail;
		struct line line;

		/* Loaded once, and before `tail`: a line that is added after
		 * this is left for the next call. */
		head = atomic_load_explicit(&b->head, memory_order_acquire);
		tail = atomic_load_explicit(&b->tail, memory_order_acquire);
		if (*position < tail)
			*position = tail;
		if (*position >= head || head - tail > HANDOFF__BULLETIN_SIZE)
			break;
		if (!read_line(b, *position, &line, text))
			continue;
		if (line.size == 0)
			break;
		*position += line.size;
		if (line.to == 0 || line.to == id)
			return line.len;
	}
	*position = head;
	return 0;
}
