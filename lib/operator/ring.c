/* SPDX-License-Identifier: MIT */
/*
 * A ring of events that drops the oldest detail when it is full, or else the
 * oldest event.
 */
#include "operator/ring.h"

#include <stdio.h>

#define SLOTS (HANDOFF__RING_SIZE + 1)

static struct handoff__operator_event *
event_at(struct handoff__ring *ring, unsigned i)
{
	return &ring->list[(ring->first + i) % SLOTS];
}

/* The events before it move up, as there are mostly few: the new one, at the
 * end, stays where it is. */
static void
drop_one(struct handoff__ring *ring)
{
	unsigned i = 0;

	ring->dropped++;
	while (i < ring->count && !event_at(ring, i)->detail)
		i++;
	ring->count--;
	if (i == ring->count)
		return; /* the new one is the only detail */
	if (i > ring->count)
		i = 0;
	for (; i > 0; i--)
		*event_at(ring, i) = *event_at(ring, i - 1);
	ring->first = (ring->first + 1) % SLOTS;
}

const struct handoff__operator_event *
handoff__ring_put(struct handoff__ring *ring, int type, bool detail,
	uint64_t generation, const struct handoff__facts *facts,
	const char *fmt, va_list ap)
{
	struct handoff__operator_event *h = event_at(ring, ring->count++);

	h->type = type;
	h->detail = detail;
	h->generation = generation;
	h->facts = facts ? *facts : (struct handoff__facts){.end = 0};
	vsnprintf(h->text, sizeof(h->text), fmt, ap);
	if (ring->count > HANDOFF__RING_SIZE)
		drop_one(ring);
	return h;
}

const struct handoff__operator_event *
handoff__ring_take(struct handoff__ring *ring)
{
	const struct handoff__operator_event *h = event_at(ring, 0);

	ring->dropped = 0;
	if (ring->count == 0)
		return NULL;
	ring->first = (ring->first + 1) % SLOTS;
	ring->count--;
	return h;
}
