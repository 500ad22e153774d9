/* SPDX-License-Identifier: MIT */
/*
 * A record: the part of an entry that must outlive its process. Only its owner
 * writes it, except for the owner word. Every change takes effect by one
 * release-store: see the top of record.c.
 */
#ifndef HANDOFF_RECORD_RECORD_H
#define HANDOFF_RECORD_RECORD_H

#include "record/arena.h"

#include <handoff/service.h>

#include <assert.h>
#include <sys/uio.h>

enum handoff__kind {
	HANDOFF__CONNECTION = 1,
	HANDOFF__LISTENER = 2,
	HANDOFF__EXTRA = 3,
	HANDOFF__DATA = 4, /* its descriptor is the memory of its state */
};

enum handoff__commit_flag {
	HANDOFF__OPENED = 1,   /* the service's open has run */
	HANDOFF__EOF = 2,      /* the client has ended its sending direction */
	HANDOFF__EOF_DONE = 4, /* and the handler has run for it */
	HANDOFF__CLOSING = 8,  /* the service closes after the output is sent */
	HANDOFF__ADOPTED = 16, /* a listener opened by another process */
	HANDOFF__ENDING = 32,  /* the service's `ended` is about to run */
	HANDOFF__ENDED = 64,   /* and has run */
	HANDOFF__OVER = 128,   /* nothing is sent any more: end it at once */
	HANDOFF__RESET = 256,  /* with a reset */
	HANDOFF__END = 0x3e00, /* enum handoff_end_reason; 0: not known yet */
	HANDOFF__WAITING = 0x4000, /* the handler has returned HANDOFF_LATER to
				    * the present owner */
	/* Pairs, see pass.h. A paired connection has PAIRED, whatever else. */
	HANDOFF__PAIRED = 0x8000,    /* it has a pair, or is to get one */
	HANDOFF__CONNECT = 0x10000,  /* one is to be connected: its pass head
				      * says where */
	HANDOFF__PASS_END = 0x20000, /* it passes nothing more */
	HANDOFF__SHUT = 0x40000,     /* it has taken all that its pair passes:
				      * its output ends */
	HANDOFF__GONE = 0x80000,     /* its socket has ended; its pair is still
				      * to take what it has passed */
	HANDOFF__PAIR_OVER = 16,     /* of a connection: the handler has still
				      * to learn that there is no pair */
	/* Of a session of a client, see `session` in the extra part. */
	HANDOFF__SESSION = 0x08000000,  /* it outlives its socket: with GONE it
					 * is absent, and waits for a
					 * connection that resumes it */
	HANDOFF__RESUMING = 0x10000000, /* its client has asked for a session,
					 * which its state names: the loop is to
					 * fetch that; no handler runs */
	HANDOFF__HOLDS_INPUT = 0x20000000, /* its state holds input of a service
					    * that it wraps */
	/* These bits are set within a transaction only, and never committed:
	 * why the handler was called (enum handoff_conn_reason), and what it
	 * does beside its record. */
	HANDOFF__REASON = 0x00f00000,
	HANDOFF__TRANSIENT = 0x47f00000,
	HANDOFF__SHARED = 0x01000000,      /* it holds the shared region */
	HANDOFF__SHARED_LATE = 0x02000000, /* it has waited for that in vain */
	HANDOFF__POSTING = 0x04000000,     /* `staged` is set */
	HANDOFF__ERASE = 0x40000000,       /* the state before it is to be
					    * overwritten */
};

/* In the state_version of a service with sessions. */
#define HANDOFF__SESSION_BIT 0x80000000u

#define HANDOFF__END_SHIFT    9
#define HANDOFF__REASON_SHIFT 20
#define HANDOFF__GIVEN                                                         \
	12 /* plus a reason below 4: that one, whatever the record             \
	    * says */

/* Whether a process died in the service's `ended`, so that it has to run
 * again. */
static inline bool
handoff__flags_ending(uint32_t flags)
{
	return (flags & (HANDOFF__ENDING | HANDOFF__ENDED)) == HANDOFF__ENDING;
}

