/* SPDX-License-Identifier: MIT */
/*
 * A table of batches in an arena of its own, and batches all of whose fields
 * follow from their ids.
 */
#ifndef TESTS_RECORD_BATCHES_H
#define TESTS_RECORD_BATCHES_H

#include "record/fixture.h"

#include "record/batch.h"

#define OUT HANDOFF__BATCH_OUT
#define IN  HANDOFF__BATCH_IN

struct table {
	struct handoff__arena arena;
	struct handoff__batches *batches;
};

static inline void
open_table(struct table *t)
{
	record_arena(&t->arena, 0);
	t->batches = handoff__batches_of(&t->arena);
	assert_non_null(t->batches);
}

static inline void
close_table(struct table *t)
{
	handoff__arena_fini(&t->arena);
}

/* A batch all of whose fields follow from its id. */
static inline struct handoff__batch
batch_of(uint64_t id)
{
	return (struct handoff__batch){.id = id,
		.count = (uint32_t)(id * 7),
		.peer = id * 3,
		.since_ms = (int64_t)id * 5};
}

static inline uint32_t
open_batch(struct handoff__batches *batches, uint32_t way, uint64_t id)
{
	struct handoff__batch b = batch_of(id);

	assert_int_equal(handoff__batch_open(batches, way, &b), 0);
	return b.slot;
}

static inline bool
is_whole(const struct handoff__batch *b)
{
	struct handoff__batch other = batch_of(b->id);

	return b->id != 0 && b->count == other.count && b->peer == other.peer &&
	       b->since_ms == other.since_ms;
}

static inline void
assert_batch(const struct handoff__batches *batches, uint32_t slot, uint64_t id,
	uint32_t way, enum handoff__batch_state state)
{
	struct handoff__batch b;

	assert_true(handoff__batch_read(batches, slot, &b));
	assert_int_equal(b.slot, slot);
	assert_int_equal(b.id, id);
	assert_true(is_whole(&b));
	assert_int_equal(handoff__batch_way(b.word), way);
	assert_int_equal(handoff__batch_state(b.word), state);
}

#endif
