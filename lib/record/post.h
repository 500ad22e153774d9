/* SPDX-License-Identifier: MIT */
/*
 * Posts: bytes to other connections of the service, in a ring in the commons.
 * Either peer appends; each connection's record has the position up to which it
 * has taken them. So every post is taken exactly once by each connection that
 * it is for, whichever process serves that and whichever dies. Knows no sockets
 * and wakes nobody: `rang` is called when there is something new.
 */
#ifndef HANDOFF_RECORD_POST_H
#define HANDOFF_RECORD_POST_H

#include "record/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOFF__POST_SOURCES 256u
#define HANDOFF__POST_TAGS    128u /* buckets of the table of tags */
#define HANDOFF__POST_WAYS    8u
#define HANDOFF__POST_BOXES   65536u
/* how long a lock is waited for: it is held for microseconds */
#define HANDOFF__POST_WAIT_MS 100u
/* a source that was silent for so long may be replaced by another one */
#define HANDOFF__POST_SOURCE_US INT64_C(60000000)

struct handoff__arena;

/* Values of `to` in a post, and of the public enum handoff_post_to. */
enum handoff__post_to {
	HANDOFF__POST_ONE = 0,    /* connection `id` */
	HANDOFF__POST_ALL = 1,    /* every connection */
	HANDOFF__POST_OTHERS = 2, /* all but connection `id` */
	HANDOFF__POST_TAG = 3,    /* those with tag `id` */
};

/* In `flags`: nobody is told if it is dropped unread. */
#define HANDOFF__POST_LOSSY 1u

/* A post in the ring, its bytes behind it. */
struct handoff__post {
	uint32_t size; /* of header and bytes, up to the next post */
	uint32_t len;  /* bytes */
	uint16_t to, flags;
	uint32_t unused;
	uint64_t id;
	uint64_t before; /* connections from this number on, of this service
			  * directory, came later */
	uint64_t from;   /* the connection that posted it; 0: none */
	uint64_t request, source, number;
};

/* The numbers of a source that has posted, so that repeats are dropped. */
struct handoff__post_source {
	uint64_t source; /* 0: free */
	uint64_t number; /* the last one */
	int64_t at_us;
};

/* Tags of which posts were dropped: up to which position. */
struct handoff__post_tags {
	_Atomic uint64_t other; /* of any other tag in this bucket */
	struct {
		_Atomic uint64_t tag, dropped;
	} way[HANDOFF__POST_WAYS];
};

/* What is known of the posts to one connection alone: where the last one ends,
 * and the last one that was dropped. */
struct handoff__post_box {
	_Atomic uint64_t id; /* 0: free */
	_Atomic uint64_t posted, dropped;
	_Atomic uint64_t where; /* the record: (segment << 32 | slot) + 1; 0:
				 * not known */
};

/* What the holder of the lock is about to do; valid while it is armed. Once
 * it has happened the posts up to `head` exist. */
struct handoff__post_intent {
	_Atomic uint32_t armed; /* enum handoff__post_armed */
	uint32_t segment, slot; /* the record whose commit decides */
	uint32_t sequence;      /* its sequence if it has committed */
	uint64_t id;
	uint64_t head;
	uint32_t source_index;
	uint32_t unused;
	struct handoff__post_source source;
};

enum handoff__post_armed {
	HANDOFF__POST_IDLE = 0,
	HANDOFF__POST_WITH_RECORD = 1, /* with the commit of a record */
	HANDOFF__POST_AT_ONCE = 2,     /* and with it the source */
};

/* In shared memory, in front of the ring. Positions count bytes from the first
 * post ever published. */
struct handoff__post_ring {
	_Atomic uint64_t head; /* end of the last post; read at every turn */
	uint64_t pad0[7];
	_Atomic uint64_t tail;   /* start of the oldest post kept */
	_Atomic uint64_t all;    /* end of the last post to many */
	_Atomic uint64_t tagged; /* of the last one to a tag */
	_Atomic uint64_t strays; /* of the last one to a connection that has
				  * no box; 0: there was none */
	/* Of posts to many that were dropped: the end of the last one and which
	 * connection it was not for, and of the last one that was not for
	 * another one than that. Odd `dropping`: these change. */
	_Atomic uint64_t dropped, dropped_but, dropped_before;
	_Atomic uint64_t dropped_strays;
	_Atomic uint32_t boxless; /* there may be connections without a
				   * box */
	_Atomic uint32_t dropping;
	_Atomic uint64_t awake[2]; /* 1: that peer has connections */
	uint64_t pad1[5];
	struct handoff__lock lock;
	struct handoff__post_intent intent;
	struct handoff__post_source sources[HANDOFF__POST_SOURCES];
	struct handoff__post_tags tags[HANDOFF__POST_TAGS];
	struct handoff__post_box boxes[HANDOFF__POST_BOXES];
};

