/* SPDX-License-Identifier: MIT */
/*
 * witness PID: watches the arena of a peer of counter.c, a look each
 * millisecond, also when the peer has ended. All times are CLOCK_BOOTTIME.
 *
 *     lease BEFORE AT STATE TOKEN UNTIL VALID
 *     commit BEFORE AT CONNECTION CONSUMED
 *
 * says what was seen at AT, and not yet at BEFORE: how long something may be
 * sent and committed, until when the lease is valid; and how many bytes the
 * handler of a connection has consumed.
 */
#include "base/loop.h"
#include "counter.h"
#include "record/older.h"
#include "spy.h"

#include <handoff/lease.h>

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define SLOTS HANDOFF__SLOTS

struct look {
	uint64_t at;
	uint32_t state;
	uint64_t token, until, valid;
};

static uint64_t ids[SLOTS], consumed[SLOTS];

static void
look_at_lease(const struct handoff__tenure *tenure, struct look *last)
{
	struct handoff__tenure_kept kept;
	struct look now = {.at = handoff__boot_ns()};

	handoff__tenure_read(tenure, &kept);
	now.token = kept.token;
	now.state = atomic_load(&tenure->state);
	now.until = atomic_load(&tenure->until_ns);
	now.valid = atomic_load(&tenure->valid_ns);
	if (now.state != last->state || now.token != last->token ||
		now.until != last->until || now.valid != last->valid)
		printf("lease %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %" PRIu64
		       " %" PRIu64 "\n",
			last->at, now.at,
			handoff_lease_state_name(
				(enum handoff_lease_state)now.state),
			now.token, now.until, now.valid);
	*last = now;
}

/* The time is read before what is seen is, and after that once more, by the
 * caller: what is new was committed after `before`. */
static void
look_at_record(struct handoff__arena *arena, uint32_t slot, uint64_t before)
{
	struct handoff__record *rec = handoff__arena_record(arena, 0, slot);
	struct handoff__commit commit;
	struct handoff__view view;

	if (rec->owner == 0 || rec->kind != HANDOFF__CONNECTION)
		return;
	handoff__view_make(&view, arena->segments[0], slot);
	handoff__older_commit(
		&view, handoff__record_sequence(rec) & 1, &commit);
	if (ids[slot] == rec->id && consumed[slot] != commit.rx_tail)
		printf("commit %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		       "\n",
			before, handoff__boot_ns(), rec->id, commit.rx_tail);
	ids[slot] = rec->id;
	consumed[slot] = commit.rx_tail;
}

int
main(int argc, char **argv)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	struct handoff__arena arena;
	struct look last = {.state = UINT32_MAX};
	const struct handoff__tenure *tenure;
	uint64_t before = 0, now;

	if (argc != 2 ||
		spy_map(&arena, argv[1], (uint32_t)sizeof(struct counter)) < 0)
		return 1;
	tenure = handoff__tenure_of(&arena);
	while (tenure) {
		look_at_lease(tenure, &last);
		now = handoff__boot_ns();
		for (uint32_t slot = 0; slot < SLOTS; slot++)
			look_at_record(&arena, slot, before);
		before = now;
		fflush(stdout);
		nanosleep(&pause, NULL);
	}
	return 1;
}
