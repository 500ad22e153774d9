/* SPDX-License-Identifier: MIT */
/*
 * Stays with one connection: the work of a thread or child process that has
 * nothing else to do.
 */
#ifndef HANDOFF_SERVER_STAY_H
#define HANDOFF_SERVER_STAY_H

#include "server/internal.h"

struct handoff__recall {
	int fd; /* readable when the connection may be wanted back */
	/* Whether it is. If not, `fd` is no longer readable. */
	bool (*wanted)(const struct handoff__recall *recall);
	const struct handoff_server *server;
	int bell; /* eventfd, readable when there is work to do; -1: none */
};

/* Runs the connection's turns, the first one for `events`, and those of
 * `other`, its pair, unless that is NULL; until one of them is recalled, ends
 * or lingers. Only one turn if it is on trial. The outcomes are in `result` of
 * the two, and that of at most one of them is not to wait. Blocks. */
void handoff__stay(struct handoff__member *member,
	struct handoff__member *other, uint32_t events,
	const struct handoff__recall *recall);

#endif
