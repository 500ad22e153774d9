/* SPDX-License-Identifier: MIT */
/* The flow of a packet. */
#ifndef HANDOFF_FERRY_UNFREEZE_PACKET_H
#define HANDOFF_FERRY_UNFREEZE_PACKET_H

#include "ferry/flow.h"

#include <stdbool.h>
#include <stddef.h>

enum handoff__packet_kind {
	HANDOFF__PACKET_TCP,      /* the flow is known */
	HANDOFF__PACKET_FRAGMENT, /* a part of a packet */
	HANDOFF__PACKET_BAD,      /* not TCP over IP, or cut short */
};

/* Reads an IPv4 or IPv6 packet that has come to this host: the destination is
 * the flow's local end. `begins`: it is the first of a connection, a SYN. All
 * lengths are checked. */
enum handoff__packet_kind handoff__packet_read(const unsigned char *data,
	size_t len, struct handoff__flow *flow, bool *begins);

#endif
