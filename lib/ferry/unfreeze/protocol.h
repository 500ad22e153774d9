/* SPDX-License-Identifier: MIT */
/*
 * What a ferry and its helper say to each other: messages of a SOCK_SEQPACKET
 * Unix socket, as base/fdpass carries them, in the codec of base/wire. A helper
 * may be older than its ferry: the version says so, and a helper refuses one
 * that it does not know, after it has acted as at the death of a ferry.
 */
#ifndef HANDOFF_FERRY_UNFREEZE_PROTOCOL_H
#define HANDOFF_FERRY_UNFREEZE_PROTOCOL_H

#define HANDOFF__GATE_VERSION 2

/* Names in the service directory. */
#define HANDOFF__GATE_SOCKET "gate"
#define HANDOFF__GATE_LOCK   "gate.lock"

#define HANDOFF__GATE_NAME 32  /* width of the service's name */
#define HANDOFF__GATE_TEXT 512 /* width of a sentence */

/* Connections in one message: each has a descriptor. Indices in one. */
#define HANDOFF__GATE_PART    253
#define HANDOFF__GATE_INDICES 4096

/* A flow: u8 family, 16 bytes local, 16 bytes peer, u16 local port, u16 peer
 * port, u8 bits. The descriptors of those that have one come with the message,
 * in the same order. */
#define HANDOFF__GATE_HAS_FD   1
#define HANDOFF__GATE_RELEASED 2 /* of SLOT alone */

/* Each message begins with its type, u32. */
enum handoff__gate_message {
	/* of the ferry */
	HANDOFF__GATE_OPEN = 1, /* u32 version, name, u32 queue, u32 n, n times
				 * u8 family, 16 bytes: first, and answered by
				 * SLOT and OPENED, or REFUSED */
	HANDOFF__GATE_ARENA,    /* u64 offset; the segment's descriptor */
	HANDOFF__GATE_TARGET,   /* u32 ifindex, 6 bytes */
	HANDOFF__GATE_RULE,     /* u32 on: answered by RULED */
	HANDOFF__GATE_DEFAULT,  /* u32 verdict */
	HANDOFF__GATE_TAKE,    /* u32 slot, u64 id, u32 direction, u32 more, u32
				* n, n flows. With `more` = 0, or if it fails,
				* answered by HELD */
	HANDOFF__GATE_IMAGES,  /* u32 slot; the memfd, see ferry/images.h */
	HANDOFF__GATE_RELEASE, /* u32 slot, u32 n, n times u32 index */
	HANDOFF__GATE_LEAVE,   /* u32 slot, u32 verdict PASS */
	HANDOFF__GATE_AWAY,    /* u32 slot: flip */
	HANDOFF__GATE_FORGET,  /* u32 slot */
	HANDOFF__GATE_SETTLE,  /* u32 slot, u32 row: of a flipped batch that is
				* over; from HANDOFF__GATE_SLOTS on */
	HANDOFF__GATE_COUNT,   /* answered by COUNTS */
	HANDOFF__GATE_END,
	HANDOFF__GATE_SEEK, /* u32 on */
	/* of the helper */
	HANDOFF__GATE_REFUSED, /* u32 -errno, text: it closes the connection */
	HANDOFF__GATE_SLOT,    /* as TAKE, with u32 verdict before n */
	HANDOFF__GATE_KEPT,    /* u32 slot; its memfd of images. Before SLOT */
	HANDOFF__GATE_TABLE,   /* u64 offset; the segment's descriptor, of ARENA
				* of a   ferry before this one. Before OPENED */
	HANDOFF__GATE_OPENED,  /* u32 leftover, u32 rule on, u32 verdict of
				* unknown  flows, u32 seeking, text: how packets
				* are queued */
	HANDOFF__GATE_HELD,    /* u32 slot, u64 id, u32 -errno, text */
	HANDOFF__GATE_RULED,   /* u32 on, u32 -errno, text */
	HANDOFF__GATE_COUNTS,  /* u64 for each of handoff__gate_counts */
	HANDOFF__GATE_FAILED,  /* u32 -errno, text: a request was refused */
};

#endif
