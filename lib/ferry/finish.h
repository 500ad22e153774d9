/* SPDX-License-Identifier: MIT */
/*
 * Finishes a prepared connection whose ferry has died, from its image: for the
 * gate, and for the next ferry. Output that does not fit into the socket is
 * sent as soon as there is room, by one process: a server waits until the
 * socket has all of it (peer/unfinished.h).
 */
#ifndef HANDOFF_FERRY_FINISH_H
#define HANDOFF_FERRY_FINISH_H

#include "base/text.h"
#include "migrate/image.h"

#include <stdbool.h>
#include <sys/queue.h>

struct handoff__rest; /* output that a finished socket did not take at once */
TAILQ_HEAD(handoff__rests, handoff__rest);

/* Lets it serve. The descriptor stays the caller's. Takes CAP_NET_ADMIN; a
 * failure as handoff__migrate_commit. */
int handoff__finish(struct handoff__rests *rests, int fd,
	const struct handoff__image *image, struct handoff__error *error);

/* Short of memory, or of the privilege for a moment: to be tried again. */
bool handoff__finish_again(int err);

/* Sends output of finished sockets that has waited for room. Returns whether
 * some still does. */
bool handoff__finish_rests(struct handoff__rests *rests);

/* What still waits is given up. */
void handoff__finish_end(struct handoff__rests *rests);

#endif
