/* SPDX-License-Identifier: MIT */
/*
 * Any redo list, as a dead process may have left it: all that it names has come
 * true then, or nothing; and never anything of a record of another owner.
 *
 * The input: the step and the number of items, then the items, mostly of
 * records that there are; then what the dead process had flipped already.
 */
#include "fuzz.h"

#include "record/group.h"

#define RECORDS 8u
#define DEAD    1u
#define HERE    2u
#define FOREIGN 7u /* the slot of the only record of the survivor */

struct input {
	const uint8_t *data;
	size_t left;
};

static uint32_t
take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

/* Mostly what is expected, at times anything. */
static uint32_t
mostly(struct input *in, uint32_t expected)
{
	uint32_t v = take(in);

	return v < 0xf0 ? expected
			: v << 28 | take(in) << 16 | take(in) << 8 | take(in);
}

static bool
any(void *arg, uint32_t segment, uint32_t slot)
{
	(void)arg;
	(void)segment;
	(void)slot;
	return true;
}

static void
open_arena(struct handoff__arena *arena)
{
	struct handoff__geometry geo;
	uint32_t segment, slot;

	handoff__arena_init(arena);
	check(handoff__geometry_make(&geo, 16, 4096, 4096) == 0);
	check(handoff__arena_grow(arena, &geo) == 0);
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct handoff__view view;

		check(handoff__arena_alloc(arena, i == FOREIGN ? HERE : DEAD,
			      any, NULL, &segment, &slot) == 0);
		check(slot == i);
		handoff__view_make(&view, arena->segments[0], slot);
		handoff__record_set_id(view.rec, slot + 1);
		handoff__prepare(&view);
	}
}

static uint32_t
sequence_of(const struct handoff__arena *arena, uint32_t slot)
{
	return handoff__record_sequence(handoff__arena_record(arena, 0, slot));
}

static void
fill(struct input *in, struct handoff__group_list *list)
{
	list->step = mostly(in, HANDOFF__GROUP_ARMED);
	list->count = mostly(in, take(in) % (RECORDS + 1));
	for (uint32_t i = 0; i < HANDOFF__GROUP_MOST && in->left > 0; i++) {
		struct handoff__group_item *item = &list->items[i];

		item->slot = mostly(in, take(in) % RECORDS);
		item->segment = mostly(in, 0);
		item->id = mostly(in, item->slot + 1);
		item->sequence = mostly(in, 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .left = size};
	struct handoff__group_found found;
	struct handoff__group_list *list;
	struct handoff__arena arena;
	uint32_t before[RECORDS], flipped = take(&in);

	open_arena(&arena);
	for (uint32_t i = 0; i < FOREIGN; i++)
		handoff__arena_record(&arena, 0, i)->sequence =
			flipped >> i & 1;
	for (uint32_t i = 0; i < RECORDS; i++)
		before[i] = sequence_of(&arena, i);
	list = handoff__group_list(handoff__arena_commons(&arena), 0);
	list->most = mostly(&in, 1);
	fill(&in, list);
	handoff__group_finish(&arena, DEAD, &found);
	check(found.finished + found.damaged <= 1);
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t now = sequence_of(&arena, i);

		check(now == before[i] ||
			(found.finished == 1 && now == 1 && i != FOREIGN));
	}
	/* one that is named twice is what the later of the two says */
	for (uint32_t i = 0; found.finished == 1 && i < list->count; i++)
		check(sequence_of(&arena, list->items[i].slot) >=
			list->items[i].sequence);
	handoff__arena_fini(&arena);
	return 0;
}
