/* SPDX-License-Identifier: MIT */
/*
 * Leases: of the hosts that could run a service, one holds the lease and serves
 * it. An engine, such as a ZooKeeper ensemble, decides which one. It is reached
 * through a table of calls that is chosen by the prefix of an address
 * ("zk:HOST:PORT/SERVICE"). A program may add some to those of the library.
 *
 * What an engine has to guarantee, in one sentence: for a TTL after any moment
 * at which a host has sent what the engine later confirmed (ACQUIRED, PROVEN),
 * it gives the lease to no other host. All else is the library's: when to ask,
 * how long a confirmation counts, and what has to stop when none comes.
 */
#ifndef HANDOFF_LEASE_H
#define HANDOFF_LEASE_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HANDOFF_LEASE_TTL_MS      15000 /* unless another one is asked for */
#define HANDOFF_LEASE_TTL_MIN_MS  2000
#define HANDOFF_LEASE_TTL_MAX_MS  3600000
#define HANDOFF_LEASE_SESSION_MAX 256 /* bytes of a saved session */
#define HANDOFF_LEASE_NOTICE_MAX  768 /* bytes of a notice */
#define HANDOFF_LEASE_ADDED_MAX   16  /* engines, added by one process */

/* A host's part in the lease. */
enum handoff_lease_state {
	HANDOFF_LEASE_FREE = 0,      /* has none and asks for none: no lease is
				      * configured, or it was released */
	HANDOFF_LEASE_CANDIDATE = 1, /* waits for it: nothing is served */
	HANDOFF_LEASE_OWNER = 2,     /* has it: serves */
	HANDOFF_LEASE_DOUBT = 3,     /* confirmations stay out: nothing is
				      * accepted, published or begun; at the end
				      * of validity connections are frozen */
	HANDOFF_LEASE_LOST = 4,      /* another has it, or might: connections
				      * are being reset; then CANDIDATE */
};

/* "FREE", "CANDIDATE", "OWNER", "DOUBT", "LOST"; "?" for any other. */
HANDOFF_API const char *handoff_lease_state_name(
	enum handoff_lease_state state);

enum handoff_lease_event_kind {
	/*
	 * A session is established, a new one, the saved one or one that was
	 * SUSPENDED, and requests can be made. `ttl_ms`: what the engine has
	 * granted, which counts if it is shorter than what was asked for. It is
	 * not shorter than what was granted to the same session before, unless
	 * a shorter one was asked for. `save` can be called. VACANT, TAKEN or
	 * ACQUIRED follows without being asked for.
	 */
	HANDOFF_LEASE_CONNECTED = 1,

	/* The connection has broken and is tried again; the session goes on.
	 * Requests that are not answered are answered no more. */
	HANDOFF_LEASE_SUSPENDED = 2,

	/* The session has ended at the engine and its lease with it. The end
	 * begins a new one: CONNECTED follows. Answers to requests of the old
	 * one are dropped. */
	HANDOFF_LEASE_EXPIRED = 3,

	/* No session has the lease: after CONNECTED, and when it becomes so. */
	HANDOFF_LEASE_VACANT = 4,

	/* Another session has it, with this `token` (0: unknown), at host `by`;
	 * after CONNECTED, when it becomes so, and in answer to `acquire`. */
	HANDOFF_LEASE_TAKEN = 5,

	/* This session has it, with this `token`: in answer to `acquire` with
	 * this `serial`; or serial 0: found after CONNECTED, since the answer
	 * was lost. */
	HANDOFF_LEASE_ACQUIRED = 6,

	/* In answer to `prove` with this `serial`: when the engine has handled
	 * it this session had the lease with the token that was named. */
	HANDOFF_LEASE_PROVEN = 7,

	/* In answer to `publish`: it is retained. */
	HANDOFF_LEASE_PUBLISHED = 8,

	/* In answer to `prove` or `publish`: this session does not have the
	 * lease with that token. Nothing was written. */
	HANDOFF_LEASE_REFUSED = 9,

	/* In answer to `retained`: `data` and `len`, which are valid until the
	 * next call; len 0: there is none. */
	HANDOFF_LEASE_RETAINED = 10,

	/* The hosts that take part have changed: `member`. */
	HANDOFF_LEASE_MEMBERS = 11,

	/* In answer to `release`: the lease is free, or no longer this
	 * session's. */
	HANDOFF_LEASE_RELEASED = 12,

	/* The request with this `serial` failed, and may be made again; or
	 * serial 0: something else that an operator should know. `text` is a
	 * sentence: what was tried, on what, what came, what to do. */
	HANDOFF_LEASE_ERROR = 13,
};

/* What an engine tells. May grow at its end; fields that a kind does not
 * mention are zero. */
struct handoff_lease_event {
	enum handoff_lease_event_kind kind;
	uint32_t ttl_ms; /* CONNECTED */
	uint64_t serial; /* of the request that it answers; 0: of none */
	uint64_t token;  /* TAKEN, ACQUIRED */
	char by[HANDOFF_NAME_MAX];
	const void *data;
	size_t len;
	char text[HANDOFF_TEXT_MAX];
};

/* A host that takes part, as `member` tells. May grow at its end. */
struct handoff_lease_member {
	char host[HANDOFF_NAME_MAX];
	char text[HANDOFF_TEXT_MAX]; /* what it says of itself: its endpoints */
	bool owner;                  /* it has the lease, as far as known */
};

