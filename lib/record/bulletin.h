/* SPDX-License-Identifier: MIT */
/*
 * The bulletin: an operator's lines to clients, beside the answers of their
 * service. It is in shared memory, either peer appends to it, and each
 * connection's record has its read position. So every line is delivered exactly
 * once, whichever process serves the connection and whichever dies.
 */
#ifndef HANDOFF_RECORD_BULLETIN_H
#define HANDOFF_RECORD_BULLETIN_H

#include <handoff/common.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* fits into any output buffer */
#define HANDOFF__LINE_MAX (HANDOFF_SAY_MAX + 1u)
/* bytes of lines that are kept */
#define HANDOFF__BULLETIN_SIZE 65536u

/* Positions count bytes from the first line ever written. */
struct handoff__bulletin {
	_Atomic uint32_t writer; /* place of the peer that is writing, 0:
				  * none */
	uint32_t reserved;
	_Atomic uint64_t head;        /* end of the last line */
	_Atomic uint64_t tail;        /* start of the oldest line kept */
	_Atomic uint64_t read_by_all; /* all connections have read up to here */
	unsigned char ring[HANDOFF__BULLETIN_SIZE];
};

static inline uint64_t
handoff__bulletin_head(const struct handoff__bulletin *b)
{
	return atomic_load_explicit(&b->head, memory_order_acquire);
}

/* The position up to which all connections have read, as either peer has
 * determined. Bytes before it may be overwritten: so the reads of those lines
 * happen before the store (release), and the store before the overwriting
 * (acquire). */
static inline uint64_t
handoff__bulletin_read_by_all(const struct handoff__bulletin *b)
{
	return atomic_load_explicit(&b->read_by_all, memory_order_acquire);
}

static inline void
handoff__bulletin_set_read_by_all(
	struct handoff__bulletin *b, uint64_t position)
{
	atomic_store_explicit(&b->read_by_all, position, memory_order_release);
}

/* Appends a line for the connection `to` (0: all), at the time `now_us`. The
 * oldest lines are dropped to make room; -ENOBUFS if that would drop any
 * after `keep`. -EMSGSIZE; -EBUSY if the other peer is writing and does not
 * finish. */
int handoff__bulletin_add(struct handoff__bulletin *b, uint32_t place,
	uint64_t to, const char *text, size_t len, int64_t now_us,
	uint64_t keep);

/* The time at which the oldest line was added. */
int64_t handoff__bulletin_oldest_us(const struct handoff__bulletin *b);

/* Reads the next line for connection `id` from `*position` on and advances the
 * position. `text` has HANDOFF__LINE_MAX bytes. Returns the length; 0: no
 * more. */
size_t handoff__bulletin_read(const struct handoff__bulletin *b,
	uint64_t *position, uint64_t id, char *text);

/* Releases the write lock of a dead peer's place. */
void handoff__bulletin_release(struct handoff__bulletin *b, uint32_t place);

#endif
