/* SPDX-License-Identifier: MIT */
/*
 * The table of entries. Those of a segment are in one array, in the order of
 * the records, so that a pass over all of them is sequential in memory.
 */
#include "peer/roster.h"

#include "record/older.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRESENT (1u << 18) /* hashes of ids */
#define AHEAD   8          /* prefetch distance of a pass, in entries */

void
handoff__roster_init(struct handoff__roster *roster,
	struct handoff__arena *arena, size_t entry_size)
{
	assert(entry_size >= sizeof(struct handoff__roster_entry));
	memset(roster, 0, sizeof(*roster));
	roster->arena = arena;
	roster->entry_size = entry_size;
	TAILQ_INIT(&roster->to_mirror);
	TAILQ_INIT(&roster->sent);
	TAILQ_INIT(&roster->to_drop);
}

int
handoff__roster_know_ids(struct handoff__roster *roster)
{
	roster->present = calloc(PRESENT, 1);
	return roster->present ? 0 : -ENOMEM;
}

void
handoff__roster_forget_ids(struct handoff__roster *roster)
{
	free(roster->present);
	roster->present = NULL;
}

/* By its upper bits: consecutive ids are far apart. */
static uint32_t
hash_of(uint64_t id)
{
	return (uint32_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 46);
}

bool
handoff__roster_may_have(const struct handoff__roster *roster, uint64_t id)
{
	return !roster->present || roster->present[hash_of(id)] != 0;
}

/* A count that was too large once stays so. */
static void
note_id(struct handoff__roster *roster, uint64_t id, int sign)
{
	uint8_t *at = roster->present ? &roster->present[hash_of(id)] : NULL;

	if (at && *at != UINT8_MAX)
		*at = (uint8_t)(*at + sign);
}

void
handoff__roster_fini(struct handoff__roster *roster)
{
	struct handoff__roster_entry *entry = NULL;

	while ((entry = handoff__roster_next(roster, entry)))
		handoff__roster_vacate(roster, entry);
	for (uint32_t i = 0; i < HANDOFF__SEGMENTS_MAX; i++) {
		free(roster->entries[i]);
		roster->entries[i] = NULL;
		free(roster->rings[i]);
		roster->rings[i] = NULL;
	}
}

struct handoff__roster_entry *
handoff__roster_at(
	struct handoff__roster *roster, uint32_t segment, uint32_t slot)
{
	if (!handoff__arena_record(roster->arena, segment, slot))
		return NULL;
	if (!roster->entries[segment])
		roster->entries[segment] =
			calloc(roster->arena->segments[segment]->geo.slots,
				roster->entry_size);
	if (!roster->entries[segment])
		return NULL;
	return (void *)(roster->entries[segment] + slot * roster->entry_size);
}

struct handoff__roster_entry *
handoff__roster_find(struct handoff__roster *roster, uint32_t segment,
	uint32_t slot, uint64_t id)
{
	struct handoff__roster_entry *entry =
		handoff__roster_at(roster, segment, slot);

	return entry && id != 0 && entry->id == id && entry->fd >= 0 ? entry
								     : NULL;
}

/* A pass over thousands of entries runs through cold memory. */
static void
prefetch(const struct handoff__segment *seg,
	const struct handoff__roster_entry *e, size_t entry_size)
{
	const unsigned char *at = (const void *)e, *rec = (void *)e->view.rec;

	if (e->slot + AHEAD >= seg->geo.slots)
		return;
	__builtin_prefetch(rec + AHEAD * (size_t)seg->geo.stride, 1);
	__builtin_prefetch(at + AHEAD * entry_size, 1);
	__builtin_prefetch(at + AHEAD * entry_size + 64, 1);
}

struct handoff__roster_entry *
handoff__roster_next(const struct handoff__roster *roster,
	const struct handoff__roster_entry *entry)
{
	uint32_t segment = entry ? entry->segment : 0;
	uint32_t slot = entry ? entry->slot + 1 : 0;

	for (; segment < roster->arena->count; segment++, slot = 0) {
		unsigned char *entries = roster->entries[segment];
		uint32_t slots = roster->arena->segments[segment]->geo.slots;

		for (; entries && slot < slots; slot++) {
			struct handoff__roster_entry *e =
				(void *)(entries + slot * roster->entry_size);

			if (e->id != 0 && e->fd >= 0) {
				prefetch(roster->arena->segments[segment], e,
					roster->entry_size);
				return e;
			}
		}
	}
	return NULL;
}

