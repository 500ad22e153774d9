/* SPDX-License-Identifier: MIT */
/*
 * Looks into the arena of a process, for tests: what its host's lease allows,
 * and what its handlers have committed. Knows the library's internals, and
 * changes nothing.
 */
#ifndef ENGINES_SPY_H
#define ENGINES_SPY_H

#include "record/arena.h"
#include "record/tenure.h"

/* Maps the first segment, which has the tenure, of a process (its ID, or
 * "self"); `state_size` is that of the service. It stays when the process has
 * ended. Returns 0 or a negative errno. */
int spy_map(struct handoff__arena *arena, const char *pid, uint32_t state_size);

#endif
