/* SPDX-License-Identifier: MIT */
/* Words of batches that only the gate still has: the server has died together
 * with the ferry before this one, and its arena with them. */
#ifndef HANDOFF_FERRY_BEQUEST_H
#define HANDOFF_FERRY_BEQUEST_H

#include "ferry/ferry.h"

/* Reads the table that the gate has, unless it is that of the arena here. */
void handoff__bequest_read(
	struct handoff__ferry *ferry, int segment_fd, uint64_t offset);

/* Whether that batch has left this host: the other one serves it. */
bool handoff__bequest_committed(
	const struct handoff__ferry *ferry, uint64_t batch);

/* The other host knows. */
void handoff__bequest_drop(struct handoff__ferry *ferry, uint64_t batch);

/* True if the words of all batches that may exist here were not read yet, which
 * they are when the gate is ready: what was asked about that batch, QUERY or
 * COMMIT, is answered then. */
bool handoff__bequest_early(
	struct handoff__ferry *ferry, uint64_t batch, bool query);

#endif
