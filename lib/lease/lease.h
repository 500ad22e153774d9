/* SPDX-License-Identifier: MIT */
/*
 * The lease of one host: a state machine without I/O, clock or memory of its
 * own. Each input is a function that gets the time, and returns the actions
 * that the caller has to carry out, in the order of their bits, the least
 * first, before the next input. What an engine must guarantee for it is in
 * <handoff/lease.h>.
 *
 *     FREE --start--> CANDIDATE --ACQUIRED--> OWNER <--PROVEN--> DOUBT
 *      ^                  ^                     |                  |
 *      |                  | emptied             | EXPIRED, REFUSED, TAKEN,
 *      |                  |                     v another token    v
 *      |                  +-------------------- LOST <-------------+
 *      +---release--- any of them
 *
 * Times are CLOCK_BOOTTIME in nanoseconds, and no other clock counts: it cannot
 * be set, and goes on while the host sleeps. `now` was read before the actions
 * of the input are carried out, so a request is never older than the machine
 * believes. TTL is what was asked for, or what the engine has granted if that
 * is shorter. For a proof that was sent at S:
 *
 *     S + TTL/6      the next one is sent
 *     S + TTL/3      DOUBT: nothing is accepted, published or begun
 *     S + 2/3 TTL    the end of validity: FREEZE: nothing is sent or committed
 *     S + 11/12 TTL  the dead-man timer, for a process that has not frozen
 *     S + TTL        at the earliest: the engine gives the lease to another
 *
 * Why no two hosts are ever valid: what is confirmed was sent at S or later,
 * and for a TTL from then the engine gives the lease to no other host; what
 * counts here is two thirds of that, from S. The rest is for what this machine
 * cannot see: clocks that do not run equally fast, a process that was stopped
 * between looking at the time and acting.
 *
 * The files of this folder, from the top down:
 *
 *   keeper.c     drives an engine with the state machine
 *   opening.c    checks a keeper's options, and opens its engine
 *   engines.c    the table of engines
 *   lease.c      the state machine
 */
#ifndef HANDOFF_LEASE_LEASE_H
#define HANDOFF_LEASE_LEASE_H

#include <handoff/lease.h>

#include <stdbool.h>
#include <stdint.h>

#define HANDOFF__LEASE_NEVER  UINT64_MAX
#define HANDOFF__LEASE_PROOFS 16 /* under way at the same time */

enum handoff__lease_action {
	/* Session, token and validity have changed: store them where the next
	 * process of this host finds them, before anything else is done. */
	HANDOFF__LEASE_STORE = 0x1,
	/* valid_until_ns has moved, and nothing else; to 0 before RESET. */
	HANDOFF__LEASE_VALID = 0x2,
	/* The token is new, and the lease this host's: the generation is token
	 * << 32; open what is needed, serve, publish. A process that starts
	 * with a stored token above the generation's does the same: the one
	 * before it has died between STORE and this. */
	HANDOFF__LEASE_WON = 0x4,
	/* Nothing is accepted, published or begun from now on; handlers and
	 * connections that are here go on. */
	HANDOFF__LEASE_DOUBTED = 0x8,
	/* Validity has ended: nothing is sent or committed, connections stand
	 * still. The token may be confirmed yet. */
	HANDOFF__LEASE_FREEZE = 0x10,
	/* The same token is confirmed: what was frozen goes on. */
	HANDOFF__LEASE_THAW = 0x20,
	/* The doubt is over. */
	HANDOFF__LEASE_CERTAIN = 0x40,
	/* The token is gone for good: every connection is reset, nothing of it
	 * is served any more, here or in the other peer; then _emptied. What is
	 * stored stays until then, without validity: after a death in between
	 * the survivor starts with it, frozen, and comes to this again. */
	HANDOFF__LEASE_RESET = 0x80,
	/* Requests to the engine, with the serials of these names. */
	HANDOFF__LEASE_READ = 0x100, /* the retained notice */
	HANDOFF__LEASE_ACQUIRE = 0x200,
	HANDOFF__LEASE_PROVE = 0x400,
	HANDOFF__LEASE_PUBLISH = 0x800, /* the latest notice */
	HANDOFF__LEASE_RELEASE = 0x1000,
	/* The retained notice was written. */
	HANDOFF__LEASE_PUBLISHED = 0x2000,
	/* The engine has confirmed a release, or none was needed. */
	HANDOFF__LEASE_RELEASED = 0x4000,
	/* The engine has given a token that cannot be used, by its own promises
	 * or since 32 bits are used up: `complaint`. This host has released it,
	 * is FREE and asks no more. */
	HANDOFF__LEASE_COMPLAIN = 0x8000,
};

