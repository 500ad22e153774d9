/* SPDX-License-Identifier: MIT */
/*
 * A record: what must outlive the process for one entry. Its owner alone
 * writes it, apart from the owner word. Everything is one release-store away
 * from being true: see the top of record.c.
 */
#ifndef HANDOFF_RECORD_RECORD_H
#define HANDOFF_RECORD_RECORD_H

#include "record/arena.h"

#include <handoff/service.h>

#include <sys/uio.h>

enum handoff__kind {
	HANDOFF__CONNECTION = 1,
	HANDOFF__LISTENER = 2,
	HANDOFF__EXTRA = 3,
};

enum handoff__commit_flag {
	HANDOFF__OPENED = 1,   /* the service's open ran */
	HANDOFF__EOF = 2,      /* the client sends no more */
	HANDOFF__EOF_DONE = 4, /* and the handler has been told */
	HANDOFF__CLOSING = 8,  /* the service wants the end after the output */
	HANDOFF__ADOPTED = 16, /* a listener that others have opened */
};

struct handoff__commit {
	uint64_t rx_tail;   /* consumed up to here */
	uint64_t tx_head;   /* produced up to here */
	uint64_t rx_origin; /* the position that lies at offset 0 of rx */
	uint64_t tx_origin;
	uint32_t flags;
	uint32_t sequence; /* what that of the record is while this commit is
			      valid */
	uint64_t heard;    /* of the bulletin, up to here */
};

/* So that a new owner reads one line of memory of a record that is quiet. */
enum handoff__activity {
	HANDOFF__AT_REST = 0, /* waits for input, and only for that */
	HANDOFF__IN_TURN = 1, /* the socket is being read or written */
	HANDOFF__PENDING = 2, /* something is to be done or waited for */
};

/* Of a record's `desk`: the number of the desk where its bytes are, 0 when
 * they are in its own buffers. The other bits count. */
#define HANDOFF__DESK_NUMBER 0xffu

/* Positions count bytes of the stream from the connection's first byte. */
struct handoff__record {
	handoff__owner owner;
	uint32_t kind;
	_Atomic uint64_t id;       /* 0: no entry, or not yet, or no more */
	_Atomic uint64_t rx_head;  /* taken from the kernel; a hint in a turn */
	_Atomic uint64_t tx_tail;  /* given to the kernel; a hint in a turn */
	_Atomic uint32_t activity; /* what a new owner must look at */
	_Atomic uint32_t sequence; /* counts commits; its lowest bit says which
				      commit and state are valid */
	uint64_t rx_base;          /* positions where the socket's counters */
	uint64_t tx_base;          /* stood at zero */
	uint8_t touched;           /* the buffers have pages, see trim */
	_Atomic uint8_t handling;  /* a handler runs; deaths: handling.h */
	uint16_t unused;
	_Atomic uint32_t desk; /* where the bytes are in a turn, see desk.h */
	struct handoff__commit commit[2];
	/* Two states of state_size bytes follow, 16-byte aligned. */
};

/* A record with its buffers, as one peer sees it; private to a process. */
struct handoff__view {
	struct handoff__record *rec;
	unsigned char *rx, *tx;
	const struct handoff__segment *seg;
};

/* A transaction: what a handler sees. Public as struct handoff_conn. */
struct handoff_conn {
	struct handoff__view view;
	struct handoff__commit *next; /* the spare commit, being written */
	void *state;                  /* the spare state, or NULL */
	uint64_t rx_head, tx_tail;
};

void handoff__view_make(struct handoff__view *view,
	const struct handoff__segment *seg, uint32_t slot);

/* Which entry it is of. Acquire and release: its kind is there once the id is,
 * for a peer that reads the record without owning it (a dump, a MIRROR). */
static inline uint64_t
handoff__record_id(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->id, memory_order_acquire);
}

static inline void
handoff__record_set_id(struct handoff__record *rec, uint64_t id)
{
	atomic_store_explicit(&rec->id, id, memory_order_release);
}

/* Relaxed: whoever acts on it owns the record, and what the owner before had
 * written came with the owner word, or with that one's death. */
static inline uint32_t
handoff__record_activity(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->activity, memory_order_relaxed);
}

/* Relaxed, for the owner, which alone moves them; for another peer or thread
 * they are a count that was true a moment ago. */
static inline uint64_t
handoff__rx_head(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->rx_head, memory_order_relaxed);
}

static inline uint64_t
handoff__tx_tail(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->tx_tail, memory_order_relaxed);
}

/* Release: a snapshot that sees them sees the bytes that they speak of. */
static inline void
handoff__record_set_positions(
	struct handoff__record *rec, uint64_t rx_head, uint64_t tx_tail)
{
	atomic_store_explicit(&rec->rx_head, rx_head, memory_order_release);
	atomic_store_explicit(&rec->tx_tail, tx_tail, memory_order_release);
}

