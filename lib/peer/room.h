/* SPDX-License-Identifier: MIT */
/*
 * Free records for entries of another host. Only the board's owner adds
 * segments, so that no two get the same number.
 */
#ifndef HANDOFF_PEER_ROOM_H
#define HANDOFF_PEER_ROOM_H

#include "peer/core.h"

/* Sees to `count` free records that fit `geo` (handoff__parcel_geometry) for
 * handoff__pair_receive: 0 if they are here; 1 the other peer, which owns the
 * board, was asked, and the callback `room` follows; -ENOTCONN if nobody can be
 * asked, or the reason why the arena cannot grow. For a carrier only. */
int handoff__pair_room(struct handoff__pair *pair,
	const struct handoff__geometry *geo, uint32_t count);

/* ROOM */
void handoff__room_on_message(
	struct handoff__pair *pair, const struct handoff__msg *msg);

#endif
