/* SPDX-License-Identifier: MIT */
/*
 * An entry as a member of the server's sets: what it is, and what is done with
 * it alone.
 */
#ifndef HANDOFF_SERVER_MEMBER_H
#define HANDOFF_SERVER_MEMBER_H

#include "peer/pair.h"
#include "server/conn.h"

#include <assert.h>

struct handoff__child;
struct handoff__epoch;
struct handoff__sets;
struct handoff__worker;
struct handoff_server;

/* An entry as the server sees it; as the roster keeps it. */
struct handoff__member {
	struct handoff__roster_entry entry; /* first */
	struct handoff_server *server;
	uint32_t armed; /* the events its set watches for */
	uint32_t tick;  /* second at which it was last busy */
	int8_t set;     /* that it is in; -1: none */
	uint8_t sets;   /* whose: 0 the server's, n those of worker n - 1 */
	bool kicked;    /* in server->kicks, or those of its worker */
	bool lingers;
	bool active; /* a thread or a child has it, or gave it back; or it is a
			suspect */
	bool served, recalled; /* by its worker; under the worker's lock */
	bool stalled : 1;      /* something failed that is tried again soon */
	bool suspect : 1;      /* waits among them */
	bool on_trial : 1;     /* has the one turn that they get */
	unsigned deaths : 3;   /* of its children, outside of the handler */
	bool wanted : 1; /* a listener: an address of this peer stands for it */
	bool fresh : 1;  /* a listener: opened here, and not told yet */
	/* In kicks; while active, in returns or among the suspects; if a
	 * listener, in listeners. */
	TAILQ_ENTRY(handoff__member) node;
	union {
		struct handoff__turn_result result; /* of who had it */
		int64_t suspected_us;               /* if it is a suspect */
	};
	/* Last, and NULL while nobody has it. A worker may ask for it after
	 * the connection's end. */
	union {
		struct handoff__epoch *epoch; /* of its thread */
		struct handoff__child *child;
		struct handoff__worker *_Atomic worker;
	};
};

/* There are many of them, in both peers. */
static_assert(sizeof(void *) > 8 || sizeof(struct handoff__member) <= 152,
	"an idle connection takes no more memory than is said");

static inline struct handoff__member *
handoff__member_of(struct handoff__roster_entry *entry)
{
	return (struct handoff__member *)(void *)entry;
}

/* members.c */
/* The events that it is watched for from its beginning. */
uint32_t handoff__member_first_events(const struct handoff__member *member);
/* Of `set`. */
struct handoff__sets *handoff__member_sets(
	const struct handoff__member *member);
/* Is it in the sets of somebody else than the server? */
bool handoff__member_apart(const struct handoff__member *member);
/* Puts it into a set for the first time. */
int handoff__member_watch(struct handoff__member *member);
/* Is it in another set than where it belongs, and puts it there. */
bool handoff__member_misplaced(const struct handoff__member *member);
void handoff__member_place(struct handoff__member *member);
/* It gets a turn without an event, soon; and not any more. */
void handoff__member_kick(struct handoff__member *member);
void handoff__member_unkick(struct handoff__member *member);
/* A negative errno if the kernel has no memory for that now. */
int handoff__member_rearm(struct handoff__member *member, uint32_t want);
/* The same, and it is tried again then. */
void handoff__member_wait_for(struct handoff__member *member, uint32_t want);
/* Shuts it down and ends it; the kind of end is counted. */
void handoff__member_end(struct handoff__member *member, enum handoff__end end);
/* Logs why. */
void handoff__member_tell_end(const struct handoff__member *member,
	const struct handoff__turn_result *result);
/* Something failed that may work in a moment: it waits, and is told once. */
void handoff__member_stall(
	struct handoff__member *member, const char *what, int err);
/* Does no handler run in this turn? It needs no thread or child then. */
bool handoff__member_simple(
	const struct handoff__member *member, uint32_t events);

/* outcome.c */
/* A turn is over; `member` belongs to the loop again. */
void handoff__member_done(struct handoff__member *member,
	const struct handoff__turn_result *result);
/* A thread or child gives the connection back, with its result. */
void handoff__member_back(struct handoff__member *member);

#endif
