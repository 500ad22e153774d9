/* SPDX-License-Identifier: MIT */
/*
 * Sessions in the loop's thread: those without a socket, which wait and are
 * ended some day, and connections whose clients have asked for a session, which
 * the loop fetches from the record where it is, of whichever peer. Resting
 * members get no turn.
 */
#ifndef HANDOFF_SERVER_RESUME_H
#define HANDOFF_SERVER_RESUME_H

#include "base/loop.h"
#include "peer/pair.h"
#include "server/returns.h"
#include "session/frame.h"

#define HANDOFF__RESUME_BUCKETS 1024u

struct handoff__resume;
struct handoff__turn_result;
struct handoff_server;

TAILQ_HEAD(handoff__resume_list, handoff__resume);

struct handoff__resumes {
	struct handoff__resume_list list;  /* all, the oldest first */
	struct handoff__resume_list ready; /* to be looked at */
	/* by the number of the session */
	struct handoff__resume *buckets[HANDOFF__RESUME_BUCKETS];
	/* entries of the other peer, to be asked for in one message */
	struct handoff__roster_entry *asked[HANDOFF_FDPASS_MAX];
	uint32_t nasked;
	struct handoff__timer timer;
	bool due;                        /* something is ready */
	struct handoff__members absents; /* sessions of this peer without a
					  * socket, and how many there are */
	uint32_t absent;
	bool disordered;   /* not in the order in which they lost theirs */
	uint32_t unlogged; /* ended for want of descriptors, not logged yet */
	int64_t logged_us;
	uint64_t resumed, expired;
	uint64_t refused[HANDOFF__REFUSED_VERSION + 1]; /* by reason */
};

void handoff__resume_init(struct handoff_server *server);
void handoff__resume_close(struct handoff_server *server);

/* A turn has ended with TURN_PARK. True: for the sake of a session, and the
 * member rests from here on. */
bool handoff__resume_parked(struct handoff__member *member,
	const struct handoff__turn_result *result);

/* A thread, child or worker gives a connection back that is still open. True:
 * its session has gone to another connection, and it has ended. */
bool handoff__resume_back(struct handoff__member *member);

/* A connection is this peer's now: one may wait for its session. */
void handoff__resume_arrived(struct handoff__member *member);

/* It ends or moves away. */
void handoff__resume_forget(struct handoff__member *member);

/* It is to get a turn again, since it ends. */
void handoff__resume_release(struct handoff__member *member);

/* The same for all: the lease is lost, and each ends by its next turn. */
void handoff__resume_release_all(struct handoff_server *server);

/* Looks at those that are ready, after an iteration. */
void handoff__resume_proceed(struct handoff_server *server);

/* absent.c */
/* It rests without a socket from here on; and no longer. */
void handoff__absent_enter(struct handoff__member *member);
void handoff__absent_leave(struct handoff__member *member);
/* Whether nothing may be committed: the lease is not confirmed. */
bool handoff__absent_barred(const struct handoff_server *server);
/* And never will be: it is lost. */
bool handoff__absent_lost(const struct handoff_server *server);
/* Ends those that were absent for too long. True if there are any left. */
bool handoff__absent_expire(struct handoff_server *server);
/* Ends the oldest of too many. */
void handoff__absent_bound(struct handoff_server *server);
/* Whether there are any that may be ended for want of descriptors; ends the
 * oldest one for that, false if there is none. */
bool handoff__absent_yields(const struct handoff_server *server);
bool handoff__absent_yield(struct handoff_server *server);

#endif
