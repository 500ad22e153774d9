/* SPDX-License-Identifier: MIT */
/* What a server has got for a move to this host, and nobody can reach. */
#ifndef HANDOFF_FERRY_RETREAT_H
#define HANDOFF_FERRY_RETREAT_H

#include "ferry/ferry.h"

/* Once a second, and when a move has ended: while the addresses are on the
 * other host, and no connection to them is here, the server gives back the
 * listeners and the service that it got. */
void handoff__retreat_look(struct handoff__ferry *ferry);

/* Closes what has come back. Before anything else is done with it. */
void handoff__retreat_proceed(struct handoff__ferry *ferry);

#endif