/* The ring as seen by this process; in its arena. */
struct handoff__posts {
	struct handoff__post_ring *_Atomic ring; /* NULL: no commons yet */
	unsigned char *bytes;
	uint32_t size;                   /* of the ring, a power of two */
	uint32_t most;                   /* bytes of the longest post */
	uint32_t self;                   /* this process as a holder */
	const _Atomic uint64_t *next_id; /* of connections, on the board */
	_Atomic uint32_t users;  /* threads that post from outside of turns */
	void (*rang)(void *arg); /* optional: there are new posts; called by
				  * any thread or child */
	void *arg;
};

/* Posts of a transaction, in memory of this process until it commits. */
struct handoff__staged {
	uint32_t len, room;
	unsigned char bytes[];
};

static inline uint64_t
handoff__posts_head(const struct handoff__post_ring *ring)
{
	return atomic_load_explicit(&ring->head, memory_order_acquire);
}

/* The bytes that a post of `len` bytes takes in the ring. */
static inline uint32_t
handoff__post_size(uint32_t len)
{
	return (uint32_t)((sizeof(struct handoff__post) + len + 7) &
			  ~(size_t)7);
}

/* The most bytes, headers included, that one transaction may post. */
static inline uint32_t
handoff__posts_batch(const struct handoff__posts *posts)
{
	return posts->size / 4;
}

/* Bytes of shared memory in front of the ring. */
#define HANDOFF__POSTS_HEAD                                                    \
	((sizeof(struct handoff__post_ring) + 4095) / 4096 * 4096)

/* Appends a post to those staged, allocating `*staged` if it is NULL. -ENOBUFS
 * beyond the batch of one transaction, -ENOMEM. */
int handoff__posts_stage(const struct handoff__posts *posts,
	struct handoff__staged **staged, const struct handoff__post *post,
	const void *data);

/*
 * Writes the staged posts behind the head and arms the intent: they exist once
 * the record in `segment` and `slot`, of entry `id`, has committed `sequence`.
 * Holds the lock until `publish` or `withdraw`. Never waits for receivers: the
 * oldest posts are dropped. -ETIMEDOUT, -EDEADLK: the lock.
 */
int handoff__posts_prepare(struct handoff__posts *posts,
	const struct handoff__staged *staged, uint32_t segment, uint32_t slot,
	uint64_t id, uint32_t sequence);
void handoff__posts_publish(struct handoff__posts *posts);
void handoff__posts_withdraw(struct handoff__posts *posts);

/* Publishes one post at once. 1: it is a repeat, by its source and number.
 * -ETIMEDOUT; -ENOSPC: there are too many sources. */
int handoff__posts_add(struct handoff__posts *posts, struct handoff__post *post,
	const void *data, int64_t now_us);

/* Publishes one post that another host has had already: its source, which the
 * receiver is told, and its number do not count here. -ETIMEDOUT, -EDEADLK: the
 * lock; -ENOBUFS: it is too long. */
int handoff__posts_carry(struct handoff__posts *posts,
	const struct handoff__post *post, const void *data);

/* Finishes or forgets what a dead holder had begun, and releases its lock.
 * `agent` as in handoff__lock_held_by. Before any record of it is repaired or
 * freed. */
void handoff__posts_recover(
	const struct handoff__arena *arena, uint32_t place, uint32_t agent);

/* What a connection is, to a post. */
struct handoff__post_reader {
	uint64_t id, tag;
	bool outgoing; /* the service has made it: no post to many is for it */
};

/* Whether posts for it may lie between `position` and the head. */
bool handoff__posts_waiting(const struct handoff__post_ring *ring,
	const struct handoff__post_reader *reader, uint64_t position);

/*
 * Finds the next post for the connection from `*position` on, and advances that
 * to its start, or to the head. 1: `*post` is it, valid like its bytes only if
 * handoff__posts_kept agrees afterwards; 0: there is none; -ENOENT: one or more
 * were dropped before it was taken, and `*position` is where to go on.
 */
int handoff__posts_find(const struct handoff__posts *posts,
	const struct handoff__post_reader *reader, uint64_t *position,
	struct handoff__post *post);

/* Copies the bytes of the post at `position`. False if it was dropped
 * meanwhile. */
bool handoff__posts_copy(const struct handoff__posts *posts, uint64_t position,
	const struct handoff__post *post, void *data);

/* The next post from `*position` on, whoever it is for, for a process that
 * wakes the receivers. False if there is none; `*missed` is set if some were
 * dropped. */
bool handoff__posts_walk(const struct handoff__posts *posts, uint64_t *position,
	struct handoff__post *post, bool *missed);

/* A new connection begins in that record; one moves to it; and it ends
 * there. */
void handoff__posts_enter(const struct handoff__arena *arena, uint64_t id,
	uint32_t segment, uint32_t slot);
void handoff__posts_move(const struct handoff__arena *arena, uint64_t id,
	uint32_t segment, uint32_t slot);
void handoff__posts_leave(const struct handoff__posts *posts, uint64_t id,
	uint32_t segment, uint32_t slot);

/* Where the record of a connection is. False if that is not known. */
bool handoff__posts_where(const struct handoff__post_ring *ring, uint64_t id,
	uint32_t *segment, uint32_t *slot);

/* -ENOENT if there is certainly no connection of that number. */
int handoff__posts_exists(const struct handoff__posts *posts, uint64_t id);

#endif