/* `sequence`, for its owner: nobody else changes it. */
static inline uint32_t
handoff__record_sequence(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->sequence, memory_order_relaxed);
}

/* `desk`, for its owner likewise. */
static inline uint32_t
handoff__desk_word(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->desk, memory_order_relaxed);
}

/* Acquire: the other half may be written to as soon as this one is valid, by
 * another thread or process than reads it here. */
static inline const struct handoff__commit *
handoff__record_commit(const struct handoff__record *rec)
{
	return &rec->commit[atomic_load_explicit(
				    &rec->sequence, memory_order_acquire) &
			    1];
}

/* The first or second state (`which` is 0 or 1); NULL if there is none. */
static inline void *handoff__record_state(
	const struct handoff__view *view, uint32_t which);

/* Are these positions in range, is this layout possible? */
bool handoff__positions_ok(const struct handoff__geometry *geo,
	const struct handoff__commit *commit, uint64_t rx_head,
	uint64_t tx_tail);

/* Is the record in order, its positions and which commit it means? A survivor
 * asks before it serves what another process wrote. */
bool handoff__record_ok(const struct handoff__view *view);

/* Sets the positions to what the kernel says the dead owner had read and
 * written of this socket. 1 if they were stale, 0 if they were right, -ERANGE
 * if they can't be: the record makes no sense. */
int handoff__record_repair(
	const struct handoff__view *view, uint64_t read, uint64_t written);

/* Where the next input goes and how much fits; 0 while the buffer is full. */
static inline size_t handoff__record_rx_room(
	const struct handoff__view *view, void **at);
static inline void handoff__record_received(
	const struct handoff__view *view, size_t len);

/* What is to be sent, in at most two pieces; returns how many. */
static inline int handoff__record_tx_pieces(
	const struct handoff__view *view, struct iovec iov[2]);
static inline void handoff__record_sent(
	const struct handoff__view *view, size_t len);

static inline void
handoff__record_mark(
	struct handoff__record *rec, enum handoff__activity activity)
{
	atomic_store_explicit(
		&rec->activity, (uint32_t)activity, memory_order_release);
}

/* Bytes come to lie in the buffers; in its own, if it has no desk. */
static inline void
handoff__record_touch(struct handoff__record *rec)
{
	if ((handoff__desk_word(rec) & HANDOFF__DESK_NUMBER) == 0)
		rec->touched = 1;
}

static inline uint64_t
handoff__record_unsent(const struct handoff__record *rec)
{
	return handoff__record_commit(rec)->tx_head - handoff__tx_tail(rec);
}

static inline uint64_t
handoff__record_unread(const struct handoff__record *rec)
{
	return handoff__rx_head(rec) - handoff__record_commit(rec)->rx_tail;
}

/* Makes valid what a transaction has begun to write, for a process that writes
 * states and nothing else. -EINVAL if none was begun. */
int handoff__record_flip(const struct handoff__view *view);

/* Sets flags of the current commit, as a transaction of its own. */
void handoff__record_flag(const struct handoff__view *view, uint32_t flags);

/* Drops all input that is not consumed, as a transaction of its own. */
void handoff__record_discard(const struct handoff__view *view);

/* Begins a transaction; without a commit it never happened. */
static inline void handoff__txn_begin(
	struct handoff_conn *txn, const struct handoff__view *view);
static inline void handoff__txn_commit(struct handoff_conn *txn);

/* How far the connection has heard the bulletin, also while another thread or
 * process works on it: perhaps less, then. UINT64_MAX: it hears no more. */
uint64_t handoff__record_heard(const struct handoff__record *rec);

/* A new connection hears what is said from now on. */
void handoff__record_listen(const struct handoff__view *view);

/* Appends what the bulletin has for the connection to its output, a line a
 * transaction. False if it waits for room. */
bool handoff__record_hear(const struct handoff__view *view);

/* Fills a record that is free of anything with what a snapshot of another one
 * says, and the bytes that came with it; its state is left to the caller. */
struct handoff__snapshot;
void handoff__record_fill(const struct handoff__view *to,
	const struct handoff__record *from,
	const struct handoff__snapshot *snap, const unsigned char *bytes);

/* A small text that belongs to an entry without a stream (a listener, an
 * extra descriptor): kept where a connection has its input. A connection that
 * is nameless keeps none, and no page for it. */
void handoff__record_set_name(
	const struct handoff__view *view, const char *name);
/* `name` has HANDOFF_ADDRESS_MAX bytes; -EBADMSG if there is none. */
int handoff__record_name(const struct handoff__view *view, char *name);

#include "record/inline.h"

#endif
