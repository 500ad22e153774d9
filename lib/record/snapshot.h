/* SPDX-License-Identifier: MIT */
/*
 * A consistent copy of a record, taken while its owner (this thread, another
 * one or another process) works on it.
 */
#ifndef HANDOFF_RECORD_SNAPSHOT_H
#define HANDOFF_RECORD_SNAPSHOT_H

#include "record/record.h"

struct handoff__snapshot {
	uint64_t id;
	uint32_t owner; /* the place, or HANDOFF__ELSEWHERE */
	uint32_t kind, activity, flags;
	uint64_t received, consumed, produced, sent;
	uint64_t line_pos;
	uint64_t session;  /* its number; 0: none */
	int64_t absent_ms; /* CLOCK_BOOTTIME, since when it has no socket; 0: it
			    * has one */
	uint32_t deaths;   /* in the handler, see handling.h */
	bool handling;     /* the handler is running */
	uint32_t state_len; /* bytes copied from the state */
	uint32_t in, out; /* bytes copied from the buffered input and output */
	bool unstable;    /* torn or damaged: the fields may not belong
			   * together */
};

/*
 * Copies the record: the state, as far as it is in use, to `state` (room for
 * state_size bytes; NULL: skip it), and the first `most` bytes each of the
 * buffered input and output to `bytes`, the output right behind the input.
 * Never waits for the owner: after enough attempts it keeps the last copy and
 * sets `unstable`. False if the record is free, or gets another entry before
 * the copy is complete.
 */
bool handoff__snapshot_take(struct handoff__snapshot *snap,
	const struct handoff__view *view, void *state, unsigned char *bytes,
	size_t most);

#endif
