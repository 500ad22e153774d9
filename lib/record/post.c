/* SPDX-License-Identifier: MIT */
/*
 * The writers' side of the ring of posts: one at a time, under its lock. Posts
 * exist once `head` has passed them and are gone once `tail` has. A writer that
 * dies leaves an intent, by which another process finishes its posts or forgets
 * them: so they exist exactly if the transaction that posted them has
 * committed.
 */
#include "record/post.h"

#include "record/arena.h"
#include "record/post_ring.h"
#include "record/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAGE_FIRST 4096u

static void
put_bytes(const struct handoff__posts *posts, uint64_t at, const void *data,
	size_t len)
{
	size_t from = (size_t)(at & (posts->size - 1));
	size_t first = posts->size - from;

	if (first > len)
		first = len;
	memcpy(posts->bytes + from, data, first);
	memcpy(posts->bytes, (const char *)data + first, len - first);
}

/* Makes room for `size` more bytes. */
static int
stage_grow(struct handoff__staged **staged, uint32_t size, uint32_t batch)
{
	uint32_t len = *staged ? (*staged)->len : 0;
	uint32_t room = *staged ? (*staged)->room : STAGE_FIRST / 2;
	struct handoff__staged *more;

	if (size > batch - len)
		return -ENOBUFS;
	if (*staged && len + size <= room)
		return 0;
	while (room < len + size)
		room *= 2;
	more = realloc(*staged, sizeof(*more) + room);
	if (!more)
		return -ENOMEM;
	more->len = len;
	more->room = room;
	*staged = more;
	return 0;
}

int
handoff__posts_stage(const struct handoff__posts *posts,
	struct handoff__staged **staged, const struct handoff__post *post,
	const void *data)
{
	struct handoff__post head = *post;
	unsigned char *at;
	int err;

	head.size = handoff__post_size(post->len);
	err = stage_grow(staged, head.size, handoff__posts_batch(posts));
	if (err < 0)
		return err;
	at = (*staged)->bytes + (*staged)->len;
	memset(at + head.size - 8, 0, 8);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), data, post->len);
	(*staged)->len += head.size;
	return 0;
}

/* The entry of a tag in its bucket; if it has none, that of the tag whose
 * posts have been gone for longest. */
static void
drop_tag(struct handoff__post_tags *bucket, uint64_t tag, uint64_t end)
{
	unsigned oldest = 0;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < HANDOFF__POST_WAYS; i++) {
		uint64_t at = handoff__post_mark(&bucket->way[i].dropped);

		if (handoff__post_mark(&bucket->way[i].tag) == tag) {
			handoff__post_set(&bucket->way[i].dropped, end);
			return;
		}
		if (at < least) {
			least = at;
			oldest = i;
		}
	}
	/* at every instant a reader finds its tag there, or takes the other
	 * mark */
	handoff__post_set(&bucket->other, least);
	handoff__post_set(&bucket->way[oldest].tag, 0);
	handoff__post_set(&bucket->way[oldest].dropped, end);
	handoff__post_set(&bucket->way[oldest].tag, tag);
}

/* `but`: the connection that it was not for, or 0. */
static void
drop_many(struct handoff__post_ring *ring, uint64_t but, uint64_t end)
{
	uint32_t count =
		atomic_load_explicit(&ring->dropping, memory_order_relaxed) | 1;

	atomic_store_explicit(&ring->dropping, count, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	if (handoff__post_mark(&ring->dropped_but) != but) {
		handoff__post_set(&ring->dropped_before,
			handoff__post_mark(&ring->dropped));
		handoff__post_set(&ring->dropped_but, but);
	}
	handoff__post_set(&ring->dropped, end);
	atomic_store_explicit(&ring->dropping, count + 1, memory_order_release);
}

/* Remembers for whom the post is lost, unless it is taken already. */
static void
note_dropped(struct handoff__post_ring *ring, const struct handoff__post *post,
	uint64_t end)
{
	struct handoff__post_box *box;

	if (post->flags & HANDOFF__POST_LOSSY)
		return;
	switch (post->to) {
	case HANDOFF__POST_ONE:
		box = handoff__post_box(ring, post->id);
		handoff__post_set(
			box ? &box->dropped : &ring->dropped_strays, end);
		return;
	case HANDOFF__POST_TAG:
		drop_tag(handoff__post_bucket(ring, post->id), post->id, end);
		return;
	default:
		drop_many(ring, post->to == HANDOFF__POST_OTHERS ? post->id : 0,
			end);
	}
}

/* Drops the oldest posts until `size` bytes are free behind the head. */
static void
drop_oldest(struct handoff__posts *posts, uint64_t head, uint32_t size)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	uint64_t tail = handoff__post_mark(&ring->tail);
	struct handoff__post post;

	if (head - tail > posts->size)
		tail = head; /* nonsense: all of it is dropped */
	while (head + size - tail > posts->size) {
		if (handoff__post_get(posts, tail, &post)) {
			tail += post.size;
			note_dropped(ring, &post, tail);
		} else {
			tail = head;
		}
	}
	/* after the marks, so that one that sees the tail sees them too */
	atomic_store_explicit(&ring->tail, tail, memory_order_release);
	/* a concurrent reader that sees bytes written after this point must
	 * also see the new tail */
	atomic_thread_fence(memory_order_release);
}