#define HANDOFF__WISH 0x80000000u /* a flag: selects one of two addresses */

/* Flags of a connection that gets no more output from its handler, and no
 * lines; or not before it has the session that it asks for. */
#define HANDOFF__NO_OUTPUT                                                     \
	((uint32_t)(HANDOFF__CLOSING | HANDOFF__SHUT | HANDOFF__GONE |         \
		    HANDOFF__RESUMING))

/* A line of memory each, and an index into them is a shift. */
struct handoff__commit {
	uint64_t rx_tail;   /* consumed up to here */
	uint64_t tx_head;   /* produced up to here */
	uint64_t rx_origin; /* the position at offset 0 of rx */
	uint64_t tx_origin;
	uint32_t flags;
	uint32_t sequence;  /* equals the record's sequence while this commit is
			     * valid */
	uint64_t line_pos;  /* posts are taken up to here */
	uint32_t state_len; /* bytes of the state in use */
	/* Positions in rings to a pair, the lower 32 bits: what this connection
	 * has passed to the other, and what it has taken from it. Of a
	 * service that wraps another one, which has no pairs, both are one
	 * number: see handoff__commit_wrapped. */
	uint32_t pass_head, pass_tail;
	uint16_t deadline; /* 1 + index of the valid one; 0: none */
	uint16_t folded;   /* 1: the state is in the record's fold */
};

/* Of a service that wraps another one: what that has consumed of its own
 * input. */
static inline void
handoff__commit_wrap(struct handoff__commit *commit, uint64_t position)
{
	commit->pass_head = (uint32_t)(position + 1);
	commit->pass_tail = (uint32_t)((position + 1) >> 32);
}

/* 1 + that, which is the number of its next request; 0: it wraps none. */
static inline uint64_t
handoff__commit_wrapped(const struct handoff__geometry *geo,
	const struct handoff__commit *commit)
{
	return geo->pass_size > 0
		       ? 0
		       : (uint64_t)commit->pass_tail << 32 | commit->pass_head;
}

/* The number of the request that the unconsumed input begins with. */
static inline uint64_t
handoff__commit_request(const struct handoff__geometry *geo,
	const struct handoff__commit *commit)
{
	uint64_t wrapped = handoff__commit_wrapped(geo, commit);

	return wrapped != 0 ? wrapped : commit->rx_tail + 1;
}

/* What a new owner must do with a record; in its first cache line. */
enum handoff__activity {
	HANDOFF__AT_REST = 0, /* waits for input, and for nothing else */
	HANDOFF__IN_TURN = 1, /* the socket is being read or written */
	HANDOFF__PENDING = 2, /* there is something to do or to wait for */
};

/* In a record's `desk`: the number of the desk that holds its bytes, 0 for its
 * own buffers. The other bits count changes. */
#define HANDOFF__DESK_NUMBER 0xffu

#define HANDOFF__LABEL_MAX 64u

/* The address of a client, as accept(2) gave it: it remains known when the
 * socket does not tell it any more. */
struct handoff__client {
	uint8_t ip[16];  /* in network byte order; of IPv4 the first four */
	uint16_t port;   /* in network byte order */
	uint16_t family; /* 4 or 6; 0: unknown, or none */
};

/*
 * The part of a record without two copies. The owner sets it in a transaction,
 * before the commit: a handler that dies before that runs again on the same
 * input, and sets the same again.
 */
