/* SPDX-License-Identifier: MIT */
/*
 * A peer for servers that keep their own event loop and buffers. Such a server
 * deposits what is to outlive it: a descriptor, a name, and a state of its own
 * making (positions, what it has read and not yet used, what it has still to
 * send). The other peer of the service directory gets a copy of each
 * descriptor as it comes, and the states lie in memory that both share. In a
 * handoff, or when a peer dies, the other is told: these are yours now.
 *
 * A handle and its entries belong to one thread at a time.
 */
#ifndef HANDOFF_PEER_H
#define HANDOFF_PEER_H

#include <handoff/common.h>
#include <handoff/outcome.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_peer;

/* `size` is sizeof(struct handoff_peer_opts); zero means the default. All that
 * is pointed to is copied. */
struct handoff_peer_opts {
	size_t size;
	const char *dir;     /* the service directory; made with mode 0700 if it
				is not there, otherwise must be private */
	const char *name;    /* this peer's name, for people */
	const char *service; /* identity: both peers must have the same */
	uint32_t state_version; /* of what states look like; the same in both */
	uint32_t state_size;    /* the longest state, bytes, at most 65528 */
	bool may_own; /* serve when nobody else does; otherwise wait for an
			 owner and become its standby */
	uint64_t config_hash; /* of the configuration, 0: not compared */
	bool config_strict;   /* a peer with another hash is refused; without
				 it there is a warning in the log */
	uint32_t give_timeout_ms; /* how long a give waits for the standby and
				     for releases, default 5000 */
	uint32_t hang_timeout_ms; /* the other peer's silence after which it is
				     reported as hung, default 5000 */
	bool fence;               /* kill a peer that hangs and take over */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() says what went wrong; may be NULL */
	size_t errbuf_size;
	uint32_t user; /* of a program that starts as root and then becomes
			  this user (setuid(2)), or whose peer does: its uid.
			  Peers run as the same user or as root otherwise */
};

/* Opens the peer and joins the other one, if one is there; may block for up
 * to 10 seconds while that starts or answers. Then pull events: OWNER,
 * STANDBY or WAITING tells what this peer is. Errors as of
 * handoff_server_open. */
HANDOFF_API int handoff_peer_open(
	struct handoff_peer **out, const struct handoff_peer_opts *opts);

/* Leaves at once. What this peer owns passes to the other as soon as this
 * process has ended, and is the program's alone if there is none. NULL is
 * fine. Afterwards no callback runs, and entries, their states and what events
 * and errmsg pointed to are gone; descriptors of the program stay open, those
 * that came with TAKEN too. */
HANDOFF_API void handoff_peer_free(struct handoff_peer *peer);

/* One pollable descriptor, always the same and only ever POLLIN, for a loop of
 * the program's own; the library's. Or a negative errno. */
HANDOFF_API int handoff_peer_fd(struct handoff_peer *peer);

/* Does what is to do without blocking: 0 or a negative errno. Call it when the
 * descriptor is readable, then pull events. */
HANDOFF_API int handoff_peer_dispatch(struct handoff_peer *peer);

/* Waits up to `timeout_ms` (-1: for ever) until there is something to do, and
 * does it: 0, also when the time is over or a signal came; or a negative errno.
 */
HANDOFF_API int handoff_peer_wait(struct handoff_peer *peer, int timeout_ms);

enum handoff_peer_event_type {
	HANDOFF_PEER_OWNER = 1,   /* this peer serves. TAKEN has come for all
				     that there was: open what is missing */
	HANDOFF_PEER_STANDBY = 2, /* the other peer serves */
	HANDOFF_PEER_WAITING = 3, /* there is no owner yet */
	HANDOFF_PEER_JOINED = 4,  /* the other peer came */
	HANDOFF_PEER_LEFT = 5,    /* the other peer went */
	HANDOFF_PEER_TAKEN = 6,   /* `entry` is this peer's (again): serve it */
	HANDOFF_PEER_RELEASE = 7, /* stop touching `entry`, bring its state up
				     to date, then handoff_entry_release */
	HANDOFF_PEER_GAVE = 8,    /* a handoff, in either direction, is done */
	HANDOFF_PEER_REFUSED = 9, /* a handoff or a process was refused */
	HANDOFF_PEER_HUNG = 10, /* the other peer is silent, or speaks again */
	HANDOFF_PEER_LAGGING = 11, /* the standby falls behind with its copies,
				      or has caught up */
	HANDOFF_PEER_STOP = 12,    /* `handoffctl stop`: what could be given has
				      been; end the program. The last event */
	HANDOFF_PEER_APART = 13,   /* the link to the other peer broke, and its
				      process lives: it is made anew */
};

/* The library's; may grow at its end. */
struct handoff_peer_event {
	enum handoff_peer_event_type type;
	enum handoff_reason reason; /* REFUSED: why */
	uint64_t generation;
	const char *text; /* a sentence for people; never NULL */
	const struct handoff_outcome *outcome; /* GAVE; REFUSED, if that was of
						  a handoff; OWNER, if the
						  other peer had ended; else
						  NULL */
	struct handoff_entry *entry;           /* TAKEN, RELEASE */
	int fd; /* TAKEN: a descriptor for the program, which closes it */
	uint32_t deaths; /* TAKEN: 1 if a process died between enter and leave
			    of this entry; see handoff_entry_enter */
	uint32_t moved;  /* STOP: connections that were handed over in it */
	uint32_t kept;   /* STOP: connections that are still this peer's */
	bool died;       /* LEFT, OWNER: the other process has ended and had not
			    said that it would */
	bool over;       /* HUNG, LAGGING: it is so no more */
};

