/* SPDX-License-Identifier: MIT */
/*
 * The readers' side of the ring of posts, which takes no lock: a reader checks
 * the tail again after it has copied, as with a seqlock. And the boxes, by
 * which a post to one connection wakes that one alone, and is missed by it
 * alone.
 */
#include "record/post.h"

#include "record/arena.h"
#include "record/post_ring.h"
#include "record/record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PROBES 16u
#define SPAN   UINT64_C(1024)
#define TRIES  1000

static_assert(SPAN << (PROBES / 4 - 1) * 2 == HANDOFF__POST_BOXES,
	"the last probes are among all boxes");

static void
get_bytes(
	const struct handoff__posts *posts, uint64_t at, void *data, size_t len)
{
	size_t from = (size_t)(at & (posts->size - 1));
	size_t first = posts->size - from;

	if (first > len)
		first = len;
	memcpy(data, posts->bytes + from, first);
	memcpy((char *)data + first, posts->bytes, len - first);
}

bool
handoff__post_get(const struct handoff__posts *posts, uint64_t at,
	struct handoff__post *post)
{
	get_bytes(posts, at, post, sizeof(*post));
	return post->len <= handoff__posts_batch(posts) &&
	       post->size == handoff__post_size(post->len);
}

/* First among the first SPAN boxes, then among ever more, so that connections
 * which come and go use few pages. */
static struct handoff__post_box *
box_at(struct handoff__post_ring *ring, uint64_t id, uint32_t probe)
{
	uint64_t span = SPAN << probe / 4 * 2;

	return &ring->boxes[(id % span + probe) % HANDOFF__POST_BOXES];
}

struct handoff__post_box *
handoff__post_box(struct handoff__post_ring *ring, uint64_t id)
{
	for (uint32_t i = 0; i < PROBES; i++) {
		struct handoff__post_box *box = box_at(ring, id, i);

		if (atomic_load_explicit(&box->id, memory_order_acquire) == id)
			return box;
	}
	return NULL;
}

static uint64_t
place_of(uint32_t segment, uint32_t slot)
{
	return ((uint64_t)segment << 32 | slot) + 1;
}

static struct handoff__record *
record_at(const struct handoff__arena *arena, uint64_t where)
{
	return where > 0 ? handoff__arena_record(arena,
				   (uint32_t)((where - 1) >> 32),
				   (uint32_t)(where - 1))
			 : NULL;
}

/* Frees the box of a connection that is gone: its process died before it could
 * do so. */
static void
evict(const struct handoff__arena *arena, struct handoff__post_box *box,
	uint64_t id)
{
	uint64_t where = handoff__post_mark(&box->where);
	const struct handoff__record *rec = record_at(arena, where);

	if (rec && handoff__record_id(rec) != id &&
		handoff__record_session(rec) != id &&
		atomic_compare_exchange_strong(&box->where, &where, 0))
		atomic_compare_exchange_strong(&box->id, &id, 0);
}

/* Takes a free box. */
static bool
box_claim(struct handoff__post_box *box, uint64_t id, uint64_t where)
{
	uint64_t none = 0;

	if (!atomic_compare_exchange_strong(&box->id, &none, id))
		return false;
	handoff__post_set(&box->posted, 0);
	handoff__post_set(&box->dropped, 0);
	handoff__post_set(&box->where, where);
	return true;
}

void
handoff__posts_enter(const struct handoff__arena *arena, uint64_t id,
	uint32_t segment, uint32_t slot)
{
	struct handoff__post_ring *ring = handoff__posts_ring(&arena->posts);
	uint64_t where = place_of(segment, slot);
	struct handoff__post_box *box;

	/* It has no box yet: to look for one would touch pages. */
	for (uint32_t i = 0; ring && i < PROBES; i++) {
		uint64_t old;

		box = box_at(ring, id, i);
		old = atomic_load_explicit(&box->id, memory_order_relaxed);
		if (old != 0)
			evict(arena, box, old);
		if (box_claim(box, id, where))
			return;
	}
	if (ring)
		atomic_store(&ring->boxless, 1);
}

