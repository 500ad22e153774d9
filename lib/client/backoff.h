/* SPDX-License-Identifier: MIT */
/* The delay before the next connection attempt. Pure. */
#ifndef HANDOFF_CLIENT_BACKOFF_H
#define HANDOFF_CLIENT_BACKOFF_H

#include <stdint.h>

struct handoff__backoff {
	uint32_t first_ms; /* upper bound of the first delay */
	uint32_t max_ms;
	uint32_t failures; /* since the last reset */
};

/* The next delay, uniform between 0 and a bound that starts at first_ms and
 * doubles with every call up to max_ms ("full jitter"). `*seed` as in
 * handoff__random_upto. */
uint32_t handoff__backoff_next(struct handoff__backoff *b, uint64_t *seed);

void handoff__backoff_reset(struct handoff__backoff *b);

/* As after many failures. */
void handoff__backoff_exhaust(struct handoff__backoff *b);

/* Uniform in 0..bound. */
uint32_t handoff__random_upto(uint64_t *seed, uint32_t bound);

#endif
