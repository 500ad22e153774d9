/* SPDX-License-Identifier: MIT */
/*
 * What had left this host is the other one's, which may still be in doubt about
 * it: that is all that such a table is good for. The connections that were
 * here have ended with their server, and those that were coming too.
 */
#include "ferry/bequest.h"

#include <errno.h>
#include <sys/stat.h>

static bool
is_of_this_arena(const struct handoff__ferry *ferry, int segment_fd)
{
	const struct handoff__segment *commons =
		handoff__arena_commons(&ferry->pair.arena);
	struct stat here, there;

	return commons && fstat(commons->fd, &here) == 0 &&
	       fstat(segment_fd, &there) == 0 && here.st_ino == there.st_ino &&
	       here.st_dev == there.st_dev;
}

void
handoff__bequest_read(
	struct handoff__ferry *ferry, int segment_fd, uint64_t offset)
{
	struct handoff__batches_map map;
	struct handoff__batch batch = {.slot = 0};
	uint32_t n = 0;

	if (is_of_this_arena(ferry, segment_fd) ||
		handoff__batches_map(&map, segment_fd, offset) < 0)
		return;
	for (; handoff__batch_next(map.batches, &batch); batch.slot++) {
		if (handoff__batch_way(batch.word) == HANDOFF__BATCH_OUT &&
			handoff__batch_state(batch.word) ==
				HANDOFF__BATCH_COMMITTED)
			ferry->bequest[n++] = batch.id;
	}
	ferry->nbequest = n;
	handoff__batches_unmap(&map);
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"gate: the server here has died together with the ferry: %u "
		"batch%s that had left this host %s the other one's",
		n, n == 1 ? "" : "es", n == 1 ? "is" : "are");
}

bool
handoff__bequest_committed(const struct handoff__ferry *ferry, uint64_t batch)
{
	for (uint32_t i = 0; i < ferry->nbequest; i++) {
		if (ferry->bequest[i] == batch)
			return true;
	}
	return false;
}

bool
handoff__bequest_early(struct handoff__ferry *ferry, uint64_t batch, bool query)
{
	if (ferry->gate && handoff__gate_is_ready(ferry->gate))
		return false;
	if (ferry->nearly < HANDOFF__BATCHES)
		ferry->early[ferry->nearly++] =
			(struct handoff__early){.batch = batch, .query = query};
	return true;
}

void
handoff__bequest_drop(struct handoff__ferry *ferry, uint64_t batch)
{
	for (uint32_t i = 0; i < ferry->nbequest; i++) {
		if (ferry->bequest[i] == batch)
			ferry->bequest[i--] = ferry->bequest[--ferry->nbequest];
	}
}