/* Adds `sign` to every count that includes the entry. */
static void
count(struct handoff__roster *roster, const struct handoff__roster_entry *entry,
	int sign)
{
	uint32_t one = (uint32_t)sign;
	bool conn = entry->kind == HANDOFF__CONNECTION;

	if (entry->fd < 0)
		return;
	*(entry->mine ? &roster->owned : &roster->held) += one;
	if (conn)
		*(entry->mine ? &roster->connections : &roster->copies) += one;
	if (entry->mine && entry->copy != HANDOFF__COPY_HELD)
		roster->uncovered += one;
	if (entry->mine && entry->copy == HANDOFF__COPY_REFUSED)
		roster->refused += one;
}

static bool
names_leader(const struct handoff__view *view)
{
	return !handoff__older(view->seg) &&
	       atomic_load_explicit(
		       &view->rec->extra.leader, memory_order_relaxed) != 0;
}

void
handoff__roster_enter(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, uint32_t segment, uint32_t slot,
	int fd, bool mine)
{
	assert(entry->id == 0);
	memset(entry, 0, sizeof(*entry));
	handoff__view_make(
		&entry->view, roster->arena->segments[segment], slot);
	entry->id = handoff__record_id(entry->view.rec);
	entry->kind = (uint8_t)entry->view.rec->kind;
	entry->segment = segment;
	entry->slot = slot;
	entry->fd = fd;
	entry->mine = mine;
	entry->copy = mine ? HANDOFF__COPY_NONE : HANDOFF__COPY_HELD;
	if (names_leader(&entry->view)) {
		entry->marks = HANDOFF__FOLLOWS;
		roster->followers++;
	}
	count(roster, entry, 1);
	note_id(roster, entry->id, 1);
}

void
handoff__roster_unmark(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, enum handoff__mark mark)
{
	if (mark == HANDOFF__FOLLOWS && entry->marks & HANDOFF__FOLLOWS)
		roster->followers--;
	entry->marks &= (uint8_t)~mark;
}

int
handoff__roster_take(
	struct handoff__roster *roster, struct handoff__roster_entry *entry)
{
	int fd = entry->fd;

	handoff__roster_unqueue(entry);
	handoff__roster_unmark(roster, entry, HANDOFF__FOLLOWS);
	count(roster, entry, -1);
	if (fd >= 0)
		note_id(roster, entry->id, -1);
	entry->fd = -1;
	return fd;
}

void
handoff__roster_close(
	struct handoff__roster *roster, struct handoff__roster_entry *entry)
{
	if (entry->fd >= 0)
		close(handoff__roster_take(roster, entry));
}

void
handoff__roster_vacate(
	struct handoff__roster *roster, struct handoff__roster_entry *entry)
{
	handoff__roster_close(roster, entry);
	handoff__roster_unqueue(entry);
	entry->id = 0;
	handoff__arena_vacate(roster->arena, entry->segment, entry->slot);
}

void
handoff__roster_set_mine(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, bool mine)
{
	count(roster, entry, -1);
	entry->mine = mine;
	count(roster, entry, 1);
}

void
handoff__roster_swap(
	struct handoff__roster *roster, struct handoff__roster_entry *entry)
{
	uint32_t one = entry->mine ? (uint32_t)-1 : 1;

	assert(entry->copy == HANDOFF__COPY_HELD);
	entry->mine = !entry->mine;
	roster->owned += one;
	roster->held -= one;
	if (entry->kind != HANDOFF__CONNECTION)
		return;
	roster->connections += one;
	roster->copies -= one;
}

void
handoff__roster_set_copy(struct handoff__roster *roster,
	struct handoff__roster_entry *entry, enum handoff__copy copy)
{
	count(roster, entry, -1);
	entry->copy = (uint8_t)copy;
	count(roster, entry, 1);
}

void
handoff__roster_unqueue(struct handoff__roster_entry *entry)
{
	if (entry->list)
		TAILQ_REMOVE(entry->list, entry, node);
	entry->list = NULL;
}

void
handoff__roster_queue(
	struct handoff__roster_entry *entry, struct handoff__entries *list)
{
	handoff__roster_unqueue(entry);
	entry->list = list;
	TAILQ_INSERT_TAIL(list, entry, node);
}
