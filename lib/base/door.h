/* SPDX-License-Identifier: MIT */
/*
 * A listening socket of the service directory: accepts by callback, and backs
 * off when the process or the system has no descriptor or memory for a client.
 * A level-triggered watch would burn a core instead, for as long as it waits.
 */
#ifndef HANDOFF_BASE_DOOR_H
#define HANDOFF_BASE_DOOR_H

#include "base/loop.h"

/* Takes the client's descriptor over. */
typedef void handoff__door_fn(void *arg, int fd);

struct handoff__door {
	struct handoff__loop *loop;
	struct handoff__watch watch;
	struct handoff__timer retry;
	handoff__door_fn *fn;
	void *arg;
	/* Optional: called before each accept, to make room. */
	void (*room)(void *arg);
	void *room_arg;
};

/* `fd` listens and does not block; it stays the caller's. What is not set here
 * stays as it is. */
int handoff__door_open(struct handoff__door *door, struct handoff__loop *loop,
	int fd, handoff__door_fn *fn, void *arg);

/* Before `fd` is closed. For one that was never opened, if it is zeroed. */
void handoff__door_close(struct handoff__door *door);

/* After accept(2) failed: is it only that client, or its network, so that the
 * next may be accepted at once? */
bool handoff__accept_goes_on(int err);

#endif
