/* SPDX-License-Identifier: MIT */
/*
 * The connections of all peers as a table for people.
 */
#ifndef HANDOFF_CONTROL_CONNECTIONS_H
#define HANDOFF_CONTROL_CONNECTIONS_H

#include "control/contact.h"

/* The answers are those to "connections". */
void handoff__connections(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf);

#endif
