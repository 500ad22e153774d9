/* SPDX-License-Identifier: MIT */
/*
 * Staying with one connection: what a thread or a child process does that
 * has nothing else to do.
 */
#ifndef HANDOFF_SERVER_STAY_H
#define HANDOFF_SERVER_STAY_H

#include "server/internal.h"

struct handoff__recall {
	int fd; /* readable when the connection is wanted back, perhaps */
	/* Is it? If not, `fd` is not readable any more. */
	bool (*wanted)(const struct handoff__recall *recall);
	const struct handoff_server *server;
};

/* Gives the connection turns, the first one for `events`, until it is called
 * back, ends or lingers, or only one if it is on trial; `conn->result` tells
 * which. Blocks. */
void handoff__stay(struct handoff__member *member, uint32_t events,
	const struct handoff__recall *recall);

#endif