void
handoff__posts_move(const struct handoff__arena *arena, uint64_t id,
	uint32_t segment, uint32_t slot)
{
	struct handoff__post_ring *ring = handoff__posts_ring(&arena->posts);
	struct handoff__post_box *box =
		ring ? handoff__post_box(ring, id) : NULL;

	if (box)
		handoff__post_set(&box->where, place_of(segment, slot));
	else
		handoff__posts_enter(arena, id, segment, slot);
}

void
handoff__posts_leave(const struct handoff__posts *posts, uint64_t id,
	uint32_t segment, uint32_t slot)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	uint64_t where = place_of(segment, slot);
	struct handoff__post_box *box =
		ring && id != 0 ? handoff__post_box(ring, id) : NULL;

	/* it may have moved to another record meanwhile */
	if (box && atomic_compare_exchange_strong(&box->where, &where, 0))
		atomic_compare_exchange_strong(&box->id, &id, 0);
}

bool
handoff__posts_where(const struct handoff__post_ring *ring, uint64_t id,
	uint32_t *segment, uint32_t *slot)
{
	const struct handoff__post_box *box = handoff__post_box(
		(struct handoff__post_ring *)(uintptr_t)ring, id);
	uint64_t where;

	where = box ? handoff__post_mark(&box->where) : 0;
	if (where == 0)
		return false;
	*segment = (uint32_t)((where - 1) >> 32);
	*slot = (uint32_t)(where - 1);
	return true;
}

/* Whether the connection got its number after `next`, in the same service
 * directory. The numbers of another one, from which it has come, say nothing:
 * its position was set when it came. */
static bool
came_later(uint64_t id, uint64_t next)
{
	return id >= next &&
	       id >> HANDOFF__ORIGIN_SHIFT == next >> HANDOFF__ORIGIN_SHIFT;
}

int
handoff__posts_exists(const struct handoff__posts *posts, uint64_t id)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);

	if (id == 0 || came_later(id, atomic_load_explicit(posts->next_id,
					      memory_order_relaxed)))
		return -ENOENT;
	return handoff__post_box(ring, id) || atomic_load(&ring->boxless)
		       ? 0
		       : -ENOENT;
}

/* The end of the last post to that connection alone, or of the last one of
 * them that was dropped. */
static uint64_t
alone(const struct handoff__post_ring *ring, uint64_t id, bool dropped)
{
	const struct handoff__post_box *box = handoff__post_box(
		(struct handoff__post_ring *)(uintptr_t)ring, id);

	if (!box)
		return handoff__post_mark(
			dropped ? &ring->dropped_strays : &ring->strays);
	return handoff__post_mark(dropped ? &box->dropped : &box->posted);
}

bool
handoff__posts_waiting(const struct handoff__post_ring *ring,
	const struct handoff__post_reader *reader, uint64_t position)
{
	return (!reader->outgoing &&
		       handoff__post_mark(&ring->all) > position) ||
	       (reader->tag != 0 &&
		       handoff__post_mark(&ring->tagged) > position) ||
	       alone(ring, reader->id, false) > position;
}

static uint64_t
tag_dropped(struct handoff__post_ring *ring, uint64_t tag)
{
	struct handoff__post_tags *bucket = handoff__post_bucket(ring, tag);

	for (unsigned i = 0; i < HANDOFF__POST_WAYS; i++) {
		uint64_t end;

		if (handoff__post_mark(&bucket->way[i].tag) != tag)
			continue;
		end = handoff__post_mark(&bucket->way[i].dropped);
		atomic_thread_fence(memory_order_acquire);
		if (handoff__post_mark(&bucket->way[i].tag) == tag)
			return end;
	}
	return handoff__post_mark(&bucket->other);
}

/* The end of the last post to many that was dropped and was for `id` too. A
 * writer that died in between leaves the counter odd: the next one goes on. */
