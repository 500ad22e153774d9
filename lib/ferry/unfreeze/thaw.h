/* SPDX-License-Identifier: MIT */
/*
 * What becomes of the batches of a ferry that has died, by their words in the
 * arena: unfrozen here, left to the other host, finished, or kept in doubt.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_THAW_H
#define HANDOFF_FERRY_UNFREEZE_THAW_H

#include "ferry/finish.h"
#include "ferry/unfreeze/flows.h"
#include "record/batch.h"

struct handoff__thaw {
	struct handoff__flows *flows;
	struct handoff__batches_map map; /* its `batches` NULL: none yet */
	struct handoff__rests rests;
	bool repeated; /* without what is said once */
	/* a sentence about what was done, or failed */
	void (*say)(void *arg, const char *text);
	void *arg;
};

void handoff__thaw_init(struct handoff__thaw *thaw,
	struct handoff__flows *flows, void (*say)(void *, const char *),
	void *arg);
void handoff__thaw_fini(struct handoff__thaw *thaw);

/* Maps the page of the batch table; see handoff__batches_map. The one before is
 * forgotten. */
int handoff__thaw_arena(struct handoff__thaw *thaw, int fd, uint64_t offset);

/* Does what there is to do without a ferry, for each batch by its word:
 *   OUT, open       aborts it (a survivor may be faster), then as aborted
 *   OUT, aborted    unfreezes its sockets, lets its packets pass
 *   OUT, committed  flips its packets
 *   IN, open        keeps it: in doubt
 *   IN, committed   finishes its sockets from their images
 *   IN, aborted     closes its descriptors
 * A word that is there no more counts as aborted: nothing was frozen yet, or
 * the batch is over. Packets of flows without a batch that wait are let go.
 * `repeated`: it was called since the ferry's death. Returns whether something
 * failed that shall be tried again. */
bool handoff__thaw_all(struct handoff__thaw *thaw, bool repeated);

/* Whether the batch that comes in that slot is undecided. */
bool handoff__thaw_open(const struct handoff__thaw *thaw, uint32_t slot);

/* Sends output of finished sockets that has waited for room. Returns whether
 * some still does. */
bool handoff__thaw_rests(struct handoff__thaw *thaw);

#endif
