/* SPDX-License-Identifier: MIT */
/*
 * Redo lists: taken, filled, armed, flipped, freed, and finished for a dead
 * peer. Knows no peers beyond their places.
 *
 * A thread takes a list by compare-and-swap, as threads of one process commit
 * side by side. After a death there is nothing to compete with.
 */
#include "record/group.h"

#include "record/older.h"

#include <assert.h>

_Static_assert(sizeof(struct handoff__group_list) <= HANDOFF__GROUP_SIZE,
	"a list fits into its page");

struct handoff__group_list *
handoff__group_list(const struct handoff__segment *commons, uint32_t number)
{
	return (void *)(commons->base + commons->geo.groups +
			(size_t)number * HANDOFF__GROUP_SIZE);
}

static bool
take_list(struct handoff__group_list *list)
{
	uint32_t none = HANDOFF__GROUP_FREE;

	return atomic_load_explicit(&list->step, memory_order_relaxed) ==
		       HANDOFF__GROUP_FREE &&
	       atomic_compare_exchange_strong_explicit(&list->step, &none,
		       HANDOFF__GROUP_WRITTEN, memory_order_acquire,
		       memory_order_relaxed);
}

/* A survivor looks at the lists below `most` alone: looking at another would
 * give it a page. Several threads may raise it at once. */
static void
raise_most(struct handoff__group_list *first, uint32_t most)
{
	uint32_t now = atomic_load_explicit(&first->most, memory_order_relaxed);

	while (now < most &&
		!atomic_compare_exchange_weak_explicit(&first->most, &now, most,
			memory_order_relaxed, memory_order_relaxed))
		;
}

bool
handoff__group_begin(struct handoff__group *group,
	const struct handoff__segment *commons, uint32_t place)
{
	uint32_t first = (place - 1) * HANDOFF__GROUP_LISTS;

	group->count = 0;
	for (uint32_t i = 0; i < HANDOFF__GROUP_LISTS; i++) {
		group->list = handoff__group_list(commons, first + i);
		raise_most(handoff__group_list(commons, first), i + 1);
		if (take_list(group->list))
			return true;
	}
	return false;
}

bool
handoff__group_can_add(const struct handoff__view *view)
{
	uint32_t sequence = handoff__record_sequence(view->rec);

	return handoff__commit_of(view->rec, sequence + 1)->sequence ==
	       sequence + 1;
}

void
handoff__group_add(struct handoff__group *group,
	const struct handoff__view *view, uint32_t segment, uint32_t slot,
	size_t state_len)
{
	uint32_t sequence = handoff__record_sequence(view->rec) + 1;

	assert(group->count < HANDOFF__GROUP_MOST);
	handoff__commit_of(view->rec, sequence)->state_len =
		(uint32_t)state_len;
	group->list->items[group->count] = (struct handoff__group_item){
		.id = handoff__record_id(view->rec),
		.segment = segment,
		.slot = slot,
		.sequence = sequence};
	group->records[group->count++] = view->rec;
}

static void
set_step(struct handoff__group_list *list, enum handoff__group_step step)
{
	atomic_store_explicit(&list->step, step, memory_order_release);
	/* What this permits to be overwritten is overwritten after it: the
	 * valid states once a list is armed, and items once it is free. */
	handoff__overwriting_follows();
}

static void
flip_to(struct handoff__record *rec, uint32_t sequence)
{
	atomic_store_explicit(&rec->sequence, sequence, memory_order_release);
	handoff__overwriting_follows();
}

void
handoff__group_commit(struct handoff__group *group)
{
	struct handoff__group_list *list = group->list;

	list->count = group->count;
	set_step(list, HANDOFF__GROUP_ARMED);
	for (uint32_t i = 0; i < group->count; i++)
		flip_to(group->records[i],
			handoff__record_sequence(group->records[i]) + 1);
	set_step(list, HANDOFF__GROUP_FREE);
}

void
handoff__group_drop(struct handoff__group *group)
{
	set_step(group->list, HANDOFF__GROUP_FREE);
}

/* The record that the item is about, if it is one of the dead peer's that can
 * be what the item says, or is that already; NULL otherwise. */
static struct handoff__record *
record_of(const struct handoff__arena *arena, uint32_t place,
	const struct handoff__group_item *item)
{
	struct handoff__record *rec =
		handoff__arena_record(arena, item->segment, item->slot);
	uint32_t sequence;

	if (!rec || handoff__older(arena->segments[item->segment]) ||
		item->id == 0 || handoff__record_id(rec) != item->id ||
		handoff__owner_word(&rec->owner) != place)
		return NULL;
	sequence = handoff__record_sequence(rec);
	if (sequence == item->sequence)
		return rec;
	return sequence + 1 == item->sequence &&
			       handoff__commit_of(rec, item->sequence)
					       ->sequence == item->sequence
		       ? rec
		       : NULL;
}

static bool
list_ok(const struct handoff__arena *arena, uint32_t place,
	const struct handoff__group_list *list)
{
	if (list->count > HANDOFF__GROUP_MOST)
		return false;
	for (uint32_t i = 0; i < list->count; i++) {
		if (!record_of(arena, place, &list->items[i]))
			return false;
	}
	return true;
}

/* A record that is in there twice, which none is that this library has written,
 * may be past one of its items by now. */
static void
flip_all(const struct handoff__arena *arena, uint32_t place,
	const struct handoff__group_list *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		const struct handoff__group_item *item = &list->items[i];
		struct handoff__record *rec = record_of(arena, place, item);

		if (rec)
			flip_to(rec, item->sequence);
	}
}

static void
finish_list(const struct handoff__arena *arena, uint32_t place,
	struct handoff__group_list *list, struct handoff__group_found *found)
{
	uint32_t step = atomic_load_explicit(&list->step, memory_order_acquire);

	if (step == HANDOFF__GROUP_FREE)
		return;
	if (step == HANDOFF__GROUP_ARMED && list_ok(arena, place, list)) {
		flip_all(arena, place, list);
		found->finished++;
	} else if (step != HANDOFF__GROUP_WRITTEN) {
		found->damaged++;
	}
	set_step(list, HANDOFF__GROUP_FREE);
}

void
handoff__group_finish(const struct handoff__arena *arena, uint32_t place,
	struct handoff__group_found *found)
{
	const struct handoff__segment *commons = handoff__arena_commons(arena);
	uint32_t first = (place - 1) * HANDOFF__GROUP_LISTS, most;

	found->finished = found->damaged = 0;
	if (!commons)
		return;
	most = atomic_load_explicit(&handoff__group_list(commons, first)->most,
		memory_order_acquire);
	for (uint32_t i = 0; i < most && i < HANDOFF__GROUP_LISTS; i++)
		finish_list(arena, place,
			handoff__group_list(commons, first + i), found);
}
