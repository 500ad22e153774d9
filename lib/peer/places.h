/* SPDX-License-Identifier: MIT */
/*
 * The two places of a service directory.
 */
#ifndef HANDOFF_PEER_PLACES_H
#define HANDOFF_PEER_PLACES_H

#include "peer/core.h"

#define HANDOFF__START_TIMEOUT_US 10000000

/* Locks the directory against other starting peers, then takes the first free
 * place. Blocks up to 10 s, a carrier not at all. -EBUSY if there is none: then
 * handoff__places_again tries once more. */
int handoff__places_enter(struct handoff__pair *pair);
int handoff__places_again(struct handoff__pair *pair);
void handoff__places_leave(struct handoff__pair *pair);

/* File names in the directory. */
const char *handoff__places_lock_name(uint32_t place);
const char *handoff__places_link_name(uint32_t place);

/* Writes this peer's name and process ID into the file of its place. */
int handoff__places_sign(struct handoff__pair *pair, int lock_fd);

/* "server (pid 12)": the holder of a place, as its file says. */
void handoff__places_holder(
	struct handoff__pair *pair, int place, char text[64]);

/* Sleeps for 5 ms, to let another process make progress. */
void handoff__places_pause(void);

#endif
