/* SPDX-License-Identifier: MIT */
/*
 * A dead-man timer: the kernel kills this process (SIGKILL) at a time that it
 * has set, unless it sets a later one before that. It needs no thread and no
 * signal handler, so that it also ends a process that spins, or is stopped. A
 * child (fork(2)) has none.
 */
#ifndef HANDOFF_BASE_DEADMAN_H
#define HANDOFF_BASE_DEADMAN_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* valid when zeroed: none */
struct handoff__deadman {
	timer_t timer;
	bool made;
	uint64_t at_ns; /* 0: not armed */
};

/* Kills the process at this time of CLOCK_BOOTTIME, which goes on while the
 * host sleeps, or at once if it has passed; 0: not at all. A negative errno if
 * the kernel has no timer left. */
int handoff__deadman_set(struct handoff__deadman *deadman, uint64_t at_ns);

void handoff__deadman_fini(struct handoff__deadman *deadman);

#endif
