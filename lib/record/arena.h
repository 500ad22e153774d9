/* SPDX-License-Identifier: MIT */
/*
 * The arena: sealed memfds ("segments") full of records, mapped by both peers.
 * A record's owner word alone says whether it is free, so either peer may
 * allocate in any segment without a lock.
 */
#ifndef HANDOFF_RECORD_ARENA_H
#define HANDOFF_RECORD_ARENA_H

#include "base/text.h"
#include "record/bulletin.h"
#include "record/lock.h"
#include "record/owner.h"
#include "record/post.h"

#include <handoff/service.h>

#include <stdatomic.h>
#include <stdint.h>

/* layout version of segments created here, see older.h */
#define HANDOFF__LAYOUT       6u
#define HANDOFF__SLOTS        1024 /* records of a segment created here */
#define HANDOFF__SEGMENTS_MAX 256
#define HANDOFF__DESKS        128 /* per segment, half of them for each peer */
#define HANDOFF__BUFFER_MAX   (1u << 20)
#define HANDOFF__STATE_PLAIN  65536u /* of a service's own state */
/* with what a service that wraps it keeps */
#define HANDOFF__STATE_MAX                                                     \
	(2u * HANDOFF__STATE_PLAIN + 2u * HANDOFF__BUFFER_MAX)
/* the commons: what belongs to the whole service, see handoff__geometry */
#define HANDOFF__GROUPS       128 /* redo lists, half of them for each peer */
#define HANDOFF__GROUP_SIZE   4096u
#define HANDOFF__BATCHES      64 /* of moves to and from other hosts; their */
#define HANDOFF__BATCHES_SIZE 4096u /* table is a page */
#define HANDOFF__TENURE_SIZE  4096u /* of the host's lease, see tenure.h */
#define HANDOFF__KEEP_SIZE    (UINT64_C(1) << 30) /* for each, see keep.h */
#define HANDOFF__POSTS_SIZE   (1u << 20)          /* of the ring, by default */
#define HANDOFF__SHARED_HEAD  4096u /* in front of the shared region, and of */
#define HANDOFF__UNDO_SIZE    HANDOFF_SHARED_UNDO /* its undo log */
#define HANDOFF__SHARED_MAX   HANDOFF_SHARED_MAX
#define HANDOFF__PASS_HEAD    4096u /* in front of a ring to a pair */
/* A state that grows and may be longer than this lies apart from its record;
 * while nothing happens one of at most so many bytes rests beside it. */
#define HANDOFF__FOLD_FROM 8192u
#define HANDOFF__FOLD_SIZE 768u

struct handoff__record;

/* The state of the whole service; in segment 0. */
struct handoff__board {
	_Atomic uint64_t next_id;    /* of connections, from 1 */
	_Atomic uint64_t next_other; /* of other entries */
	_Atomic uint64_t generation; /* increases with every handoff */
	_Atomic uint32_t away;       /* enum handoff__away: 1 maintenance, 2
				      * failover */
	handoff__owner owner;        /* the peer that serves */
	_Atomic uint32_t cause;      /* why the service was offered */
	_Atomic int64_t away_ms;     /* since when, CLOCK_REALTIME */
	_Atomic uint64_t home_id;    /* instance of the home peer */
	char home[HANDOFF_NAME_MAX]; /* name of the home peer, written before
				      * `away` */
	uint64_t id; /* of this arena; random, set before it is shared */
};

#define HANDOFF__ORIGIN_SHIFT 48
#define HANDOFF__ORIGIN_MAX   0x7fffu

/* Lets the numbers of a new arena begin below `origin`, which no other service
 * directory has: an id never changes, wherever its entry goes. Bit 63 is that
 * of entries that are no connections. */
static inline void
handoff__board_begin(struct handoff__board *board, uint32_t origin)
{
	atomic_store(&board->next_id,
		((uint64_t)origin << HANDOFF__ORIGIN_SHIFT) + 1);
	atomic_store(
		&board->next_other, (uint64_t)origin << HANDOFF__ORIGIN_SHIFT);
}

/* A number that was never used. Relaxed: only uniqueness matters, nothing else
 * is ordered by it. */
