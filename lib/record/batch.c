/* SPDX-License-Identifier: MIT */
/*
 * The table of batches. A slot's word is loaded, its fields are, and then the
 * word once more: since the word counts how often the slot was taken, two equal
 * ones mean that the fields belong to it. Any process may have written
 * anything: a slot that makes no sense reads as free, and is not changed.
 */
#include "record/batch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 100

static_assert(sizeof(struct handoff__batch_slot) == 64, "a line of memory");
static_assert(sizeof(struct handoff__batches) == HANDOFF__BATCHES_SIZE,
	"the table is one page");

struct handoff__batches *
handoff__batches_of(const struct handoff__arena *arena)
{
	const struct handoff__segment *commons = handoff__arena_commons(arena);

	return commons ? (void *)(commons->base + commons->geo.batches) : NULL;
}

static int
check_file(int fd, uint64_t offset)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 ||
		st.st_size < HANDOFF__BATCHES_SIZE ||
		offset > (uint64_t)st.st_size - HANDOFF__BATCHES_SIZE ||
		offset % HANDOFF__BATCHES_SIZE != 0)
		return -EBADMSG;
	return 0;
}

/* The pages of this machine may be larger than the table. */
int
handoff__batches_map(struct handoff__batches_map *map, int fd, uint64_t offset)
{
	long page = sysconf(_SC_PAGESIZE);
	size_t before = (size_t)(offset % (uint64_t)page);
	int err = check_file(fd, offset);
	void *base;

	if (err < 0)
		return err;
	base = mmap(NULL, before + HANDOFF__BATCHES_SIZE,
		PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		(off_t)(offset - before));
	if (base == MAP_FAILED)
		return -errno;
	map->base = base;
	map->len = before + HANDOFF__BATCHES_SIZE;
	map->batches = (void *)((char *)base + before);
	return 0;
}

void
handoff__batches_unmap(struct handoff__batches_map *map)
{
	if (map->base)
		munmap(map->base, map->len);
	memset(map, 0, sizeof(*map));
}

/* Acquire: a process that sees the state also sees what was written before. */
static uint32_t
word_of(const struct handoff__batch_slot *s)
{
	return atomic_load_explicit(&s->word, memory_order_acquire);
}

/* Release: what this process did before the decision, or before it freed the
 * slot, is seen by one that sees the new word. */
static bool
swap(struct handoff__batch_slot *s, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(&s->word, &from, to,
		memory_order_acq_rel, memory_order_acquire);
}

/* Whether a word is one of a batch that was opened. */
static bool
is_batch(uint32_t word)
{
	enum handoff__batch_state state = handoff__batch_state(word);
	uint32_t way = handoff__batch_way(word);

	return (state == HANDOFF__BATCH_OPEN ||
		       state == HANDOFF__BATCH_COMMITTED ||
		       state == HANDOFF__BATCH_ABORTED) &&
	       (way == HANDOFF__BATCH_OUT || way == HANDOFF__BATCH_IN);
}

static uint32_t
with_state(uint32_t word, enum handoff__batch_state state)
{
	return (word & ~HANDOFF__BATCH_STATE) | (uint32_t)state;
}

bool
handoff__batch_read(const struct handoff__batches *batches, uint32_t slot,
	struct handoff__batch *batch)
{
	const struct handoff__batch_slot *s;
	uint32_t word, again;

	if (slot >= HANDOFF__BATCHES)
		return false;
	s = &batches->slots[slot];
	again = word_of(s);
	for (int i = 0; i < TRIES; i++) {
		word = again;
		if (!is_batch(word))
			return false;
		batch->slot = slot;
		batch->word = word;
		batch->count =
			atomic_load_explicit(&s->count, memory_order_relaxed);
		batch->id = atomic_load_explicit(&s->id, memory_order_relaxed);
		batch->peer =
			atomic_load_explicit(&s->peer, memory_order_relaxed);
		batch->since_ms = atomic_load_explicit(
			&s->since_ms, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		again = word_of(s);
		if (again == word)
			return batch->id != 0;
	}
	return false;
}

bool
handoff__batch_next(
	const struct handoff__batches *batches, struct handoff__batch *batch)
{
	for (uint32_t slot = batch->slot; slot < HANDOFF__BATCHES; slot++) {
		if (handoff__batch_read(batches, slot, batch))
			return true;
	}
	return false;
}

bool
handoff__batch_find(const struct handoff__batches *batches, uint32_t way,
	uint64_t id, uint64_t peer, struct handoff__batch *batch)
{
	struct handoff__batch b = {.slot = 0};

	for (; handoff__batch_next(batches, &b); b.slot++) {
		if (b.id == id && (peer == 0 || b.peer == peer) &&
			(way == 0 || handoff__batch_way(b.word) == way)) {
			*batch = b;
			return true;
		}
	}
	return false;
}

/* Takes a slot; its word is stored in `batch`. */
static struct handoff__batch_slot *
take_slot(struct handoff__batches *batches, uint32_t way,
	struct handoff__batch *batch)
{
	for (uint32_t slot = 0; slot < HANDOFF__BATCHES; slot++) {
		struct handoff__batch_slot *s = &batches->slots[slot];
		uint32_t word = word_of(s);

		batch->slot = slot;
		batch->word = ((word | (HANDOFF__BATCH_TURN - 1)) + 1) | way |
			      HANDOFF__BATCH_WRITTEN;
		if (handoff__batch_state(word) == HANDOFF__BATCH_FREE &&
			swap(s, word, batch->word))
			return s;
	}
	return NULL;
}

int
handoff__batch_open(struct handoff__batches *batches, uint32_t way,
	struct handoff__batch *what)
{
	struct handoff__batch batch = *what, other;
	struct handoff__batch_slot *s;