struct handoff__extra {
	/* CLOCK_BOOTTIME; the commit says which one is valid, if any */
	_Atomic uint64_t deadline_ms[2];
	_Atomic uint64_t tag; /* selects receivers of posts; 0: none */
	/* Number of the session: the id of the connection that it began with.
	 * Means something only while the commit has SESSION: it is set before
	 * the commit that sets that, and not cleared. */
	_Atomic uint64_t session;
	_Atomic uint64_t leader; /* id of the entry that it moves with; 0:
				  * none */
	uint32_t leader_segment, leader_slot;
	_Atomic int64_t since_ms; /* CLOCK_REALTIME */
	_Atomic uint64_t pair;    /* id of the other one of a pair; 0: none */
	/* a text of the service for people, as words, which other threads
	 * may read while it is written */
	_Atomic uint64_t label[HANDOFF__LABEL_MAX / 8];
	struct handoff__client client;
	/* Input of a program with a loop of its own that its state may not
	 * have yet, in the buffer of the record: see lib/embed/inbox.c. */
	uint32_t inbox_len;
	union {
		_Atomic uint64_t inbox; /* 1 + its position; 0: none */
		/* of a service's connection, which has no inbox: until when
		 * this owner keeps it, CLOCK_BOOTTIME; 0: it may move */
		_Atomic uint64_t hold_ms;
	};
	uint32_t inbox_sequence;          /* the record's, when it began */
	uint32_t pair_segment, pair_slot; /* where the pair is */
	uint32_t outgoing; /* 1: the service has made the connection */
	/* CLOCK_BOOTTIME, when the socket of the session ended; means something
	 * only while the commit has SESSION and GONE */
	_Atomic int64_t absent_ms;
	/* The output that the socket must have before its program may write to
	 * it, if `tx_tail` does not say that; see handoff__record_due. */
	_Atomic uint64_t owed;
};

static_assert(sizeof(struct handoff__extra) == 192, "three lines of memory");

/* Positions count bytes of the stream from the connection's first byte. */
struct handoff__record {
	handoff__owner owner;
	uint32_t kind;
	_Atomic uint64_t id;       /* 0: no entry, not yet or no longer */
	_Atomic uint64_t rx_head;  /* received from the kernel; a hint in a
				    * turn */
	_Atomic uint64_t tx_tail;  /* passed to the kernel; a hint in a turn */
	_Atomic uint32_t activity; /* what a new owner has to check */
	_Atomic uint32_t sequence; /* counts commits; its lowest bit selects the
				    * valid commit and state */
	/* positions at which the socket's counters were zero */
	uint64_t rx_base, tx_base;
	uint8_t touched;          /* see below */
	_Atomic uint8_t handling; /* a handler runs; deaths: handling.h */
	uint16_t unused;
	_Atomic uint32_t desk; /* where the bytes are in a turn, see desk.h */
	struct handoff__commit commit[2];
	struct handoff__extra extra; /* not in layout 5 */
	/* the fold follows, or two states of state_size bytes, 16-byte
	 * aligned */
};

/* In a record's `touched`. */
#define HANDOFF__PAGES 1u /* the buffers or states have pages, see trim */
#define HANDOFF__TIMED 2u /* a deadline was set, and may be cleared again */
#define HANDOFF__TOUCHED_PAIR                                                  \
	4u /* the turn has done something that the pair                        \
	    * of its connection waits for */
#define HANDOFF__UNFINISHED                                                    \
	8u /* a ferry had it, and may have died before its                     \
	    * socket was complete: see peer/unfinished.h */

/* In a record's `owed`: the end of the output is owed as well, after that
 * position. 0: nothing but what `tx_tail` says. */
#define HANDOFF__OWED_END (UINT64_C(1) << 63)

/* A record and its buffers as mapped in this process. */
struct handoff__view {
	struct handoff__record *rec;
	unsigned char *rx, *tx;
	const struct handoff__segment *seg;
};

/* A transaction, as a handler sees it. Public as struct handoff_conn. */
struct handoff_conn {
	struct handoff__view view;
	struct handoff__commit *next; /* the spare commit, being written */
	void *state;                  /* the spare state, or NULL */
	uint64_t rx_head, tx_tail;
	int fd; /* the connection's; only in a handler */
	struct handoff__staged *staged; /* if POSTING: its posts */
	const struct handoff_posted
		*posted; /* the one it takes, if that is the reason */
};

void handoff__view_make(struct handoff__view *view,
	const struct handoff__segment *seg, uint32_t slot);

/* What the record passes to its pair, see pass.h; never on a desk. */
unsigned char *handoff__record_pass(const struct handoff__view *view);

