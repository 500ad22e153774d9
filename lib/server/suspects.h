/* SPDX-License-Identifier: MIT */
/*
 * Connections in whose handler a process died: one of them may have killed it,
 * and would kill this one too. Each gets a turn of its own, when a death would
 * cost least.
 */
#ifndef HANDOFF_SERVER_SUSPECTS_H
#define HANDOFF_SERVER_SUSPECTS_H

#include "base/loop.h"
#include "server/returns.h"

struct handoff_server;

struct handoff__suspects {
	struct handoff__members list;   /* waiting, in this order */
	struct handoff__member *trying; /* in its turn, or NULL */
	struct handoff__timer timer;    /* the next check */
	int64_t exposed_us; /* since when no standby covers everything; 0: one
			     * does */
};

void handoff__suspects_init(struct handoff_server *server);

/* Queues an idle connection of this peer, if it is suspected. True: it gets no
 * other turn. */
bool handoff__suspects_add(struct handoff__member *member);

/* Logs that so many handlers were running in the other process at its death. */
void handoff__suspects_report(struct handoff_server *server, uint32_t count);

/* Removes it from the queue, because it ends or moves away. */
void handoff__suspects_drop(struct handoff__member *member);

/* Removes it from the queue, because it stays and gets no other turn of its
 * handler: the model serves it again. */
void handoff__suspects_release(struct handoff__member *member);

/* This process ends in an orderly way with handlers still running: clears their
 * marks, so that the survivor does not suspect them. */
void handoff__suspects_absolve(struct handoff_server *server);

/* The turn on trial is over. */
void handoff__suspects_tried(struct handoff__member *member);

#endif
