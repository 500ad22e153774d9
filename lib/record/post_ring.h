/* SPDX-License-Identifier: MIT */
/*
 * What writers and readers of the ring of posts have in common. For post.c and
 * post_find.c alone.
 */
#ifndef HANDOFF_RECORD_POST_RING_H
#define HANDOFF_RECORD_POST_RING_H

#include "record/post.h"

static inline struct handoff__post_ring *
handoff__posts_ring(const struct handoff__posts *posts)
{
	return atomic_load_explicit(&posts->ring, memory_order_acquire);
}

/* A position in the head of the ring. Relaxed: the head and the tail order
 * them. */
static inline uint64_t
handoff__post_mark(const _Atomic uint64_t *mark)
{
	return atomic_load_explicit(mark, memory_order_relaxed);
}

static inline void
handoff__post_set(_Atomic uint64_t *mark, uint64_t value)
{
	atomic_store_explicit(mark, value, memory_order_release);
}

static inline struct handoff__post_tags *
handoff__post_bucket(struct handoff__post_ring *ring, uint64_t tag)
{
	return &ring->tags[(tag * UINT64_C(0x9e3779b97f4a7c15) >> 32) %
			   HANDOFF__POST_TAGS];
}

/* The box of a connection; NULL if it has none. */
struct handoff__post_box *handoff__post_box(
	struct handoff__post_ring *ring, uint64_t id);

/* Copies the header at a position. False if it is none: another process may
 * have written anything. */
bool handoff__post_get(const struct handoff__posts *posts, uint64_t at,
	struct handoff__post *post);

#endif
