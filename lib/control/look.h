/* SPDX-License-Identifier: MIT */
/*
 * What goes on while a command is carried out, for the person who waits: peers
 * are asked for their status meanwhile, and a file that grows is looked at.
 */
#ifndef HANDOFF_CONTROL_LOOK_H
#define HANDOFF_CONTROL_LOOK_H

#include <handoff/control.h>

#include "control/call.h"

struct handoff__look {
	struct handoff__call *call;
	handoff_progress_fn *fn;
	void *arg;
	int fd; /* a file that is written, or -1 */
	struct handoff__contact peers[HANDOFF__CALL_PEERS]; /* with answers of
							     * their own */
	size_t npeers;
};

/* From now on `fn`, unless it is NULL, is called while the peers that are known
 * now carry out a command of `call`. */
void handoff__look_begin(struct handoff__look *look, struct handoff__call *call,
	handoff_progress_fn *fn, void *arg, int fd);
void handoff__look_end(struct handoff__look *look);

#endif
