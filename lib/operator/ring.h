/* SPDX-License-Identifier: MIT */
/*
 * Events that the program has not pulled yet. There are so many at most: a
 * program that does not pull loses the oldest. Knows nothing of what they mean.
 */
#ifndef HANDOFF_OPERATOR_RING_H
#define HANDOFF_OPERATOR_RING_H

#include <handoff/common.h>

#include <stdarg.h>
#include <stdint.h>

#define HANDOFF__RING_SIZE 64

struct handoff__happening {
	int type; /* of the public events of whoever tells */
	uint64_t generation;
	char text[HANDOFF_TEXT_MAX];
};

struct handoff__ring {
	struct handoff__happening list[HANDOFF__RING_SIZE];
	unsigned first, count;
};

/* Returns what was added. */
const struct handoff__happening *handoff__ring_put(struct handoff__ring *ring,
	int type, uint64_t generation, const char *fmt, va_list ap);

/* The oldest, which is taken out; it is there until the next one is put in.
 * NULL if there is none. */
const struct handoff__happening *handoff__ring_take(struct handoff__ring *ring);

#endif
