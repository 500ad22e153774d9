/* SPDX-License-Identifier: MIT */
/*
 * A world of three hosts with two peers each and an engine, in one process, on
 * a time of its own. What decides is the shipped state machine; modelled are
 * the engine with its sessions, the network, processes that are stopped or die
 * between any two actions, hosts that sleep, clocks that begin anywhere and run
 * up to one per cent too fast or too slow.
 */
#ifndef TESTS_LEASE_SIMULATION_H
#define TESTS_LEASE_SIMULATION_H

#include "lease/lease.h"

#include <stdbool.h>
#include <stdint.h>

enum { HOSTS = 3, PEERS = 2, BOX = 40, SESSIONS = 24 };

#define TTL_MS 12000u
#define TTL_NS (TTL_MS * UINT64_C(1000000))

/* Mistakes that a run makes on purpose: each must be found. */
enum bug {
	BUG_NONE,
	BUG_FROM_THE_ANSWER, /* validity counts from the answer */
	BUG_ANY_SERIAL,      /* an answer counts for the latest question */
	BUG_SURVIVOR_TRUSTS, /* a survivor takes any token for valid */
	BUG_NO_DEADMAN,
	BUG_CLOCK_STOPS,     /* while the host sleeps */
	BUG_SERVES_FIRST,    /* WON before STORE */
	BUG_ASKS_EARLY,      /* _emptied before the reset */
	BUG_GRANT_IGNORED,   /* the TTL is what was asked for */
	BUG_STATE_ONLY,      /* a turn does not look at the time */
	BUG_REFUSAL_IGNORED, /* and so is EXPIRED */
	BUG_FOUND_IS_PROOF,  /* ACQUIRED without a question counts */
	BUG_FORGETS_FIRST,   /* the stored token goes before the reset */
	BUG_THAWS_ANOTHER,   /* connections go on with a new token */
	BUGS,
};

/* To the engine and from it. */
struct letter {
	enum handoff_lease_event_kind kind;
	uint64_t serial, token, session;
	uint32_t ttl_ms;
	bool asks; /* to the engine: `kind` is the answer that is wanted */
};

struct box {
	struct letter letters[BOX];
	unsigned len;
};

struct process {
	bool alive;
	uint64_t stopped_until; /* 0: it runs */
	bool keeps;             /* it runs the machine */
	struct handoff__lease m;
	uint32_t pending; /* actions that are not carried out yet */
	bool emptied, publishes, releases, exits;
	/* the end */
	uint64_t id; /* of the end; 0: none */
	bool up, attaching;
	uint64_t session, ping_ns;
	struct box in, out;
	/* a turn: it has looked at the time and is about to commit */
	bool in_turn;
	uint64_t turn_token;
	uint64_t deadman_ns; /* on the host's clock; 0: not armed */
};

struct host {
	struct process peers[PEERS];
	unsigned owner; /* which peer owns the service */
	/* the arena */
	struct handoff__lease_saved saved;
	uint64_t saved_session, generation; /* the upper half */
	uint64_t connections; /* token that they were served by; 0: none */
	bool frozen;
	/* the clock: host time = offset + t + t * drift / 1000 - lag */
	uint64_t offset_ns, lag_ns;
	int drift;
	bool cut;
};

struct session {
	uint64_t id, heard_ns, ttl_ns, end;
	unsigned host;
	bool alive;
};

struct engine {
	struct session sessions[SESSIONS];
	uint64_t token, holder; /* session; 0: none */
	uint64_t notice;        /* generation's upper half in it */
	uint64_t last;          /* session and end */
	bool down;
};

/* What a run has seen: a simulator that never sees it proves nothing. */
enum sight {
	SAW_WON,
	SAW_DOUBT,
	SAW_FREEZE,
	SAW_THAW,
	SAW_RESET,
	SAW_EXPIRED,
	SAW_REFUSED,
	SAW_FOUND,
	SAW_LATE_PROOF,
	SAW_STALE,
	SAW_SURVIVOR_VALID,
	SAW_SURVIVOR_FROZEN,
	SAW_SURVIVOR_WON,
	SAW_SURVIVOR_CANDIDATE,
	SAW_GIVE,
	SAW_DEADMAN,
	SAW_STOP_IN_TURN,
	SAW_COMMIT,
	SAW_PUBLISHED,
	SAW_RELEASED,
	SAW_ERROR,
	SAW_SHORT_TTL,
	SAW_SLEEP,
	SIGHTS,
};

struct world {
	uint64_t seed, random;
	enum bug bug;
	const char *bad; /* the first violation */
	unsigned step;
	bool trace, quiet;
	unsigned faults, deaths; /* one in so many steps, actions */
	bool stale;              /* answers come in any order */
	uint32_t granted_ms;
	uint64_t t_ns;
	uint64_t won; /* the highest token by which something was served */
	struct host hosts[HOSTS];
	struct engine engine;
	unsigned *seen;
};

/* test_simulation.c */
uint32_t sim_draw(struct world *w, uint32_t most);
/* One in `n`, while things go wrong. */
bool sim_chance(struct world *w, unsigned n);
void sim_bad(struct world *w, const char *what);
void sim_see(struct world *w, enum sight sight);
void sim_trace(const struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* sim_engine.c: the engine and the network */
void sim_engine_init(struct world *w);
/* Handles the oldest letter of that process, if it gets through. */
void sim_engine_take(struct world *w, unsigned host, unsigned peer);
/* Sessions whose time is over end. */
void sim_engine_lapse(struct world *w);
void sim_engine_down(struct world *w, bool down);
bool sim_post(struct box *box, const struct letter *letter);
/* Takes an answer, in an order that the network may have made of it. */
bool sim_fetch(struct world *w, struct process *p, struct letter *letter);

/* sim_host.c: processes */
uint64_t sim_clock(const struct world *w, unsigned host);
void sim_host_start(struct world *w, unsigned host);
void sim_kill(struct world *w, unsigned host, unsigned peer);
void sim_revive(struct world *w, unsigned host, unsigned peer);
void sim_stop(struct world *w, unsigned host, unsigned peer, uint64_t ns);
void sim_give(struct world *w, unsigned host);
void sim_release(struct world *w, unsigned host);
/* Lets the process do one thing. */
void sim_run(struct world *w, unsigned host, unsigned peer);
/* Timers of the kernel, after time has passed. */
void sim_timers(struct world *w, unsigned host);
/* Whether the host serves now, if a turn began. */
bool sim_valid(const struct world *w, unsigned host);

#endif
