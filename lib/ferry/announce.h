/* SPDX-License-Identifier: MIT */
/*
 * Tells the neighbours of a device that an address is here now: gratuitous ARP
 * (RFC 5227, request and reply form) and unsolicited neighbour advertisements
 * (RFC 4861, override) to all nodes. Sends frames of its own, so the address
 * need not be on the device.
 */
#ifndef HANDOFF_FERRY_ANNOUNCE_H
#define HANDOFF_FERRY_ANNOUNCE_H

#include "base/loop.h"
#include "ferry/address.h"

/* Valid after _init. */
struct handoff__announce {
	struct handoff__loop *loop;
	struct handoff__timer timer;
	struct handoff__device device;
	struct handoff__prefix list[HANDOFF__PREFIXES];
	uint32_t count;
	uint32_t round; /* how often they were announced */
};

void handoff__announce_init(
	struct handoff__announce *announce, struct handoff__loop *loop);

/* Announces each at once and again 50 ms, 200 ms and 1 s later. Begins anew if
 * it runs. -errno with a sentence if the first time failed; the others are
 * tried all the same. */
int handoff__announce_start(struct handoff__announce *announce,
	const struct handoff__device *device,
	const struct handoff__prefix *list, uint32_t count,
	struct handoff__error *error);

/* No more of it: call it before the address leaves this host again. */
void handoff__announce_stop(struct handoff__announce *announce);

/* Once. */
int handoff__announce_once(const struct handoff__device *device,
	const struct handoff__prefix *prefix, struct handoff__error *error);

#endif
