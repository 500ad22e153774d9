/* SPDX-License-Identifier: MIT */
/*
 * Copies records out of the shared memory. Everything goes into one mapping,
 * whose pages are allocated when they are written to.
 */
#include "server/picture.h"

#include <errno.h>
#include <sys/mman.h>

/* reserved for names of entries that are not connections, so that a lot of
 * client data cannot crowd them out */
#define NAMES   (64u << 10)
#define BUFFERS 2 /* per record: input and output */

/* The memory that the records in use need. */
struct need {
	size_t count;
	size_t states; /* bytes, each state in the size of its own segment */
};

/* The unused part of the memory. */
struct room {
	struct handoff__shot *shot, *end;
	unsigned char *state, *states_end;
	unsigned char *bytes;
	size_t left;
};

static bool
in_use(const struct handoff__segment *seg, uint32_t slot)
{
	return atomic_load_explicit(&handoff__segment_record(seg, slot)->owner,
		       memory_order_relaxed) != 0;
}

/* The room for a state of this segment, 16-byte aligned. */
static size_t
state_room(const struct handoff__segment *seg)
{
	return (seg->geo.state_size + 15u) & ~(size_t)15u;
}

static struct need
sum_up(const struct handoff__arena *arena)
{
	struct need need = {.count = 0};

	for (uint32_t i = 0; i < arena->count; i++) {
		const struct handoff__segment *seg = arena->segments[i];
		size_t count = 0;

		for (uint32_t s = 0; s < seg->geo.slots; s++)
			count += in_use(seg, s);
		need.count += count;
		need.states += count * state_room(seg);
	}
	return need;
}

/* The number of bytes of each buffer that are kept. */
static size_t
most_bytes(const struct room *room, bool connection)
{
	size_t left = room->left;

	if (connection)
		left = left > NAMES ? left - NAMES : 0;
	left /= BUFFERS;
	return left < HANDOFF__PICTURE_EACH ? left : HANDOFF__PICTURE_EACH;
}

/* A state needs the size of its own segment: there may be records of an older
 * program. */
static bool
fits(const struct room *room, size_t state_size)
{
	return room->shot < room->end &&
	       state_size <= (size_t)(room->states_end - room->state);
}

static void
take_one(struct room *room, struct handoff__roster *roster, uint32_t segment,
	uint32_t slot)
{
	const struct handoff__segment *seg = roster->arena->segments[segment];
	struct handoff__shot *shot = room->shot;
	struct handoff__roster_entry *entry;
	struct handoff__view view;
	bool connection, state;

	handoff__view_make(&view, seg, slot);
	connection = view.rec->kind == HANDOFF__CONNECTION;
	state = connection && seg->geo.state_size > 0;
	if (!fits(room, state ? state_room(seg) : 0) ||
		!handoff__snapshot_take(&shot->snap, &view,
			state ? room->state : NULL, room->bytes,
			most_bytes(room, connection)))
		return;
	entry = handoff__roster_find(roster, segment, slot, shot->snap.id);
	shot->fd = entry ? entry->fd : -1;
	shot->state = state ? room->state : NULL;
	shot->state_size = shot->snap.state_len;
	shot->state_version = seg->geo.state_version;
	shot->bytes = room->bytes;
	room->shot++;
	room->state += state ? state_room(seg) : 0;
	room->bytes += shot->snap.in + shot->snap.out;
	room->left -= shot->snap.in + shot->snap.out;
}

/* A few records that are added meanwhile may not fit. Most states use little of
 * their size, so no memory is reserved for the rest. */
static int
map_picture(struct handoff__picture *picture, struct room *room,
	const struct need *need)
{
	room->left = HANDOFF__PICTURE_BYTES;
	picture->size =
		need->states + need->count * sizeof(*room->shot) + room->left;
	picture->base = mmap(NULL, picture->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (picture->base == MAP_FAILED)
		return -errno;
	/* excluded from core dumps like the arena */
	madvise(picture->base, picture->size, MADV_DONTDUMP);
	room->state = picture->base;
	room->states_end = room->state + need->states;
	room->shot = (void *)room->states_end;
	room->end = room->shot + need->count;
	room->bytes = (unsigned char *)room->end;
	return 0;
}

int
handoff__picture_take(
	struct handoff__picture *picture, struct handoff__roster *roster)
{
	const struct handoff__arena *arena = roster->arena;
	struct need need = sum_up(arena);
	struct room room = {.shot = NULL};
	int err = map_picture(picture, &room, &need);

	if (err < 0)
		return err;
	picture->shots = room.shot;
	for (uint32_t i = 0; i < arena->count; i++) {
		uint32_t slots = arena->segments[i]->geo.slots;

		for (uint32_t s = 0; s < slots; s++) {
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
