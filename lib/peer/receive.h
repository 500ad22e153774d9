/* SPDX-License-Identifier: MIT */
/*
 * New entries of a carrier from the parcels of another host.
 */
#ifndef HANDOFF_PEER_RECEIVE_H
#define HANDOFF_PEER_RECEIVE_H

#include "peer/core.h"

struct handoff__parcel;

/* A new entry of this peer, from a parcel of another host: a record with the id
 * that it had there, its owner word ELSEWHERE and that slot; it is entered and
 * mirrored as any other. The batch word must say IN and OPEN already. Takes the
 * descriptor over, also on failure. A companion comes after its leader, in the
 * same batch or here already. NULL and:
 *   -ENOSPC   no free record of that size and version: see handoff__pair_room
 *   -EEXIST   an entry with that id is here
 *   -EALREADY another entry has its number: that of its session, or its id
 *   -EMSGSIZE the buffers of the records here are too small
 *   -ENOENT   its leader is not here, or not in this peer's hands
 *   other negative errnos of the kernel, or of the callback `entered`. */
struct handoff__roster_entry *handoff__pair_receive(struct handoff__pair *pair,
	int fd, const struct handoff__parcel *parcel, uint32_t slot, int *err);

#endif
