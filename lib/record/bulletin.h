/* SPDX-License-Identifier: MIT */
/*
 * The bulletin: lines that are said to clients beside what their service
 * answers. It lies in shared memory, either peer adds to it, and each
 * connection's record says how far it has heard. So a line that is in it is
 * heard once, whoever has the connection, and whoever dies.
 */
#ifndef HANDOFF_RECORD_BULLETIN_H
#define HANDOFF_RECORD_BULLETIN_H

#include <handoff/common.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOFF__LINE_MAX      (HANDOFF_SAY_MAX + 1u) /* fits any output */
#define HANDOFF__BULLETIN_SIZE 65536u                 /* bytes of lines kept */

/* Positions count bytes from the first line ever said. */
struct handoff__bulletin {
	_Atomic uint32_t writer; /* place of the peer that adds, 0: none */
	uint32_t reserved;
	_Atomic uint64_t head;  /* after the last line */
	_Atomic uint64_t tail;  /* the oldest line that is kept */
	_Atomic uint64_t heard; /* all connections have heard up to here */
	unsigned char ring[HANDOFF__BULLETIN_SIZE];
};

static inline uint64_t
handoff__bulletin_head(const struct handoff__bulletin *b)
{
	return atomic_load_explicit(&b->head, memory_order_acquire);
}

/* Up to where all connections have heard, as either peer has found. What is
 * before it may be overwritten: so the reads of those that heard it come
 * before the store (release), and that before the overwriting (acquire). */
static inline uint64_t
handoff__bulletin_heard(const struct handoff__bulletin *b)
{
	return atomic_load_explicit(&b->heard, memory_order_acquire);
}

static inline void
handoff__bulletin_set_heard(struct handoff__bulletin *b, uint64_t position)
{
	atomic_store_explicit(&b->heard, position, memory_order_release);
}

/* Adds a line for the connection `to` (0: all), at the time `now_us`. The
 * oldest make room; if any after `keep` would have to, -ENOBUFS. -EMSGSIZE,
 * -EBUSY the other peer is adding and does not come to an end. */
int handoff__bulletin_add(struct handoff__bulletin *b, uint32_t place,
	uint64_t to, const char *text, size_t len, int64_t now_us,
	uint64_t keep);

/* When the oldest line was added. */
int64_t handoff__bulletin_oldest_us(const struct handoff__bulletin *b);

/* The next line for connection `id` from `*position` on, which moves behind
 * it. `text` has HANDOFF__LINE_MAX bytes. Returns its length; 0: no more. */
size_t handoff__bulletin_read(const struct handoff__bulletin *b,
	uint64_t *position, uint64_t id, char *text);

/* The peer that has this place is dead. */
void handoff__bulletin_release(struct handoff__bulletin *b, uint32_t place);

#endif