/* Lets its receivers see that something waits for them. */
static void
note_posted(struct handoff__post_ring *ring, const struct handoff__post *post,
	uint64_t end)
{
	struct handoff__post_box *box;

	switch (post->to) {
	case HANDOFF__POST_ONE:
		box = handoff__post_box(ring, post->id);
		handoff__post_set(box ? &box->posted : &ring->strays, end);
		return;
	case HANDOFF__POST_TAG:
		handoff__post_set(&ring->tagged, end);
		return;
	default:
		handoff__post_set(&ring->all, end);
	}
}

/* Writes what was staged behind the head, in room that is free. */
static void
write_staged(struct handoff__posts *posts, uint64_t head,
	const struct handoff__staged *staged)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	uint64_t before =
		atomic_load_explicit(posts->next_id, memory_order_relaxed);
	struct handoff__post post;

	for (uint32_t at = 0; at < staged->len; at += post.size) {
		memcpy(&post, staged->bytes + at, sizeof(post));
		post.before = before;
		put_bytes(posts, head + at, &post, sizeof(post));
		put_bytes(posts, head + at + sizeof(post),
			staged->bytes + at + sizeof(post),
			post.size - sizeof(post));
		note_posted(ring, &post, head + at + post.size);
	}
}

static void
arm(struct handoff__post_intent *intent, enum handoff__post_armed how)
{
	atomic_store_explicit(
		&intent->armed, (uint32_t)how, memory_order_release);
}

int
handoff__posts_prepare(struct handoff__posts *posts,
	const struct handoff__staged *staged, uint32_t segment, uint32_t slot,
	uint64_t id, uint32_t sequence)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	struct handoff__post_intent *intent = &ring->intent;
	uint64_t head;
	int err = handoff__lock_take(
		&ring->lock, posts->self, HANDOFF__POST_WAIT_MS);

	if (err < 0)
		return err;
	head = handoff__post_mark(&ring->head);
	drop_oldest(posts, head, staged->len);
	write_staged(posts, head, staged);
	intent->segment = segment;
	intent->slot = slot;
	intent->id = id;
	intent->sequence = sequence;
	intent->head = head + staged->len;
	arm(intent, HANDOFF__POST_WITH_RECORD);
	return 0;
}

/* Makes the posts of the intent exist, once more or for the first time. */
static void
carry_out(struct handoff__post_ring *ring)
{
	struct handoff__post_intent *intent = &ring->intent;

	atomic_store_explicit(&ring->head, intent->head, memory_order_release);
	arm(intent, HANDOFF__POST_IDLE);
}

void
handoff__posts_publish(struct handoff__posts *posts)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);

	carry_out(ring);
	handoff__lock_release(&ring->lock);
}

void
handoff__posts_withdraw(struct handoff__posts *posts)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);

	arm(&ring->intent, HANDOFF__POST_IDLE);
	handoff__lock_release(&ring->lock);
}

/* Finds the place of a source in the table. 1: its number is not new. */
static int
find_source(struct handoff__post_ring *ring, const struct handoff__post *post,
	int64_t now_us, uint32_t *index)
{
	uint32_t oldest = 0;

	for (uint32_t i = 0; i < HANDOFF__POST_SOURCES; i++) {
		const struct handoff__post_source *s = &ring->sources[i];

		if (s->source == post->source) {
			*index = i;
			return post->number <= s->number;
		}
		if (s->source == 0
				? ring->sources[oldest].source != 0
				: ring->sources[oldest].source != 0 &&
					  s->at_us <
						  ring->sources[oldest].at_us)
			oldest = i;
	}
	*index = oldest;
	return ring->sources[oldest].source == 0 ||
			       now_us - ring->sources[oldest].at_us >
				       HANDOFF__POST_SOURCE_US
		       ? 0
		       : -ENOSPC;
}

