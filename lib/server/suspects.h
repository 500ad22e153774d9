/* SPDX-License-Identifier: MIT */
/*
 * Connections in whose handler a process died: one of them may have killed it,
 * and would kill this one too. Each gets a turn alone, when that costs least.
 */
#ifndef HANDOFF_SERVER_SUSPECTS_H
#define HANDOFF_SERVER_SUSPECTS_H

#include "base/loop.h"
#include "server/returns.h"

struct handoff_server;

struct handoff__suspects {
	struct handoff__members list;   /* they wait, in this order */
	struct handoff__member *trying; /* has its turn, or NULL */
	struct handoff__timer timer;    /* the next look at all of this */
	int64_t exposed_us; /* since when no standby covers all; 0: one does */
};

void handoff__suspects_init(struct handoff_server *server);

/* Puts a connection of this peer's with which nobody is busy among them, if it
 * is suspected. True: it gets no other turn. */
bool handoff__suspects_add(struct handoff__member *member);

/* So many handlers ran in the other process when it died. */
void handoff__suspects_tell(struct handoff_server *server, uint32_t count);

/* It ends or moves away; or it stays, and its handler will not run any more. */
void handoff__suspects_drop(struct handoff__member *member);
void handoff__suspects_release(struct handoff__member *member);

/* This process ends in good order, with handlers that still run: they are no
 * cause of that, and the survivor need not wonder. */
void handoff__suspects_absolve(struct handoff_server *server);

/* The turn that it was given is over. */
void handoff__suspects_tried(struct handoff__member *member);

#endif