/* The id of its entry. Acquire pairs with the release of set_id: a peer that
 * reads the record without owning it (a dump, a MIRROR) and sees the id also
 * sees the kind. */
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

/* The number of the session that the record has; 0: none. */
static inline uint64_t handoff__record_session(
	const struct handoff__record *rec);

/* What its connection is to posts, and to the service's handlers: the number of
 * its session, else the id of its entry. */
static inline uint64_t handoff__record_number(
	const struct handoff__record *rec);

/* What it is to posts. */
static inline struct handoff__post_reader handoff__record_reader(
	const struct handoff__record *rec);

/* When the socket of its session ended, in milliseconds of CLOCK_BOOTTIME; 0:
 * it is not an absent session. */
static inline int64_t handoff__record_absent(const struct handoff__record *rec);

/* Relaxed: only the owner acts on it, and it sees the previous owner's writes
 * through the owner word, or through that peer's death. */
static inline uint32_t
handoff__record_activity(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->activity, memory_order_relaxed);
}

/* Relaxed: only the owner moves them; for another peer or thread they are
 * recent values. */
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

/* Release: a snapshot that sees the positions also sees the bytes before
 * them. */
static inline void
handoff__record_set_positions(
	struct handoff__record *rec, uint64_t rx_head, uint64_t tx_tail)
{
	atomic_store_explicit(&rec->rx_head, rx_head, memory_order_release);
	atomic_store_explicit(&rec->tx_tail, tx_tail, memory_order_release);
}

/* `sequence`, for its owner, which alone changes it. */
static inline uint32_t
handoff__record_sequence(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->sequence, memory_order_relaxed);
}

/* `desk`, likewise. */
static inline uint32_t
handoff__desk_word(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->desk, memory_order_relaxed);
}

/* The commit that is valid at that value of `sequence`. */
static inline struct handoff__commit *
handoff__commit_of(struct handoff__record *rec, uint32_t sequence)
{
	return (void *)((char *)rec->commit +
			(sequence & 1) * sizeof(struct handoff__commit));
}

/* Acquire: once this half is valid another thread or process may write to the
 * other one. */
static inline const struct handoff__commit *
handoff__record_commit(const struct handoff__record *rec)
{
	return (const void *)((const char *)rec->commit +
			      (atomic_load_explicit(
				       &rec->sequence, memory_order_acquire) &
				      1) *
				      sizeof(struct handoff__commit));
}

/* The first or second state (`which` is 0 or 1); NULL if there is none. */
static inline void *handoff__record_state(
	const struct handoff__view *view, uint32_t which);

/* That of the valid commit. */
static inline const void *handoff__record_valid_state(
	const struct handoff__view *view);

/* The connection's deadline, in milliseconds of CLOCK_BOOTTIME; 0: none. */
static inline uint64_t handoff__record_deadline(
	const struct handoff__record *rec);

/* Whether a commit is possible: positions and state length are in range. */
bool handoff__commit_ok(const struct handoff__geometry *geo,
	const struct handoff__commit *commit, uint64_t rx_head,
	uint64_t tx_tail);

/* Whether the record is consistent: its positions, and which commit is valid. A
 * survivor checks this before it serves what another process wrote. */
bool handoff__record_ok(const struct handoff__view *view);

/* Sets the positions to what the kernel says the dead owner had read from and
 * written to this socket. 1 if they were stale, 0 if they were right, -ERANGE
 * if they are impossible. */
int handoff__record_repair(
	const struct handoff__view *view, uint64_t read, uint64_t written);

/* The position up to which a socket was given output according to its record,
 * with HANDOFF__OWED_END. The record of a program that counts itself knows it
 * only while a ferry may owe it. To be read before the kernel's counters: its
 * owner sends first and notes it then. */
uint64_t handoff__record_due(const struct handoff__view *view);

/* Whether the socket was given less: `written` bytes by the kernel, and the end
 * or not. */
bool handoff__record_lacks(const struct handoff__record *rec, uint64_t due,
	uint64_t written, bool ended);

