/* SPDX-License-Identifier: MIT */
/* The service's listeners, on their way to another host: not the sockets, which
 * stay, but where they listen. */
#ifndef HANDOFF_FERRY_LISTENERS_H
#define HANDOFF_FERRY_LISTENERS_H

#include "ferry/ferry.h"

/* Describes the listeners that can be reached by the service's addresses, as
 * many as fit. */
void handoff__listeners_describe(
	struct handoff__ferry *ferry, struct handoff__letter_begin *begin);

/* The same for one socket; -EAFNOSUPPORT if that is no listener of TCP. */
int handoff__listener_describe(
	int fd, struct handoff__letter_listener *listener);

/* Whether what comes to `wanted` comes to a listener on `there`: the same port,
 * and the same address or all of them. */
bool handoff__listener_covers(const struct handoff__letter_listener *there,
	const struct handoff__letter_listener *wanted);

/* Opens those that no listener of this host covers, as entries of this ferry.
 * The number of them; -errno with a sentence in `error`. */
int handoff__listeners_open(struct handoff__ferry *ferry,
	const struct handoff__letter_begin *begin);

/* Whether it was opened for a move to this host, as far as can be told: by this
 * ferry, or for one of the addresses that move alone. */
bool handoff__listener_is_lent(const struct handoff__ferry *ferry,
	const struct handoff__roster_entry *entry);

/* Accepts all that waits on this ferry's listeners; returns how many. */
uint32_t handoff__listeners_accept(struct handoff__ferry *ferry);

/* Ends this ferry's listeners of TCP that the service leaves with, and not
 * those that this host has for itself; returns how many. */
uint32_t handoff__listeners_close(struct handoff__ferry *ferry);

/* Their ports, at most `max`; returns how many. */
uint32_t handoff__listeners_ports(
	struct handoff__ferry *ferry, uint16_t *ports, uint32_t max);

#endif
