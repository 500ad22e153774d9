/* SPDX-License-Identifier: MIT */
/*
 * Copies records out of the memory that both peers share. All of it goes into
 * one mapping, whose pages exist once they are written to.
 */
#include "server/picture.h"

#include <errno.h>
#include <sys/mman.h>

/* Of the bytes of all buffers, for what is not a connection: a name is not
 * left out because clients have said so much. */
#define NAMES (64u << 10)

/* What is not used yet of the picture's memory. */
struct room {
	struct handoff__shot *shot, *end;
	unsigned char *state;
	size_t state_size;
	unsigned char *bytes;
	size_t left;
};

static bool
in_use(const struct handoff__segment *seg, uint32_t slot)
{
	return atomic_load_explicit(&handoff__segment_record(seg, slot)->owner,
		       memory_order_relaxed) != 0;
}

static uint32_t
count_records(const struct handoff__arena *arena)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++)
			count += in_use(arena->segments[i], s);
	}
	return count;
}

/* How many bytes of each buffer are kept. */
static size_t
most_bytes(const struct room *room, bool connection)
{
	size_t left = room->left;

	if (connection)
		left = left > NAMES ? left - NAMES : 0;
	return left / 2 < HANDOFF__PICTURE_EACH ? left / 2
						: HANDOFF__PICTURE_EACH;
}

static void
take_one(struct room *room, struct handoff__roster *roster, uint32_t segment,
	uint32_t slot)
{
	struct handoff__shot *shot = room->shot;
	struct handoff__entry *entry;
	struct handoff__view view;
	bool connection, state;

	handoff__view_make(&view, roster->arena->segments[segment], slot);
	connection = view.rec->kind == HANDOFF__CONNECTION;
	state = connection && room->state_size > 0;
	if (!handoff__snapshot_take(&shot->snap, &view,
		    state ? room->state : NULL, room->bytes,
		    most_bytes(room, connection)))
		return;
	entry = handoff__roster_find(roster, segment, slot, shot->snap.id);
	shot->fd = entry ? entry->fd : -1;
	shot->state = state ? room->state : NULL;
	shot->bytes = room->bytes;
	room->shot++;
	room->state += state ? room->state_size : 0;
	room->bytes += shot->snap.in + shot->snap.out;
	room->left -= shot->snap.in + shot->snap.out;
}

/* Memory for so many records, and a few that come meanwhile find none. */
static int
make_room(struct handoff__picture *picture, struct room *room, size_t count,
	size_t state_size)
{
	room->state_size = (state_size + 15u) & ~(size_t)15u;
	room->left = HANDOFF__PICTURE_BYTES;
	picture->size =
		count * (room->state_size + sizeof(*room->shot)) + room->left;
	picture->base = mmap(NULL, picture->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (picture->base == MAP_FAILED)
		return -errno;
	room->state = picture->base;
	room->shot = (void *)(room->state + count * room->state_size);
	room->end = room->shot + count;
	room->bytes = (unsigned char *)room->end;
	return 0;
}

int
handoff__picture_take(
	struct handoff__picture *picture, struct handoff__roster *roster)
{
	const struct handoff__arena *arena = roster->arena;
	struct room room = {.shot = NULL};
	int err = make_room(picture, &room, count_records(arena),
		arena->count > 0 ? arena->segments[0]->geo.state_size : 0);

	if (err < 0)
		return err;
	picture->shots = room.shot;
	for (uint32_t i = 0; i < arena->count; i++) {
		uint32_t slots = arena->segments[i]->geo.slots;

		for (uint32_t s = 0; s < slots && room.shot < room.end; s++) {
			if (in_use(arena->segments[i], s))
				take_one(&room, roster, i, s);
		}
	}
	picture->count = (uint32_t)(room.shot - picture->shots);
	return 0;
}

void
handoff__picture_free(struct handoff__picture *picture)
{
	munmap(picture->base, picture->size);
}
