/* SPDX-License-Identifier: MIT */
/*
 * Events that the program has not pulled yet. The ring is bounded: a program
 * that does not pull loses the oldest. Does not interpret them.
 */
#ifndef HANDOFF_OPERATOR_RING_H
#define HANDOFF_OPERATOR_RING_H

#include <handoff/outcome.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__RING_SIZE 64

/* The facts of an event beside its sentence; unused ones are zero. */
struct handoff__facts {
	enum handoff_reason reason;
	bool died, over;
	uint32_t closed, moved, passing;
	uint32_t end; /* number of its `outcome`, counted from 1; 0: none */
	struct handoff_outcome outcome;
};

struct handoff__operator_event {
	int type; /* a public event type of the layer above */
	uint64_t generation;
	struct handoff__facts facts;
	char text[HANDOFF_TEXT_MAX];
};

struct handoff__ring {
	struct handoff__operator_event list[HANDOFF__RING_SIZE];
	unsigned first, count;
};

/* Returns the new event. `facts` may be NULL. */
const struct handoff__operator_event *handoff__ring_put(
	struct handoff__ring *ring, int type, uint64_t generation,
	const struct handoff__facts *facts, const char *fmt, va_list ap);

/* Removes and returns the oldest event, which is valid until the next put. NULL
 * if there is none. */
const struct handoff__operator_event *handoff__ring_take(
	struct handoff__ring *ring);

#endif
