/* SPDX-License-Identifier: MIT */
/*
 * A listening socket of the service directory: accepts by callback, and backs
 * off when the process or the system has no descriptor or memory for a client.
 * A level-triggered watch would busy-loop for as long as the client waits.
 */
#ifndef HANDOFF_BASE_DOOR_H
#define HANDOFF_BASE_DOOR_H

#include "base/loop.h"

/* Takes ownership of the client's descriptor. */
typedef void handoff__door_fn(void *arg, int fd);

struct handoff__door {
	struct handoff__loop *loop;
	struct handoff__watch watch;
	struct handoff__timer retry;
	handoff__door_fn *fn;
	void *arg;
	/* optional: called before each accept, to free descriptors */
	void (*room)(void *arg);
	void *room_arg;
};

/* `fd` is listening and non-blocking; the caller keeps it. Leaves `room` and
 * `room_arg` as they are. */
int handoff__door_open(struct handoff__door *door, struct handoff__loop *loop,
	int fd, handoff__door_fn *fn, void *arg);

/* Call it before `fd` is closed. Does nothing for a zeroed door that was never
 * opened. */
void handoff__door_close(struct handoff__door *door);

/* After a failed accept(2): returns whether the error concerns only that client
 * or its network, so that the next accept may follow at once. */
bool handoff__accept_goes_on(int err);

#endif
