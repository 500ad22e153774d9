/* SPDX-License-Identifier: MIT */
/*
 * Detects the death of the other process.
 */
#ifndef HANDOFF_PEER_DEATH_H
#define HANDOFF_PEER_DEATH_H

#include "peer/core.h"

void handoff__death_init(struct handoff__pair *pair);

/* Watches the process at the socket's other end. `passed` is taken over; `*pid`
 * as for handoff__process_of. */
int handoff__death_watch(
	struct handoff__pair *pair, int fd, int passed, pid_t *pid);

/* LIFE: the same for its children; takes the descriptor over. */
void handoff__death_watch_children(struct handoff__pair *pair, int fd);

void handoff__death_forget_process(struct handoff__pair *pair);
void handoff__death_forget_children(struct handoff__pair *pair);

/* Whether no process is left that may touch the other peer's entries. */
bool handoff__death_certain(const struct handoff__pair *pair);

#endif
