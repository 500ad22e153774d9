/* SPDX-License-Identifier: MIT */
/*
 * An entry as a member of the server's sets, and the operations on it alone.
 */
#ifndef HANDOFF_SERVER_MEMBER_H
#define HANDOFF_SERVER_MEMBER_H

#include "peer/pair.h"
#include "server/conn.h"

#include <assert.h>

struct handoff__child;
struct handoff__sets;
struct handoff__thread;
struct handoff__worker;
struct handoff_server;

#define HANDOFF__COUNTED_BITS 30
#define HANDOFF__COUNTED_MASK ((1u << HANDOFF__COUNTED_BITS) - 1)

/* An entry as the server sees it, stored in the roster. */
struct handoff__member {
	struct handoff__roster_entry entry; /* must be first */
	struct handoff_server *server;
	uint32_t armed; /* the events its set watches for */
	uint32_t tick;  /* second at which it was last busy */
	int8_t set;     /* the set it is in; -1: none */
	uint8_t sets;   /* 0: the server's sets, n: those of worker n - 1 */
	bool kicked;    /* in server->kicks, or those of its worker */
	bool lingers;
	bool active; /* not the loop's to serve: with a thread or child, on its
		      * way back, or a suspect */
	bool served, recalled; /* by its worker; under the worker's lock.
				* Without workers `recalled`: it was kicked
				* while it was active */
	bool stalled : 1;      /* something failed that is retried soon */
	bool suspect : 1;      /* waits in the queue of suspects */
	bool on_trial : 1;     /* has the single turn of a suspect */
	unsigned deaths : 2;   /* of its children, outside the handler; the
				* fourth ends it */
	bool wanted : 1;       /* a listener: one of this peer's addresses */
	bool fresh : 1;        /* a listener: opened here, not reported yet */
	bool rests : 1;        /* a session without a socket, or one that waits
				* for its session: the loop has it, resume.c */
	uint32_t alarm; /* 1 + its place among the watched deadlines; of a
			 * worker: under its lock */
	/* of its address in the limits; 0: not */
	uint32_t counted : HANDOFF__COUNTED_BITS;
	uint32_t held : 2; /* enum handoff__held */
	/* In kicks; while active, in returns, among the suspects or the absent;
	 * a listener, in listeners. */
	TAILQ_ENTRY(handoff__member) node;
	union {
		struct handoff__turn_result result; /* of the thread or child
						     * that had it */
		int64_t suspected_us;               /* if it is a suspect */
	};
	/* NULL while it has none. A worker may read it after the connection's
	 * end. */
	union {
		struct handoff__thread *thread;
		struct handoff__child *child;
		struct handoff__worker *_Atomic worker;
	};
};

/* there are many of them, in both peers */
static_assert(sizeof(void *) > 8 || sizeof(struct handoff__member) <= 160,
	"an idle connection takes no more memory than is said");

static inline struct handoff__member *
handoff__member_of(struct handoff__roster_entry *entry)
{
	return (struct handoff__member *)(void *)entry;
}

/* members.c */
/* The events that it is watched for initially. */
uint32_t handoff__member_first_events(const struct handoff__member *member);
/* The sets that `set` refers to. */
struct handoff__sets *handoff__member_sets(
	const struct handoff__member *member);
/* Whether it belongs in the sets of a worker: a connection of a model that has
 * them. */
bool handoff__member_has_worker(const struct handoff__member *member);
/* Adds it to a set for the first time. */
int handoff__member_watch(struct handoff__member *member);
/* Whether it is in the wrong set; moves it to the right one. */
bool handoff__member_misplaced(const struct handoff__member *member);
void handoff__member_place(struct handoff__member *member);
/* It waits for its pair alone: an event is reported at most once. */
void handoff__member_park(struct handoff__member *member);
/* After a turn: gives its pair one, if that may wait for what the turn did. */
void handoff__member_wake_pair(struct handoff__member *member);
/* Its pair, if a thread or a child that serves `member` is to serve that, too:
 * it then is not the loop's any more. NULL: it serves `member` alone. */
struct handoff__member *handoff__member_take_pair(
	struct handoff__member *member);
/* trim.c */
/* Whether an idle connection has nothing to give back; gives it back, unless
 * bytes of the connection wait: false. */
bool handoff__member_trimmed(const struct handoff__member *member);
bool handoff__member_trim(struct handoff__member *member);

/* Schedules a turn without an event; cancels that. */
void handoff__member_kick(struct handoff__member *member);
void handoff__member_unkick(struct handoff__member *member);
/* A negative errno if the kernel has no memory for it. */
int handoff__member_rearm(struct handoff__member *member, uint32_t want);
/* The same, and retries on failure. */
void handoff__member_wait_for(struct handoff__member *member, uint32_t want);
/* Runs the service's hook for its end; false if that has to be tried again. */
bool handoff__member_may_end(
	struct handoff__member *member, enum handoff__end end);
/* Shuts it down and ends it; counts the kind of end. */
void handoff__member_end(struct handoff__member *member, enum handoff__end end);
/* Logs the reason of an end. */
void handoff__member_log_end(const struct handoff__member *member,
	const struct handoff__turn_result *result);
/* A transient failure: the entry waits for a retry. Logged once; `err` may be
 * 0. */
void handoff__member_stall(
	struct handoff__member *member, const char *what, int err);
/* Whether this turn runs no handler, so that it needs no thread or child. */
bool handoff__member_simple(
	const struct handoff__member *member, uint32_t events);

/* outcome.c */
/* A turn is over; `member` belongs to the loop again. */
void handoff__member_done(struct handoff__member *member,
	const struct handoff__turn_result *result);
/* A thread or child gives the connection back, with its result. */
void handoff__member_back(struct handoff__member *member);
/* It waited for others to move with it, and is served here again. */
void handoff__member_resume(struct handoff__member *member);

#endif
