/* SPDX-License-Identifier: MIT */
/* Connections that only the kernel has: those that clients have begun and not
 * finished (SYN_RECV), and those that have ended and whose client has still to
 * acknowledge that (FIN_WAIT1, CLOSING, LAST_ACK). */
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

/* The same of those that end. No other host can have them: they finish, or
 * their output is lost, when the addresses leave. */
int handoff__halfopen_ending(const struct handoff__prefix *addresses,
	uint32_t count, const uint16_t *ports, uint32_t ports_count,
	struct handoff__error *error);

#endif