	assert(way == HANDOFF__BATCH_OUT || way == HANDOFF__BATCH_IN);
	if (what->id == 0)
		return -EINVAL;
	if (handoff__batch_find(batches, way, what->id, what->peer, &other))
		return -EEXIST;
	s = take_slot(batches, way, &batch);
	if (!s)
		return -ENOSPC;
	/* A concurrent reader that sees one of these stores also sees that the
	 * word has changed. */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&s->count, batch.count, memory_order_relaxed);
	atomic_store_explicit(&s->id, batch.id, memory_order_relaxed);
	atomic_store_explicit(&s->peer, batch.peer, memory_order_relaxed);
	atomic_store_explicit(
		&s->since_ms, batch.since_ms, memory_order_relaxed);
	batch.word = with_state(batch.word, HANDOFF__BATCH_OPEN);
	atomic_store_explicit(&s->word, batch.word, memory_order_release);
	*what = batch;
	return 0;
}

/* Another process may decide it between the load and the swap: then the next
 * pass finds that, and no third one does anything. */
static enum handoff__batch_state
decide(struct handoff__batches *batches, uint32_t slot, uint64_t id,
	enum handoff__batch_state to)
{
	struct handoff__batch b;

	for (int i = 0; i < TRIES; i++) {
		if (!handoff__batch_read(batches, slot, &b) || b.id != id)
			return HANDOFF__BATCH_FREE;
		if (handoff__batch_state(b.word) != HANDOFF__BATCH_OPEN)
			return handoff__batch_state(b.word);
		if (swap(&batches->slots[slot], b.word, with_state(b.word, to)))
			return to;
	}
	return HANDOFF__BATCH_FREE;
}

enum handoff__batch_state
handoff__batch_commit(
	struct handoff__batches *batches, uint32_t slot, uint64_t id)
{
	return decide(batches, slot, id, HANDOFF__BATCH_COMMITTED);
}

enum handoff__batch_state
handoff__batch_abort(
	struct handoff__batches *batches, uint32_t slot, uint64_t id)
{
	return decide(batches, slot, id, HANDOFF__BATCH_ABORTED);
}

/* The count of the slot stays in its word. */
static uint32_t
freed(uint32_t word)
{
	return word & ~(HANDOFF__BATCH_TURN - 1);
}

bool
handoff__batch_free(
	struct handoff__batches *batches, uint32_t slot, uint64_t id)
{
	struct handoff__batch b;

	return handoff__batch_read(batches, slot, &b) && b.id == id &&
	       handoff__batch_state(b.word) != HANDOFF__BATCH_OPEN &&
	       swap(&batches->slots[slot], b.word, freed(b.word));
}

uint32_t
handoff__batches_recover(struct handoff__batches *batches)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < HANDOFF__BATCHES; slot++) {
		struct handoff__batch_slot *s = &batches->slots[slot];
		uint32_t word = word_of(s);

		if (handoff__batch_state(word) == HANDOFF__BATCH_WRITTEN)
			count += swap(s, word, freed(word));
	}
	return count;
}

enum handoff__elsewhere
handoff__batch_whose(
	const struct handoff__batches *batches, uint32_t owner_word)
{
	struct handoff__batch b;
	bool in;

	if (!handoff__owner_is_elsewhere(owner_word) ||
		!handoff__batch_read(
			batches, handoff__owner_slot(owner_word), &b))
		return HANDOFF__ELSEWHERE_NONE;
	in = handoff__batch_way(b.word) == HANDOFF__BATCH_IN;
	switch (handoff__batch_state(b.word)) {
	case HANDOFF__BATCH_COMMITTED:
		return in ? HANDOFF__ELSEWHERE_HERE : HANDOFF__ELSEWHERE_AWAY;
	case HANDOFF__BATCH_ABORTED:
		return in ? HANDOFF__ELSEWHERE_AWAY : HANDOFF__ELSEWHERE_HERE;
	default:
		return in ? HANDOFF__ELSEWHERE_DOUBT : HANDOFF__ELSEWHERE_OPEN;
	}
}