static inline uint64_t
handoff__board_number(struct handoff__board *board, bool connection)
{
	return atomic_fetch_add_explicit(
		connection ? &board->next_id : &board->next_other, 1,
		memory_order_relaxed);
}

/* The sizes of a segment; a private copy, so that shared memory is read only
 * once. */
struct handoff__geometry {
	uint32_t layout;
	uint32_t slots;
	uint32_t stride; /* of a record with its two states, or its fold */
	uint32_t state_size;
	uint32_t half;      /* from the first of the two states to the second */
	uint32_t fold_size; /* of the fold, see state.c, and the states are
			     * behind the buffers; 0: they follow the record */
	uint32_t state_version;
	uint32_t rx_size; /* input that a handler may wait for; the buffer has
			   * twice that, see record.c */
	uint32_t tx_size;
	uint64_t buffers;       /* offset of the first record's buffers */
	uint64_t buffer_stride; /* of a record's two buffers, and what else is
				 * behind them */
	uint64_t desks;         /* offset of the first desk, see desk.h */
	/* In the first segment of this layout, the rest of which have no
	 * commons: the redo lists, the table of batches, the tenure, the ring
	 * of posts with its head, and the shared region with its head and undo
	 * log. */
	uint32_t pass_size;   /* of the ring to the connection's pair, or 0 */
	uint32_t posts_size;  /* 0: the segment has no commons */
	uint32_t shared_size; /* room for the shared region, by default the
			       * most: it is sparse, and a program that uses
			       * it may join one that does not */
	uint64_t groups;      /* offsets */
	uint64_t batches;
	uint64_t tenure;
	uint64_t posts;
	uint64_t shared;
	uint64_t size; /* of the whole segment, as far as it is mapped */
	uint64_t file; /* of its file: with what the batches keep behind it */
};

struct handoff__segment {
	int fd;
	uint32_t index;
	uint32_t self; /* name of this process in locks, see lock.h */
	unsigned char *base;
	struct handoff__geometry geo;
	const struct handoff__arena *arena;
	struct handoff__bulletin *bulletin;     /* of the arena, in segment 0 */
	const struct handoff__segment *commons; /* the one that has them; NULL:
						 * none yet */
	struct handoff__post_ring *ring;        /* in it */
	struct handoff__posts *posts;           /* of the arena */
	unsigned char *desks; /* in the first segment with these
			       * sizes */
	uint64_t *maybe_free; /* bit per slot: may be free */
	uint64_t *warm;       /* behind that: was freed by this peer and kept
			       * its pages; it may be in use again */
};

struct handoff__arena {
	struct handoff__segment *segments[HANDOFF__SEGMENTS_MAX];
	uint32_t count;   /* segments 0 .. count - 1 exist */
	uint32_t version; /* state version of records created here */
	uint32_t self;    /* name of this process in locks */
	uint32_t warm;    /* bits in the segments' */
	bool secret;      /* memory is overwritten before it is given back */
	bool lock;        /* segments are locked in memory when mapped */
	struct handoff__posts posts;
	const void *above; /* for the layer above, which gets at it from a
			    * record; NULL */
};

/* Computes the sizes for a service, or returns -EINVAL. Buffer sizes are
 * rounded up to a power of two of at least a page. */
int handoff__geometry_make(struct handoff__geometry *geo, uint32_t state_size,
	uint32_t rx_size, uint32_t tx_size);

/* Adds what only some services need; 0: the default, which for `pass_size` is
 * none. Rings are rounded up like buffers. -EINVAL. */
int handoff__geometry_extend(struct handoff__geometry *geo, uint32_t pass_size,
	uint32_t posts_size, uint32_t shared_size);

/* For states that grow: with a fold, if they can be large. */
void handoff__geometry_fold(struct handoff__geometry *geo);

/* Its owner sets `secret` and `lock` then, before there is a segment. */
void handoff__arena_init(struct handoff__arena *arena);
/* Leaves it as initialised; this process keeps its name. */
void handoff__arena_fini(struct handoff__arena *arena);

/* Sets the name of this process in locks, also of segments to come. A forked
 * child has one of its own. */
