/* SPDX-License-Identifier: MIT */
/*
 * A ring of events that drops the oldest when it is full.
 */
#include "operator/ring.h"

#include <stdio.h>

const struct handoff__operator_event *
handoff__ring_put(struct handoff__ring *ring, int type, uint64_t generation,
	const struct handoff__facts *facts, const char *fmt, va_list ap)
{
	struct handoff__operator_event *h;

	if (ring->count == HANDOFF__RING_SIZE)
		handoff__ring_take(ring);
	h = &ring->list[(ring->first + ring->count++) % HANDOFF__RING_SIZE];
	h->type = type;
	h->generation = generation;
	h->facts = facts ? *facts : (struct handoff__facts){.end = 0};
	vsnprintf(h->text, sizeof(h->text), fmt, ap);
	return h;
}

const struct handoff__operator_event *
handoff__ring_take(struct handoff__ring *ring)
{
	const struct handoff__operator_event *h = &ring->list[ring->first];

	if (ring->count == 0)
		return NULL;
	ring->first = (ring->first + 1) % HANDOFF__RING_SIZE;
	ring->count--;
	return h;
}
