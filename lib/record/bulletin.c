/* SPDX-License-Identifier: MIT */
/*
 * A ring of lines with one writer at a time and any number of readers, none of
 * which waits for another. A line exists once `head` has passed it, and is gone
 * once `tail` has: a reader checks `tail` again after copying, as with a
 * seqlock.
 */
#include "record/bulletin.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#define MASK  (HANDOFF__BULLETIN_SIZE - 1)
#define TRIES 1000 /* the other peer adds a line within microseconds */

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

static void
put_bytes(
	struct handoff__bulletin *b, uint64_t at, const void *data, size_t len)
{
	size_t from = (size_t)(at & MASK);
	size_t first = HANDOFF__BULLETIN_SIZE - from;

	if (first > len)
		first = len;
	memcpy(b->ring + from, data, first);
	memcpy(b->ring, (const char *)data + first, len - first);
}

/* Validates the line: the other peer may have written anything. */
static bool
get_line(const struct handoff__bulletin *b, uint64_t at, struct line *line)
{
	get_bytes(b, at, line, sizeof(*line));
	return line->len <= HANDOFF__LINE_MAX &&
	       line->size == size_of(line->len);
}

static bool
lock_bulletin(struct handoff__bulletin *b, uint32_t place)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t none = 0;

		if (atomic_compare_exchange_strong_explicit(&b->writer, &none,
			    place, memory_order_acquire, memory_order_relaxed))
			return true;
		sched_yield();
	}
	return false;
}

void
handoff__bulletin_release(struct handoff__bulletin *b, uint32_t place)
{
	atomic_compare_exchange_strong_explicit(&b->writer, &place, 0,
		memory_order_release, memory_order_relaxed);
}

/* Drops the oldest lines until `size` bytes are free. */
static int
drop_oldest(struct handoff__bulletin *b, uint64_t head, uint32_t size,
	uint64_t keep)
{
	/* relaxed: only the lock holder moves it */
	uint64_t tail = atomic_load_explicit(&b->tail, memory_order_relaxed);
	struct line line;

	while (head + size - tail > HANDOFF__BULLETIN_SIZE) {
		if (tail >= keep)
			return -ENOBUFS;
		tail = get_line(b, tail, &line) ? tail + line.size : head;
	}
	atomic_store_explicit(&b->tail, tail, memory_order_release);
	/* a concurrent reader that sees bytes written after this point must
	 * also see the new tail */
	atomic_thread_fence(memory_order_release);
	return 0;
}

int
handoff__bulletin_add(struct handoff__bulletin *b, uint32_t place, uint64_t to,
	const char *text, size_t len, int64_t now_us, uint64_t keep)
{
	struct line line = {.to = to,
		.at_us = now_us,
		.len = (uint32_t)len,
		.size = size_of(len)};
	uint64_t head;
	int err;

	if (len == 0 || len > HANDOFF__LINE_MAX)
		return -EMSGSIZE;
	if (!lock_bulletin(b, place))
		return -EBUSY;
	head = atomic_load_explicit(&b->head, memory_order_relaxed);
	err = drop_oldest(b, head, line.size, keep);
	if (err == 0) {
		put_bytes(b, head, &line, sizeof(line));
		put_bytes(b, head + sizeof(line), text, len);
		atomic_store_explicit(
			&b->head, head + line.size, memory_order_release);
	}
	handoff__bulletin_release(b, place);
	return err;
}

int64_t
handoff__bulletin_oldest_us(const struct handoff__bulletin *b)
{
	uint64_t tail = atomic_load_explicit(&b->tail, memory_order_acquire);
	struct line line;

	return get_line(b, tail, &line) ? line.at_us : 0;
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
		head = handoff__bulletin_head(b);
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
