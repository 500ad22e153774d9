/* SPDX-License-Identifier: MIT */
/*
 * A host's tenure: what all processes of a host share about its lease. In the
 * commons, one page. The process that keeps the lease writes it; the others
 * read until when something may be committed and sent, and one that takes the
 * service over goes on with the session that is stored here. Knows no engine.
 */
#ifndef HANDOFF_RECORD_TENURE_H
#define HANDOFF_RECORD_TENURE_H

#include "record/arena.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__TENURE_SESSION 256 /* bytes */

/* What outlives the process that keeps the lease. */
struct handoff__tenure_kept {
	uint64_t token;       /* 0: none */
	uint64_t ttl_ns;      /* in force */
	uint64_t valid_ns;    /* as it was when this was stored; see valid_ns
			       * below for the time since */
	uint32_t session_len; /* 0: none */
	uint32_t unused;
	unsigned char session[HANDOFF__TENURE_SESSION]; /* secret */
};

/* In shared memory. */
struct handoff__tenure {
	_Atomic uint64_t leased;   /* 1: the service has a lease, and nothing is
				    * committed or sent without it */
	_Atomic uint64_t until_ns; /* CLOCK_BOOTTIME: nothing is from here on;
				    * 0: nothing at all */
	_Atomic uint64_t valid_ns; /* when the lease itself ends to be valid,
				    * a moment later; 0: it is not valid */
	_Atomic uint64_t certain_ns; /* from here on it is in doubt: nothing is
				      * accepted, published or begun */
	_Atomic uint32_t state;      /* enum handoff_lease_state, as of the last
				      * change */
	_Atomic uint32_t sequence;   /* of `kept`: its lowest bit says which one
				      * is valid */
	struct handoff__tenure_kept kept[2];
};

/* The arena's; NULL: it has no commons (all of an older layout). */
static inline struct handoff__tenure *
handoff__tenure_of(const struct handoff__arena *arena)
{
	const struct handoff__segment *seg = handoff__arena_commons(arena);

	return seg ? (void *)(seg->base + seg->geo.tenure) : NULL;
}

/* Whether the service has a lease, and it does not allow that something is
 * committed or sent at this time. */
static inline bool
handoff__tenure_over(const struct handoff__tenure *tenure, uint64_t now_ns)
{
	return tenure && atomic_load(&tenure->leased) != 0 &&
	       now_ns >= atomic_load(&tenure->until_ns);
}

/* Stores all of it, in one step: a process that dies meanwhile leaves what was
 * there before. Then `valid_ns` of it counts. One process at a time. */
void handoff__tenure_keep(struct handoff__tenure *tenure,
	const struct handoff__tenure_kept *kept);

/* Copies it, with the validity as of now. Trusts nothing: what is impossible is
 * no session. */
void handoff__tenure_read(const struct handoff__tenure *tenure,
	struct handoff__tenure_kept *kept);

/* The validity has moved. */
void handoff__tenure_valid(struct handoff__tenure *tenure, uint64_t valid_ns);

/* How long before the end of validity everything stands still: so that what the
 * kernel may still send for the first time (base/still.h) is sent within it. */
uint64_t handoff__tenure_margin(uint64_t ttl_ns);

#endif