static uint64_t
many_dropped(const struct handoff__post_ring *ring, uint64_t id)
{
	uint64_t end = 0, but, before;
	uint32_t count;

	for (int i = 0; i < TRIES; i++) {
		count = atomic_load_explicit(
			&ring->dropping, memory_order_acquire);
		end = handoff__post_mark(&ring->dropped);
		but = handoff__post_mark(&ring->dropped_but);
		before = handoff__post_mark(&ring->dropped_before);
		atomic_thread_fence(memory_order_acquire);
		if (!(count & 1) && atomic_load_explicit(&ring->dropping,
					    memory_order_relaxed) == count)
			return but == id ? before : end;
	}
	return end;
}

/* Whether a post for it between `position` and the tail was dropped. */
static bool
has_missed(struct handoff__post_ring *ring,
	const struct handoff__post_reader *reader, uint64_t position)
{
	return (!reader->outgoing &&
		       many_dropped(ring, reader->id) > position) ||
	       alone(ring, reader->id, true) > position ||
	       (reader->tag != 0 && tag_dropped(ring, reader->tag) > position);
}

static bool
is_for(const struct handoff__post *post,
	const struct handoff__post_reader *reader)
{
	if (came_later(reader->id, post->before))
		return false;
	switch (post->to) {
	case HANDOFF__POST_ONE:
		return post->id == reader->id;
	case HANDOFF__POST_ALL:
		return !reader->outgoing;
	case HANDOFF__POST_OTHERS:
		return !reader->outgoing && post->id != reader->id;
	case HANDOFF__POST_TAG:
		return post->id == reader->tag;
	default:
		return false;
	}
}

/* Whether the post at `position` was not dropped while it was copied. */
static bool
is_kept(const struct handoff__post_ring *ring, uint64_t position)
{
	atomic_thread_fence(memory_order_acquire);
	return handoff__post_mark(&ring->tail) <= position;
}

/* Reads the header at `position`: 1; 0: it is at the head, or what follows is
 * nonsense; -EAGAIN: it was dropped, or is being. */
static int
read_post(const struct handoff__posts *posts, uint64_t *position, uint64_t head,
	struct handoff__post *post)
{
	bool good;

	if (*position >= head || head - *position > posts->size) {
		*position = head;
		return 0;
	}
	good = handoff__post_get(posts, *position, post) &&
	       post->size <= head - *position;
	if (!is_kept(handoff__posts_ring(posts), *position))
		return -EAGAIN;
	if (!good)
		*position = head;
	return good;
}

int
handoff__posts_find(const struct handoff__posts *posts,
	const struct handoff__post_reader *reader, uint64_t *position,
	struct handoff__post *post)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);

	for (;;) {
		/* Loaded once, and before the marks and the tail: a post that
		 * is added after this is left for the next call. */
		uint64_t head = handoff__posts_head(ring), tail;
		int rc;

		if (!handoff__posts_waiting(ring, reader, *position)) {
			*position = head;
			return 0;
		}
		tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (*position < tail) {
			bool missed = has_missed(ring, reader, *position);

			*position = tail;
			if (missed)
				return -ENOENT;
		}
		do {
			rc = read_post(posts, position, head, post);
			if (rc > 0 && is_for(post, reader))
				return 1;
			if (rc > 0)
				*position += post->size;
		} while (rc > 0);
		if (rc == 0)
			return 0;
	}
}

bool
handoff__posts_copy(const struct handoff__posts *posts, uint64_t position,
	const struct handoff__post *post, void *data)
{
	get_bytes(posts, position + sizeof(*post), data, post->len);
	return is_kept(handoff__posts_ring(posts), position);
}

bool
handoff__posts_walk(const struct handoff__posts *posts, uint64_t *position,
	struct handoff__post *post, bool *missed)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	int rc;

	do {
		uint64_t head = handoff__posts_head(ring);
		uint64_t tail =
			atomic_load_explicit(&ring->tail, memory_order_acquire);

		if (*position < tail) {
			*position = tail;
			*missed = true;
		}
		rc = read_post(posts, position, head, post);
	} while (rc < 0);
	if (rc > 0)
		*position += post->size;
	return rc > 0;
}
