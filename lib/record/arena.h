/* SPDX-License-Identifier: MIT */
/*
 * The arena: sealed memfds ("segments") full of records, mapped by both
 * peers. Which record is free is a matter of its owner word alone, so either
 * peer may allocate in any segment; no lock exists.
 */
#ifndef HANDOFF_RECORD_ARENA_H
#define HANDOFF_RECORD_ARENA_H

#include "base/text.h"
#include "record/bulletin.h"
#include "record/owner.h"

#include <handoff/common.h>

#include <stdatomic.h>
#include <stdint.h>

#define HANDOFF__LAYOUT       5u   /* of a segment and its records */
#define HANDOFF__SLOTS        1024 /* records of a segment made here */
#define HANDOFF__SEGMENTS_MAX 256
#define HANDOFF__DESKS        128 /* of a segment, half of them each peer's */
#define HANDOFF__BUFFER_MAX   (1u << 20)
#define HANDOFF__STATE_MAX    65536u

struct handoff__record;

/* The service as a whole; lives in segment 0. */
struct handoff__board {
	_Atomic uint64_t next_id;    /* of connections, from 1 */
	_Atomic uint64_t next_other; /* of what is not a connection */
	_Atomic uint64_t generation; /* rises with every handoff */
	_Atomic uint32_t away;       /* 1: the alternate serves, see ready; 2:
					since the death of the other peer */
	handoff__owner owner;        /* the peer that serves */
	_Atomic uint32_t cause;      /* why the service was offered */
	_Atomic int64_t away_ms;     /* since when, CLOCK_REALTIME */
	_Atomic uint64_t home_id;    /* instance of the peer that is away */
	char home[HANDOFF_NAME_MAX]; /* its name, written before `away` */
	uint64_t id; /* of this arena; random, written before it is shared */
};

/* A number that was never used. Only that matters, whichever peer gets which:
 * nothing else is ordered by it. */
static inline uint64_t
handoff__board_number(struct handoff__board *board, bool connection)
{
	return atomic_fetch_add_explicit(
		connection ? &board->next_id : &board->next_other, 1,
		memory_order_relaxed);
}

/* Sizes of a segment; a private copy, never read from shared memory twice. */
struct handoff__geometry {
	uint32_t slots;
	uint32_t stride; /* of a record with its two states, bytes */
	uint32_t state_size;
	uint32_t state_version;
	uint32_t rx_size; /* input a handler may wait for; the buffer has
			     twice that, see record.c */
	uint32_t tx_size;
	uint64_t buffers;       /* offset of the first buffer */
	uint64_t buffer_stride; /* of a record's two buffers */
	uint64_t desks;         /* offset of the first, see desk.h */
	uint64_t size;          /* of the whole segment */
};

struct handoff__segment {
	int fd;
	uint32_t index;
	unsigned char *base;
	struct handoff__geometry geo;
	struct handoff__bulletin *bulletin; /* of the arena: in segment 0 */
	unsigned char *desks;               /* in the first with these sizes */
	uint64_t *maybe_free; /* a bit per slot: worth trying to allocate */
};

struct handoff__arena {
	struct handoff__segment *segments[HANDOFF__SEGMENTS_MAX];
	uint32_t count;   /* segments 0 .. count - 1 are there */
	uint32_t version; /* of the states of records that are made here */
};

/* The sizes for a service, or -EINVAL. Buffers are rounded up to a power of
 * two of at least a page. */
int handoff__geometry_make(struct handoff__geometry *geo, uint32_t state_size,
	uint32_t rx_size, uint32_t tx_size);

void handoff__arena_init(struct handoff__arena *arena);
void handoff__arena_fini(struct handoff__arena *arena);

/* Makes the next segment. */
int handoff__arena_grow(
	struct handoff__arena *arena, const struct handoff__geometry *geo);

/* Maps a segment of the other peer. Checks seals, size and layout before it
 * trusts them; takes the descriptor over in any case. */
int handoff__arena_add(struct handoff__arena *arena, uint32_t index, int fd,
	uint32_t state_size, struct handoff__error *error);

struct handoff__board *handoff__arena_board(struct handoff__arena *arena);

/* NULL if there is no such record. */
struct handoff__record *handoff__arena_record(
	const struct handoff__arena *arena, uint32_t segment, uint32_t slot);

struct handoff__record *handoff__segment_record(
	const struct handoff__segment *seg, uint32_t slot);
unsigned char *handoff__segment_buffers(
	const struct handoff__segment *seg, uint32_t slot);

/* Takes a free record for `owner` and clears it. `vacant` says whether the
 * caller's own books have the slot free. -ENOSPC if all are taken. */
typedef bool handoff__vacant_fn(void *arg, uint32_t segment, uint32_t slot);
int handoff__arena_alloc(struct handoff__arena *arena, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg, uint32_t *segment,
	uint32_t *slot);

/*
 * Clears a record that its owner is about to free: everything but the owner
 * word, and gives the pages of its buffers back if it has any. Before the
 * owner word becomes 0, so that nobody allocates it meanwhile; the id first,
 * so that a survivor that finds the rest half done knows the entry as ended.
 */
void handoff__arena_clear(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot);

/* Clears the desks of the peer in place `owner`, which has ended, and gives
 * their pages back. */
void handoff__arena_clear_desks(struct handoff__arena *arena, uint32_t owner);

/* The slot may be tried again. */
void handoff__arena_vacate(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot);

/* Gives the pages of a record's buffers back to the system. */
void handoff__arena_trim(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot);

#endif