/* Writes the post and publishes it, with the number of its source. */
static void
add_locked(struct handoff__posts *posts, const struct handoff__staged *staged,
	const struct handoff__post_source *source, uint32_t index)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	struct handoff__post_intent *intent = &ring->intent;
	uint64_t head = handoff__post_mark(&ring->head);

	drop_oldest(posts, head, staged->len);
	write_staged(posts, head, staged);
	intent->head = head + staged->len;
	intent->source = *source;
	intent->source_index = index;
	arm(intent, HANDOFF__POST_AT_ONCE);
	/* a process that dies from here on has posted */
	if (source->source != 0)
		ring->sources[index] = *source;
	carry_out(ring);
}

int
handoff__posts_add(struct handoff__posts *posts, struct handoff__post *post,
	const void *data, int64_t now_us)
{
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	struct handoff__post_source source = {.source = post->source,
		.number = post->number,
		.at_us = now_us};
	struct handoff__staged *staged = NULL;
	uint32_t index = 0;
	int err = handoff__posts_stage(posts, &staged, post, data);

	if (err >= 0)
		err = handoff__lock_take(
			&ring->lock, posts->self, HANDOFF__POST_WAIT_MS);
	if (err >= 0) {
		if (post->source != 0)
			err = find_source(ring, post, now_us, &index);
		if (err == 0)
			add_locked(posts, staged, &source, index);
		handoff__lock_release(&ring->lock);
	}
	free(staged);
	return err;
}

int
handoff__posts_carry(struct handoff__posts *posts,
	const struct handoff__post *post, const void *data)
{
	const struct handoff__post_source none = {.source = 0};
	struct handoff__staged *staged = NULL;
	int err = handoff__posts_stage(posts, &staged, post, data);

	if (err >= 0)
		err = handoff__lock_take(&handoff__posts_ring(posts)->lock,
			posts->self, HANDOFF__POST_WAIT_MS);
	if (err >= 0) {
		add_locked(posts, staged, &none, 0);
		handoff__lock_release(&handoff__posts_ring(posts)->lock);
	}
	free(staged);
	return err;
}

/* Whether the record in an intent has made its commit. */
static bool
has_committed(const struct handoff__arena *arena,
	const struct handoff__post_intent *intent)
{
	struct handoff__record *rec =
		handoff__arena_record(arena, intent->segment, intent->slot);

	return rec && handoff__record_id(rec) == intent->id &&
	       (int32_t)(handoff__record_sequence(rec) - intent->sequence) >= 0;
}

/* The dead process may have left anything. */
static bool
is_sound(const struct handoff__posts *posts,
	const struct handoff__post_ring *ring)
{
	uint64_t head = handoff__post_mark(&ring->head);

	return ring->intent.head >= head &&
	       ring->intent.head - head <= posts->size &&
	       ring->intent.source_index < HANDOFF__POST_SOURCES;
}

void
handoff__posts_recover(
	const struct handoff__arena *arena, uint32_t place, uint32_t agent)
{
	const struct handoff__posts *posts = &arena->posts;
	struct handoff__post_ring *ring = handoff__posts_ring(posts);
	struct handoff__post_intent *intent;
	uint32_t armed;

	if (!ring || !handoff__lock_held_by(&ring->lock, place, agent))
		return;
	intent = &ring->intent;
	armed = atomic_load_explicit(&intent->armed, memory_order_acquire);
	if (armed == HANDOFF__POST_WITH_RECORD && is_sound(posts, ring) &&
		has_committed(arena, intent)) {
		carry_out(ring);
	} else if (armed == HANDOFF__POST_AT_ONCE && is_sound(posts, ring)) {
		if (intent->source.source != 0)
			ring->sources[intent->source_index] = intent->source;
		carry_out(ring);
	} else {
		arm(intent, HANDOFF__POST_IDLE);
	}
	handoff__lock_release_for(&ring->lock, place, agent);
}
