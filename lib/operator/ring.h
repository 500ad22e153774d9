/* SPDX-License-Identifier: MIT */
/*
 * Events that the program has not pulled yet. The ring is bounded: of a program
 * that does not pull, the oldest detail is dropped, and the oldest other event
 * only where no detail is left. Does not interpret them otherwise.
 */
#ifndef HANDOFF_OPERATOR_RING_H
#define HANDOFF_OPERATOR_RING_H

#include <handoff/outcome.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* More than a handoff causes with 64 addresses to open and 64 others to
 * close. */
#define HANDOFF__RING_SIZE 256

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
	bool detail;
	uint64_t generation;
	struct handoff__facts facts;
	char text[HANDOFF_TEXT_MAX];
};

struct handoff__ring {
	/* one more than are kept: the new one, before another is dropped */
	struct handoff__operator_event list[HANDOFF__RING_SIZE + 1];
	unsigned first, count;
	unsigned dropped; /* since the last take */
};

/* Returns the new event, which is valid until the next put even if it was
 * dropped. `detail`: it may be dropped in favour of others. `facts` may be
 * NULL. */
const struct handoff__operator_event *handoff__ring_put(
	struct handoff__ring *ring, int type, bool detail, uint64_t generation,
	const struct handoff__facts *facts, const char *fmt, va_list ap);

/* Removes and returns the oldest event, which is valid until the next put. NULL
 * if there is none. Resets `dropped`. */
const struct handoff__operator_event *handoff__ring_take(
	struct handoff__ring *ring);

#endif