/* What outlives a process: for the next one of the same host. */
struct handoff__lease_saved {
	uint64_t token;          /* 0: none */
	uint64_t valid_until_ns; /* 0: not valid */
	uint32_t session_len;    /* 0: none */
	unsigned char session[HANDOFF_LEASE_SESSION_MAX];
};

struct handoff__lease_proof {
	uint64_t serial; /* 0: none */
	uint64_t sent_ns;
};

/* One request that is made until it is answered. */
struct handoff__lease_request {
	bool wanted;
	uint64_t serial; /* under way; 0: none */
	uint64_t due_ns; /* not made, or not made again, before */
};

struct handoff__lease {
	/* to be read by the caller */
	enum handoff_lease_state state;
	uint64_t token;          /* 0: none. A CANDIDATE with a token waits for
				  * its proof */
	uint64_t valid_until_ns; /* counts in OWNER and DOUBT */
	uint64_t ttl_ns;         /* in force */
	bool frozen;             /* of DOUBT: validity has ended */
	bool connected;
	bool barred;               /* see COMPLAIN */
	uint64_t highest;          /* token that is used up, as far as known */
	char by[HANDOFF_NAME_MAX]; /* host that had it last, as told */
	const char *complaint;
	/* with the serials of the requests among the actions */
	uint64_t prove_serial;
	struct handoff__lease_request read, acquire, publish, release;

	/* the machine's own */
	uint64_t asked_ttl_ns;
	uint64_t now_ns;     /* the latest time that was given */
	uint64_t counted_ns; /* when the latest proof was sent, or the start */
	uint64_t prove_due_ns;
	uint64_t serial; /* the last one that was used */
	uint64_t since;  /* the last one that was used before this token */
	uint64_t floor;  /* of _above */
	bool session;    /* there is one, perhaps */
	struct handoff__lease_proof proofs[HANDOFF__LEASE_PROOFS];
	unsigned next_proof;
};

/* A machine in FREE. `ttl_ms` as in <handoff/lease.h>, 0: the usual one. */
void handoff__lease_init(struct handoff__lease *l, uint32_t ttl_ms);

/*
 * Takes part from now on. `saved` may be NULL. With a token and a session there
 * the machine is OWNER or DOUBT, as its validity says, with the same token: no
 * WON; FREEZE if validity has ended. (If it has not, and the process before had
 * frozen: thaw.) With a token whose session cannot be
 * continued it is LOST: RESET.
 */
uint32_t handoff__lease_start(struct handoff__lease *l, uint64_t now,
	const struct handoff__lease_saved *saved);

/* What the engine tells; in any order, late or twice. A RETAINED that tells of
 * tokens comes after _above. */
uint32_t handoff__lease_event(struct handoff__lease *l, uint64_t now,
	const struct handoff_lease_event *event);

/* A request that could not be made: the same as ERROR with this serial. */
uint32_t handoff__lease_failed(
	struct handoff__lease *l, uint64_t now, uint64_t serial);

/* Time has passed: at handoff__lease_due, or at any other. */
uint32_t handoff__lease_time(struct handoff__lease *l, uint64_t now);

/* RESET was carried out. */
uint32_t handoff__lease_emptied(struct handoff__lease *l, uint64_t now);

/* The caller has a new notice to publish; only the latest one counts, and it is
 * forgotten with its token. PUBLISH comes now or later, while OWNER. */
uint32_t handoff__lease_publish(struct handoff__lease *l, uint64_t now);

/* Nothing is served any more, in no process of this host: give the lease up.
 * RELEASED follows, now or later. */
uint32_t handoff__lease_release(struct handoff__lease *l, uint64_t now);

/* No token up to this one is accepted, since it was used already. */
void handoff__lease_above(struct handoff__lease *l, uint64_t token);

/* For ACQUIRE: the token has to be larger. */
uint64_t handoff__lease_used(const struct handoff__lease *l);

/* Sets token and validity of what STORE is to store, beside the session of the
 * engine. A session whose lease is being released is not to be continued: that
 * would find the lease, with a token that was used. */
void handoff__lease_save(
	const struct handoff__lease *l, struct handoff__lease_saved *saved);

/* When _time is to be called next; HANDOFF__LEASE_NEVER. */
uint64_t handoff__lease_due(const struct handoff__lease *l);

/* Whether something may be accepted, published or begun (a give, a move, a
 * connection of the service's own). */
bool handoff__lease_may_begin(const struct handoff__lease *l, uint64_t now);

/* Whether something may be sent and committed. */
bool handoff__lease_valid(const struct handoff__lease *l, uint64_t now);

/* When a process that has not frozen has to die; 0: nothing is served. */
uint64_t handoff__lease_deadman(const struct handoff__lease *l);

/* The same from a validity that was stored, for a process without a keeper. */
uint64_t handoff__lease_deadman_of(uint64_t valid_until_ns, uint64_t ttl_ns);

#endif
