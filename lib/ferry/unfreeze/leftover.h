/* SPDX-License-Identifier: MIT */
/*
 * Rules that a helper of another service directory has left: that directory was
 * made anew, and so the rules have another name. They queue packets to the
 * service's addresses, nobody reads that queue any more, and so they drop them.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_LEFTOVER_H
#define HANDOFF_FERRY_UNFREEZE_LEFTOVER_H

#include "ferry/unfreeze/queue.h"
#include "ferry/unfreeze/rules.h"

#define HANDOFF__LEFTOVERS 16

struct handoff__leftovers {
	struct handoff__rules_other list[HANDOFF__LEFTOVERS];
	uint32_t n;
};

/* Finds them: not the rules of that name itself, and none whose queue is read,
 * since then a helper lives. 0, or -errno with a sentence. The name and the way
 * are known. */
int handoff__leftover_find(struct handoff__leftovers *leftovers,
	struct handoff__rules *rules, struct handoff__queue *queue,
	struct handoff__error *error);

/* Removes them. Until then no packet reaches the service: so its own rules are
 * in place before. Those that cannot be removed are kept in the list. */
int handoff__leftover_remove(struct handoff__leftovers *leftovers,
	struct handoff__rules *rules, struct handoff__error *error);

#endif
