/* SPDX-License-Identifier: MIT */
/*
 * The page of the lease: a double buffer for what changes with a session or a
 * token, and words beside it for the time, which moves every few seconds. Reads
 * no clock.
 */
#include "record/tenure.h"

#include <assert.h>
#include <string.h>

#define DOUBT_PART  3u  /* TTL/3 after a proof was sent it is in doubt */
#define MARGIN_PART 30u /* half a second of 15 */

static_assert(
	sizeof(struct handoff__tenure) <= HANDOFF__TENURE_SIZE, "it is a page");

uint64_t
handoff__tenure_margin(uint64_t ttl_ns)
{
	return ttl_ns / MARGIN_PART;
}

static const struct handoff__tenure_kept *
valid_copy(const struct handoff__tenure *tenure)
{
	return &tenure->kept[atomic_load(&tenure->sequence) & 1];
}

/* It counts from when the proof was sent to two thirds of the TTL, and is in
 * doubt from one third on. */
void
handoff__tenure_valid(struct handoff__tenure *tenure, uint64_t valid_ns)
{
	uint64_t ttl_ns = valid_copy(tenure)->ttl_ns;
	uint64_t third_ns = ttl_ns / DOUBT_PART;
	uint64_t margin_ns = handoff__tenure_margin(ttl_ns);

	atomic_store(&tenure->valid_ns, valid_ns);
	atomic_store(&tenure->certain_ns,
		valid_ns > third_ns ? valid_ns - third_ns : 0);
	atomic_store(&tenure->until_ns,
		valid_ns > margin_ns ? valid_ns - margin_ns : 0);
}

/* Nothing is valid while it changes. */
void
handoff__tenure_keep(
	struct handoff__tenure *tenure, const struct handoff__tenure_kept *kept)
{
	uint32_t sequence = atomic_load(&tenure->sequence);

	if (valid_copy(tenure)->token != kept->token)
		handoff__tenure_valid(tenure, 0);
	tenure->kept[(sequence & 1) ^ 1] = *kept;
	atomic_store(&tenure->sequence, sequence + 1);
	handoff__tenure_valid(tenure, kept->valid_ns);
}

void
handoff__tenure_read(
	const struct handoff__tenure *tenure, struct handoff__tenure_kept *kept)
{
	*kept = *valid_copy(tenure);
	if (kept->session_len > sizeof(kept->session))
		kept->session_len = 0;
	kept->valid_ns = atomic_load(&tenure->valid_ns);
}