/* Where the next input goes, and how much fits; 0 while the buffer is full. */
static inline size_t handoff__record_rx_room(
	const struct handoff__view *view, void **at);
static inline void handoff__record_received(
	const struct handoff__view *view, size_t len);

/* The unsent output, in at most two pieces; returns their number. */
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

/* As _mark with PENDING, but leaves a turn that has begun as it is. */
static inline void
handoff__record_mark_due(struct handoff__record *rec)
{
	uint32_t rest = HANDOFF__AT_REST;

	atomic_compare_exchange_strong(&rec->activity, &rest, HANDOFF__PENDING);
}

/* Records that the record's own buffers get data, unless it has a desk. */
static inline void
handoff__record_touch(struct handoff__record *rec)
{
	if ((handoff__desk_word(rec) & HANDOFF__DESK_NUMBER) == 0)
		rec->touched |= HANDOFF__PAGES;
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

/* Commits the transaction in progress with a state of `state_len` bytes, for a
 * process that writes nothing else. -EINVAL if there is none. */
int handoff__record_flip(const struct handoff__view *view, size_t state_len);

/* Marks the first `len` bytes of the state as in use and zeroes them, in a new
 * record that no other process has seen. */
void handoff__record_use_state(const struct handoff__view *view, size_t len);

/* Overwrites the state that is not valid, if the arena is secret: after a
 * commit, or when a transaction is undone. */
void handoff__state_erase(const struct handoff__view *view);

/* Gives back pages of both states behind what is in use, between two
 * transactions; all of them if what is in use fits the record's fold. */
void handoff__state_trim(const struct handoff__view *view);

/* Sets flags of the valid commit, as a transaction of its own; clears them, if
 * any is set. */
void handoff__record_flag(const struct handoff__view *view, uint32_t flags);
void handoff__record_unflag(const struct handoff__view *view, uint32_t flags);

/* Drops all unconsumed input, as a transaction of its own. */
void handoff__record_discard(const struct handoff__view *view);

/* Begins a transaction; without a commit it has no effect. */
static inline void handoff__txn_begin(
	struct handoff_conn *txn, const struct handoff__view *view);
static inline void handoff__txn_commit(struct handoff_conn *txn);
/* The same for one without effects but the service's on its state. */
void handoff__txn_commit_state(struct handoff_conn *txn);

/* Whether posts for the connection wait; while another thread or process
 * serves it, they may have been taken meanwhile. */
bool handoff__record_posts_wait(const struct handoff__view *view);

/* Starts a new connection at the end of the ring of posts. */
void handoff__record_skip_posts(const struct handoff__view *view);

/* Appends to the output, as far as there is room, the lines that an older
 * library has written for connection `id` from `position` on in its bulletin,
 * and begins at the oldest post. `view` is of a record that no other process
 * has seen. */
void handoff__record_take_bulletin(
	const struct handoff__view *view, uint64_t id, uint64_t position);

/* Fills a cleared record from a snapshot of another one and its bytes; the
 * caller provides the state. */
struct handoff__snapshot;
void handoff__record_fill(const struct handoff__view *to,
	const struct handoff__record *from,
	const struct handoff__snapshot *snap, const unsigned char *bytes);

/* Sets the label, at most HANDOFF__LABEL_MAX - 1 bytes; and copies it, possibly
 * one of which only a part is new. */
void handoff__record_set_label(struct handoff__record *rec, const char *text);
void handoff__record_label(
	const struct handoff__record *rec, char label[HANDOFF__LABEL_MAX]);

/* Copies what has no two copies, `from` a record of this layout. */
void handoff__record_carry_extra(
	struct handoff__record *to, const struct handoff__record *from);

/* A short text for an entry without a stream (a listener, an extra descriptor),
 * stored where a connection has its input. A connection has no name, and no
 * page for one. */
void handoff__record_set_name(
	const struct handoff__view *view, const char *name);
/* `name` has HANDOFF_ADDRESS_MAX bytes; -EBADMSG if there is none. */
int handoff__record_name(const struct handoff__view *view, char *name);

#include "record/inline.h"

#endif