/* Pulls the next event: 1 with `*event`, which is the library's and valid until
 * the next call of next, dispatch or wait; 0 for none now; or a negative errno.
 * At most 64 are kept, then the oldest are dropped; TAKEN and RELEASE never
 * are, and come before what else is there. If no descriptor is left for TAKEN,
 * it waits. */
HANDOFF_API int handoff_peer_next(
	struct handoff_peer *peer, const struct handoff_peer_event **event);

/* Walks over what stayed behind in the handoff that the last event was about
 * which had an `outcome`: 1 with the next of them, valid like an event; 0 at
 * the end; -ESTALE if another one has begun or ended since. Of a handoff to
 * this peer it names 253 at most. What has ended since is left out. */
HANDOFF_API int handoff_peer_left(
	struct handoff_peer *peer, const struct handoff_left **left);

/* An entry to be; `size` is sizeof(struct handoff_entry_opts). */
struct handoff_entry_opts {
	size_t size;
	enum handoff_entry_kind kind;
	int fd; /* stays the program's, which closes it as ever; the library
		   duplicates it */
	const char *name;  /* at most 127 bytes; "" if NULL */
	const void *state; /* `len` bytes; may be NULL */
	size_t len;
	void *data; /* of the program, see handoff_entry_data */
};

/* Deposits. At the next dispatch it is sent to the standby, if there is one,
 * and so outlives this process. The entry is valid until it is withdrawn or
 * released. -EPERM this peer serves nothing; -EINVAL, -EMSGSIZE the name or
 * state is too long, and errors of dup(2), with a sentence in
 * handoff_peer_errmsg. */
HANDOFF_API int handoff_peer_deposit(struct handoff_peer *peer,
	struct handoff_entry **out, const struct handoff_entry_opts *opts);

/* The connection has ended: forgets it here and in the other peer. One that is
 * a connection is shut down (shutdown(2)): closing the program's descriptor
 * sends no FIN while copies exist. */
HANDOFF_API void handoff_entry_withdraw(struct handoff_entry *entry);

/* Answers RELEASE: the program touches neither the entry nor its connection
 * any more and closes its own descriptor. -EINVAL if that was not asked. If
 * the handoff ends without the entry, it comes back with TAKEN. */
HANDOFF_API int handoff_entry_release(struct handoff_entry *entry);

/*
 * The state, replaced as a whole: whoever takes the entry sees the old one or
 * the new one. Update copies `len` bytes. Edit returns the memory (of
 * state_size bytes; those of the state have what it is now) to write into, and
 * commit makes it true, so that buffers may lie there; without commit nothing
 * has changed. Either costs by the length of the state, not by state_size.
 * -EMSGSIZE longer than state_size, -EINVAL the entry is not this peer's, or
 * there is nothing to commit.
 */
HANDOFF_API int handoff_entry_update(
	struct handoff_entry *entry, const void *state, size_t len);
HANDOFF_API void *handoff_entry_edit(struct handoff_entry *entry);
HANDOFF_API int handoff_entry_commit(struct handoff_entry *entry, size_t len);

/* The state as it was last made true; valid until the next change. */
HANDOFF_API const void *handoff_entry_state(
	const struct handoff_entry *entry, size_t *len);

/* The number of the entry: unique in the service, the same in both peers;
 * connections are counted from 1. */
HANDOFF_API uint64_t handoff_entry_id(const struct handoff_entry *entry);
HANDOFF_API enum handoff_entry_kind handoff_entry_kind(
	const struct handoff_entry *entry);
/* Valid for as long as the entry. */
HANDOFF_API const char *handoff_entry_name(const struct handoff_entry *entry);
/* What the program has set for this entry, here; NULL in one just taken. */
HANDOFF_API void *handoff_entry_data(const struct handoff_entry *entry);
HANDOFF_API void handoff_entry_set_data(
	struct handoff_entry *entry, void *data);

/*
 * How many bytes have ever been read from and written to a TCP connection, by
 * any process, as the kernel counts them (TCP_INFO, SIOCINQ, SIOCOUTQ). After
 * the owner has died compare with what the state says: if more was read, that
 * is lost with it, unless the program has a better idea. -EOPNOTSUPP for
 * other sockets, and where the kernel has no such counters.
 */
HANDOFF_API int handoff_entry_progress(
	const struct handoff_entry *entry, uint64_t *read, uint64_t *written);

/*
 * Brackets what the program does with the input of an entry; a store each, no
 * system call. If it dies between the two, whoever takes the entry is told so
 * (`deaths`), also after further handoffs, until it has left once: the input
 * may have killed it, so serve all others first. The second death on the same
 * entry without a leave between ends a connection: no TAKEN comes for it, and
 * the log has the reason. -EINVAL the entry is not this peer's.
 */
HANDOFF_API int handoff_entry_enter(struct handoff_entry *entry);
HANDOFF_API int handoff_entry_leave(struct handoff_entry *entry);

/* Gives all that this peer owns to its standby: RELEASE comes for each entry,
 * GAVE or REFUSED tells the end. Take brings all back, for a standby. Errors
 * as of handoff_server_maintenance and handoff_server_ready. */
HANDOFF_API int handoff_peer_give(struct handoff_peer *peer);
HANDOFF_API int handoff_peer_take(struct handoff_peer *peer);

/* What went wrong last on this handle; never NULL, valid until the next call.
 */
HANDOFF_API const char *handoff_peer_errmsg(const struct handoff_peer *peer);

#ifdef __cplusplus
}
#endif

#endif