void handoff__arena_name(struct handoff__arena *arena, uint32_t self);

/* Whether this process may lock `len` bytes more; a negative errno with a
 * sentence on what to do. */
int handoff__arena_may_lock(uint64_t len, struct handoff__error *error);

/* Creates the next segment; the first one of this layout has the commons. */
int handoff__arena_grow(
	struct handoff__arena *arena, const struct handoff__geometry *geo);

/* Maps a segment of the other peer, after checking its seals, size and layout;
 * takes the descriptor over, also on failure. */
int handoff__arena_add(struct handoff__arena *arena, uint32_t index, int fd,
	uint32_t state_size, struct handoff__error *error);

/* The segment with the commons; NULL if all are of an older layout. */
static inline const struct handoff__segment *
handoff__arena_commons(const struct handoff__arena *arena)
{
	return arena->count > 0 ? arena->segments[0]->commons : NULL;
}

struct handoff__board *handoff__arena_board(const struct handoff__arena *arena);

#define HANDOFF__SEGMENT_PAGE 4096u
/* The first record of a segment is behind a page for its header, and the
 * bulletin. */
#define HANDOFF__SEGMENT_HEAD                                                  \
	(HANDOFF__SEGMENT_PAGE + (sizeof(struct handoff__bulletin) +           \
					 HANDOFF__SEGMENT_PAGE - 1) /          \
					 HANDOFF__SEGMENT_PAGE *               \
					 HANDOFF__SEGMENT_PAGE)

/* segment.c, which posts find records by, too */
struct handoff__record *handoff__segment_record(
	const struct handoff__segment *seg, uint32_t slot);
uint32_t handoff__segment_slot(
	const struct handoff__segment *seg, const struct handoff__record *rec);
/* NULL if there is no such record. */
struct handoff__record *handoff__arena_record(
	const struct handoff__arena *arena, uint32_t segment, uint32_t slot);
unsigned char *handoff__segment_buffers(
	const struct handoff__segment *seg, uint32_t slot);

/* Overwrites a part of a segment, as far as it has pages, if the arena is
 * secret: before they go back to the system, which may leave what is in them
 * there for long. Only for memory that this peer owns. */
void handoff__segment_wipe(
	const struct handoff__segment *seg, unsigned char *from, size_t len);

/* Allocates a free record for `owner`, with no byte of its states in use.
 * `vacant` says whether the slot is free in the caller's roster. -ENOSPC if
 * there is none. */
typedef bool handoff__vacant_fn(void *arg, uint32_t segment, uint32_t slot);
int handoff__arena_alloc(struct handoff__arena *arena, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg, uint32_t *segment,
	uint32_t *slot);

/* The same in a segment of this layout, of exactly the state size and version
 * of `geo`, and buffers and a ring to a pair at least as large; `owner` may be
 * any word. */
int handoff__arena_alloc_fit(struct handoff__arena *arena,
	const struct handoff__geometry *geo, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg, uint32_t *segment,
	uint32_t *slot);

/* How many records it could allocate at this moment, at most `most`, without a
 * look at anybody's roster. */
uint32_t handoff__arena_count_fit(const struct handoff__arena *arena,
	const struct handoff__geometry *geo, uint32_t most);

/*
 * clear.c: clears a record that its owner is about to free, except for the
 * owner word, and returns its pages, but for a few that a large state and its
 * buffers may keep. Call it before the owner word becomes 0, so that no peer
 * allocates it meanwhile. The id is cleared first: a survivor that finds the
 * rest half done then knows that the entry has ended.
 */
void handoff__arena_clear(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot);

/* Clears the desks of the peer in place `owner`, which has ended, and returns
 * their pages. */
void handoff__arena_clear_desks(struct handoff__arena *arena, uint32_t owner);

/* Marks the slot as possibly free. */
void handoff__arena_vacate(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot);

/* Returns the pages of a record's buffers to the system, except for its ring to
 * a pair; the pages of that ring. */
void handoff__arena_trim(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot);
void handoff__arena_trim_pass(
	const struct handoff__segment *seg, uint32_t slot);

#endif
