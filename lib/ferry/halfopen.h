/* SPDX-License-Identifier: MIT */
/* Connections that clients have begun and not finished (SYN_RECV). */
#ifndef HANDOFF_FERRY_HALFOPEN_H
#define HANDOFF_FERRY_HALFOPEN_H

#include "ferry/address.h"

/* How many half-open connections there are to one of the addresses and one of
 * the ports (host order): they finish or time out before the listeners may
 * leave. The kernel goes through its table of connections: ask some times in a
 * second, not more. -errno with a sentence. Needs no privilege. */
int handoff__halfopen_count(const struct handoff__prefix *addresses,
	uint32_t count, const uint16_t *ports, uint32_t ports_count,
	struct handoff__error *error);

#endif
