/* SPDX-License-Identifier: MIT */
/*
 * The public peer of handoff/peer.h from the inside: the peer below
 * (handoff__pair_* of lib/peer), its operator's side, and the events that the
 * program has not pulled yet. Each file calls only those below it:
 *
 *   embed.c      the handle
 *   dispatch.c   the work of a dispatch, and the next event
 *   commit.c     states of several entries that come true together
 *   entries.c    the entries that the program deposits
 *   states.c     the states of entries
 *   handling.c   the mark around the program's work on an entry
 *   inbox.c      input that is in the record until a state has it
 *   stream.c     input and output of connections, beside their states
 *   callbacks.c  callbacks from the peer below
 *   stop.c       the stop
 *   role.c       becomes the owner
 *   pending.c    entries with a pending event
 *   data.c       entries that are data: the memory of their states
 *   lib/operator events, requests and replies
 */
#ifndef HANDOFF_EMBED_EMBED_H
#define HANDOFF_EMBED_EMBED_H

#include "base/loop.h"
#include "operator/operator.h"
#include "peer/pair.h"
#include "record/data.h"

#include <handoff/peer.h>

#include <pthread.h>

/* The pending event of an entry. */
enum handoff__pending {
	HANDOFF__PENDING_NONE = 0,
	HANDOFF__PENDING_TAKEN,
	HANDOFF__PENDING_RELEASE,
	HANDOFF__PENDING_RELEASED, /* by the program; to be moved */
};

struct handoff_entry {
	struct handoff__roster_entry entry; /* must be first */
	struct handoff_peer *peer;
	void *data;
	uint32_t looked; /* the look at which it was not complete */
	bool told;       /* RELEASE was pulled, and is not answered yet */
	uint8_t pending; /* enum handoff__pending; selects the list it is in */
	TAILQ_ENTRY(handoff_entry) node;
	struct handoff__data memory; /* of data that the program has */
	char name[HANDOFF_ADDRESS_MAX];
};

TAILQ_HEAD(handoff__entry_list, handoff_entry);

struct handoff_peer {
	struct handoff_service service;
	handoff_entry_convert_fn *convert;
	void *convert_arg;
	char service_name[HANDOFF_NAME_MAX];
	bool may_own;
	pid_t pid; /* of the process that opened it, not of its children */
	_Atomic(pthread_t) thread; /* that opened or dispatched it last */
	char *lease;               /* NULL: none */
	char lease_host[HANDOFF_NAME_MAX]; /* "": the system's */
	struct handoff__log log;
	struct handoff__error error;
	struct handoff__loop loop;
	struct handoff__pair pair;
	struct handoff__operator op;
	struct handoff_peer_event event; /* returned by the last call */
	struct handoff__timer starved;   /* no descriptor left for an event */
	bool starving;                   /* and that was logged */
	bool unfinished; /* entries wait for a ferry, and that was logged */
	uint32_t looks;  /* how often they were looked at, from 1 */
	struct handoff__entry_list pending, released;
	bool standby_due; /* the other serves; STANDBY follows once nothing is
			   * owned here */
	bool owner_due;   /* it serves; OWNER follows after all entries */
	bool late;        /* entries came while the service was moving away */
	bool stopped;     /* STOP was emitted */
	unsigned tries;   /* gives left before the stop ends */
};

static inline struct handoff_entry *
handoff__public_entry(struct handoff__roster_entry *e)
{
	return (struct handoff_entry *)(void *)e;
}

/* Whether the entry is this peer's and has not ended. */
static inline bool
handoff__embed_serves(const struct handoff_entry *e)
{
	return e && e->entry.id != 0 && e->entry.fd >= 0 && e->entry.mine &&
	       (e->entry.kind != HANDOFF__DATA || e->memory.base);
}

/* Whether this is the thread that the handle belongs to, as far as is known:
 * others may not touch its error. */
static inline bool
handoff__embed_on_its_thread(const struct handoff_peer *peer)
{
	return pthread_equal(pthread_self(), atomic_load_explicit(&peer->thread,
						     memory_order_relaxed)) !=
	       0;
}

static inline void
handoff__embed_set_thread(struct handoff_peer *peer)
{
	atomic_store_explicit(
		&peer->thread, pthread_self(), memory_order_relaxed);
}

/* states.c */
/* The longest state that the entry can have. */
size_t handoff__embed_room(const struct handoff_entry *e);
/* Write the spare state and its length, of an entry that this peer serves; they
 * count from the flip on. */
void handoff__embed_write(
	struct handoff_entry *e, const void *state, size_t len);
size_t handoff__embed_set_len(struct handoff_entry *e, size_t len);

/* data.c */
/* A descriptor with room for so many bytes, or a negative errno. */
int handoff__embed_data_create(size_t capacity);
int handoff__embed_data_map(struct handoff_entry *e);
/* Unmaps all data. */
void handoff__embed_data_release(struct handoff_peer *peer);
/* As handoff__pair_config.convert_data. */
int handoff__embed_data_convert(uint32_t version,
	const struct handoff__view *from, int from_fd,
	const struct handoff__view *to, int *to_fd, void *arg);

/* pending.c */
void handoff__embed_pend(struct handoff_entry *e, enum handoff__pending event);

/* role.c */
int handoff__embed_own(struct handoff_peer *peer);
/* The lease of this host has changed. */
void handoff__embed_leased(
	struct handoff_peer *peer, enum handoff__lease_action action);
/* Emits OWNER, if it is due. */
void handoff__embed_owner(struct handoff_peer *peer);
/* Emits STANDBY, if it is due. */
void handoff__embed_standby(struct handoff_peer *peer);

/* stop.c */
extern const struct handoff__operator_ops handoff__embed_operator_ops;
void handoff__embed_stop(struct handoff_peer *peer);
/* If no other peer goes on with the lease: ends all connections and listeners,
 * and gives it up. Waits for that, for up to two seconds. */
void handoff__embed_release(struct handoff_peer *peer);

/* callbacks.c */
extern const struct handoff__pair_ops handoff__embed_ops;

/* dispatch.c */
void handoff__embed_flush(struct handoff_peer *peer);
/* Sets peer->event to what is next of the entries; false: nothing. */
bool handoff__embed_next(struct handoff_peer *peer);

/* stream.c; in the positions that the program counts by */
struct handoff__progress;
int handoff__embed_progress(
	const struct handoff_entry *e, struct handoff__progress *progress);

#endif
