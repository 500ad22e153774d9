/* SPDX-License-Identifier: MIT */
/*
 * Exponential backoff with full jitter, so that many clients do not reconnect
 * at the same moment. Pure: the caller keeps the seed.
 */
#include "client/backoff.h"

#define MANY 32 /* failures; no bound doubles so often */

/* SplitMix64 (Steele, Lea, Flood 2014): one word of state, any seed works */
static uint64_t
next_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint32_t
handoff__random_upto(uint64_t *seed, uint32_t bound)
{
	/* the modulo bias is below 2^-32 */
	return (uint32_t)(next_random(seed) % ((uint64_t)bound + 1));
}

static uint32_t
bound_ms(const struct handoff__backoff *b)
{
	uint64_t bound;

	if (b->failures >= MANY)
		return b->max_ms;
	bound = (uint64_t)b->first_ms << b->failures;
	return bound < b->max_ms ? (uint32_t)bound : b->max_ms;
}

uint32_t
handoff__backoff_next(struct handoff__backoff *b, uint64_t *seed)
{
	uint32_t bound = bound_ms(b);

	if (b->failures < MANY)
		b->failures++;
	return handoff__random_upto(seed, bound);
}

void
handoff__backoff_reset(struct handoff__backoff *b)
{
	b->failures = 0;
}

void
handoff__backoff_exhaust(struct handoff__backoff *b)
{
	b->failures = MANY;
}
