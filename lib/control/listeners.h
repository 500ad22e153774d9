/* SPDX-License-Identifier: MIT */
/*
 * The new owner's report on its addresses: part of the answer to the command
 * that moved the service there.
 */
#ifndef HANDOFF_CONTROL_LISTENERS_H
#define HANDOFF_CONTROL_LISTENERS_H

#include "control/contact.h"

/* The service's generation according to its status; 0: none. */
unsigned long long handoff__listeners_generation(
	const struct handoff__contact *peer);

/* Adds a line for each listener that it has opened, closed or kept, and for
 * each address that it cannot listen on: -EADDRNOTAVAIL if there are any. The
 * contact has answered "status". */
int handoff__listeners_add(
	const struct handoff__contact *peer, struct handoff__buf *buf);

#endif