/* What an end is opened with. May grow at its end; the strings and bytes are
 * valid during the call. */
struct handoff_lease_side {
	size_t size;         /* of the library's structure */
	uint32_t user;       /* the server's user; see handoff_server_opts */
	uint32_t ttl_ms;     /* after which a silent host loses the lease */
	const char *host;    /* this host's name among the members: 1 to 31
			      * characters of [A-Za-z0-9._-] */
	const char *text;    /* what it says of itself; "" for nothing */
	const void *session; /* as `save` gave it, perhaps to a process that has
			      * died; to be continued, with its lease. EXPIRED
			      * if it has ended meanwhile. */
	size_t session_len;  /* 0: a new one */
};

/*
 * An engine. All calls are made in the thread of the handle and must not block:
 * what they ask for is answered by events, in any order. `end` is what open has
 * made. Results are 0 or more, or a negative errno: then the request was not
 * made and is not answered (-EAGAIN: it is too early, nobody needs to know). Of
 * one session one end at a time is open; in a child (fork(2)) of the process
 * that has opened it an end is only closed.
 *
 * Serials are the caller's: never 0, each larger than the one before it, and an
 * answer quotes the one of its request. Requests are made between CONNECTED and
 * SUSPENDED or EXPIRED; several may be under way, and they are handled in the
 * order in which they were made.
 */
struct handoff_lease_engine {
	size_t size;        /* sizeof(struct handoff_lease_engine) */
	const char *prefix; /* of its addresses, with the colon: "zk:" */
	const char *form;   /* for people: "zk:HOST:PORT[,HOST:PORT]/SERVICE" */

	/* Opens an end and begins to connect; `rest` is the address behind the
	 * prefix. On failure with a sentence: -EAGAIN if it may be different
	 * later (a name that is not resolved), any other ends the start of a
	 * peer. An engine that is not reachable is no failure: it is tried
	 * until close. */
	int (*open)(void **end, const char *rest,
		const struct handoff_lease_side *side, char *errbuf,
		size_t errbuf_size);

	/* A descriptor that is readable while next_event may have an event, or
	 * `tend` has work; always the same. Asked for once, after open. */
	int (*fd)(void *end);

	/* Takes the oldest event: 1, or 0 if there is none. Does the work that
	 * is due, such as reading from the network. The end is called again
	 * until it says 0. */
	int (*next_event)(void *end, struct handoff_lease_event *event);

	/*
	 * Asks for the lease, with a new token that is larger than `above` and
	 * than every token that the engine has given for this service. To have
	 * it is to be the only session that has it, until it is released or the
	 * session ends, which is a TTL after the engine has last heard of it or
	 * later. Answer: ACQUIRED; or TAKEN, not of this session: if that has
	 * the lease already it is ACQUIRED with the token it has.
	 */
	int (*acquire)(void *end, uint64_t serial, uint64_t above);

	/* Confirms the lease with this token, by what only a majority of the
	 * engine's servers can answer, and only after the call: PROVEN, or
	 * REFUSED. The session's life counts anew from then. */
	int (*prove)(void *end, uint64_t serial, uint64_t token);

	/* Replaces the retained notice if the session has the lease with this
	 * token, in one step, and tells those that watch it: PUBLISHED, or
	 * REFUSED. At most HANDOFF_LEASE_NOTICE_MAX bytes. */
	int (*publish)(void *end, uint64_t serial, uint64_t token,
		const void *data, size_t len);

	/* Reads the retained notice: RETAINED. */
	int (*retained)(void *end, uint64_t serial);

	/* Writes what another process of this host needs to continue the
	 * session: its length, at most HANDOFF_LEASE_SESSION_MAX. Secrets may
	 * be in it: it stays in memory. 0: there is no session, or it cannot be
	 * continued. It changes only with CONNECTED and EXPIRED. */
	int (*save)(void *end, void *session, size_t size);

	/* Gives up the lease, and the membership: RELEASED. The end is only
	 * closed then, or when the caller will not wait. */
	int (*release)(void *end, uint64_t serial);

	/* Lets go of the session without ending it, as if the process had died:
	 * it can be continued until the engine expires it. */
	void (*close)(void *end);

	/* Those below may be NULL. */

	/* Says something else of this host from now on. */
	int (*describe)(void *end, const char *text);

	/* Member `i`, from 0, as of the last MEMBERS: 1, or 0 if there are
	 * fewer. */
	int (*member)(void *end, size_t i, struct handoff_lease_member *member);

	/* Work that is due about every TTL/6 if the descriptor does not say
	 * so. */
	int (*tend)(void *end);

	/* A sentence about the end, for an operator, such as which server it is
	 * connected to; "" if there is nothing to say. Valid until the next
	 * call. */
	const char *(*state)(void *end);
};

/*
 * Adds an engine to this process, before a handle is opened that uses it, and
 * for good. The library copies the table; the strings must stay. -EEXIST: there
 * is one whose addresses begin like that; -ENOSPC: that is one too many;
 * -EINVAL: the prefix is not 1 to 15 characters of [a-z0-9+.-] with a colon
 * behind, or a call before `describe` is missing; -E2BIG: it has calls that
 * this version does not know. `errbuf`, which may be NULL, gets a sentence.
 * Thread-safe.
 */
HANDOFF_API int handoff_lease_engine_add(
	const struct handoff_lease_engine *engine, char *errbuf,
	size_t errbuf_size);

#ifdef __cplusplus
}
#endif

#endif
