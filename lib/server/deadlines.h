/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of connections, as watched by one thread: a heap by the time at
 * which a connection has to be looked at. A deadline that was moved to a later
 * time or cleared is noticed only then, so that setting one anew at each
 * request costs no more than storing it.
 */
#ifndef HANDOFF_SERVER_DEADLINES_H
#define HANDOFF_SERVER_DEADLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handoff__member;
struct handoff__roster_entry;
struct handoff_server;

struct handoff__alarm {
	uint64_t at_ms; /* CLOCK_BOOTTIME */
	struct handoff__member *member;
};

struct handoff__deadlines {
	struct handoff__alarm *heap; /* the earliest first */
	uint32_t count, room;
};

/* A turn may have set the connection's deadline: watches it. 1 if it is now the
 * earliest of all, 0 if not, -ENOMEM. */
int handoff__deadlines_note(
	struct handoff__deadlines *deadlines, struct handoff__member *member);
void handoff__deadlines_drop(
	struct handoff__deadlines *deadlines, struct handoff__member *member);
/* The next connection whose deadline has passed, which is not watched any more;
 * NULL if there is none. */
struct handoff__member *handoff__deadlines_due(
	struct handoff__deadlines *deadlines);
/* Milliseconds until there may be one, -1 if nothing is watched. */
int handoff__deadlines_wait_ms(const struct handoff__deadlines *deadlines);
void handoff__deadlines_free(struct handoff__deadlines *deadlines);

/* The server's side, in its thread. */
void handoff__deadlines_init(struct handoff_server *server);
/* This peer has the connection, and no thread or child runs a turn of it: from
 * now on its deadline is watched here, or by its worker. */
void handoff__deadlines_look(struct handoff__member *member);
/* Looks at all connections soon: some have come with a deadline. */
void handoff__deadlines_scan(struct handoff_server *server);
/* The same later: there was no memory to watch one. */
void handoff__deadlines_missed(struct handoff_server *server);

#endif
