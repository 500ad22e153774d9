/* SPDX-License-Identifier: MIT */
/*
 * Connections that a give waits for because their service holds them
 * (handoff_conn_hold). How long is in the record; here is which of them wait,
 * and how long the give can.
 */
#ifndef HANDOFF_SERVER_HELD_H
#define HANDOFF_SERVER_HELD_H

#include "base/loop.h"

#include <stddef.h>

struct handoff__member;
struct handoff_server;

/* In a member's `held`. */
enum handoff__held {
	HANDOFF__HELD_NOT = 0,
	HANDOFF__HELD_WAITS = 1,
	HANDOFF__HELD_OVER = 2, /* this give does not wait for it again */
};

struct handoff__hold {
	struct handoff__member *member;
	int64_t until_us; /* CLOCK_MONOTONIC: the give waits no longer */
};

struct handoff__held_list {
	struct handoff__hold *list;
	uint32_t count, room;
	struct handoff__timer timer; /* the next look, while there are any */
};

/* The entry is asked for: whether it stays for now. Then the timer looks at it
 * again. */
bool handoff__held_keep(struct handoff__member *member);

/* It ends, moves, or is not asked for any more. */
void handoff__held_drop(struct handoff__member *member);

/* The next one that may move now, of which `*at`, zero at first, is to be kept
 * between the calls; NULL: there is none. */
struct handoff__member *handoff__held_next(
	struct handoff_server *server, uint32_t *at);

void handoff__held_free(struct handoff_server *server);

#endif
