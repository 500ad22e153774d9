/* SPDX-License-Identifier: MIT */
/* The flow of a packet. */
#ifndef HANDOFF_FERRY_UNFREEZE_PACKET_H
#define HANDOFF_FERRY_UNFREEZE_PACKET_H

#include "ferry/flow.h"

#include <stdbool.h>
#include <stddef.h>

/* The errors that are queued: of ICMP that a packet could not be delivered,
 * which is also how a sender learns that it has to be shorter; of ICMPv6 that
 * it is too big. */
#define HANDOFF__PACKET_UNREACHABLE 3
#define HANDOFF__PACKET_TOO_BIG     2

enum handoff__packet_kind {
	HANDOFF__PACKET_TCP,      /* the flow is known */
	HANDOFF__PACKET_ERROR,    /* so is that of the packet that such an error
				   * is about, which has left this host */
	HANDOFF__PACKET_OTHER,    /* an error about something else */
	HANDOFF__PACKET_FRAGMENT, /* a part of a packet */
	HANDOFF__PACKET_BAD,      /* neither, or cut short */
};

/* Reads an IPv4 or IPv6 packet that has come to this host: the destination is
 * the flow's local end, or that of the error. `begins`: it is the first of a
 * connection, a SYN. All lengths are checked. */
enum handoff__packet_kind handoff__packet_read(const unsigned char *data,
	size_t len, struct handoff__flow *flow, bool *begins);

#endif
