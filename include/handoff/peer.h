/* SPDX-License-Identifier: MIT */
/*
 * A peer for servers that keep their own event loop and buffers. Such a server
 * deposits everything that must outlive it: a descriptor, a name, and a state
 * in a format of its own (positions, input read and not yet processed, output
 * not yet sent). The other peer of the service directory gets a copy of each
 * descriptor when it is deposited, and the states are in memory shared by both.
 * In a handoff, or when a peer dies, the other peer gets the entries (TAKEN).
 *
 * A handle and its entries belong to one thread at a time; but other threads
 * may call handoff_entry_update, _edit, _commit, _state, _peek, _consume,
 * _mend, _read, _recover and _progress, and handoff_peer_commit, each for
 * entries of its own, until it has finished with them for release or withdraw.
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

/*
 * Converts a state of an older version: `old` has `old_len` bytes, `state` room
 * for *len, which is state_size, or of data as much as it had. Stores the new
 * length in *len and returns 0, or a negative errno, which closes that entry.
 * Called for each entry that comes from an older program, before its TAKEN; may
 * be called again for the same entry, if this process dies before that.
 */
typedef int handoff_entry_convert_fn(uint32_t version, const void *old,
	size_t old_len, void *state, size_t *len, void *arg);

/* `size` is sizeof(struct handoff_peer_opts); zero means the default. The
 * library copies everything that the options point to. */
struct handoff_peer_opts {
	size_t size;
	const char *dir;        /* the service directory; created with mode 0700
				 * if it does not exist, otherwise it must be
				 * private */
	const char *name;       /* this peer's name, for people */
	const char *service;    /* identity: must be the same in both peers */
	uint32_t state_version; /* of the states' format; must be the same in
				 * both peers, unless `convert` is set */
	uint32_t state_size;    /* maximum size of a state in bytes, at most
				 * 65528; likewise */
	bool may_own; /* serve if no other peer does; otherwise wait for an
		       * owner and become its standby */
	uint64_t config_hash; /* of the configuration, 0: not compared */
	bool config_strict;   /* refuse a peer with a different hash; otherwise
			       * it is only logged as a warning */
	uint32_t give_timeout_ms; /* how long a give waits for the standby and
				   * for releases, default 5000 */
	uint32_t hang_timeout_ms; /* silence of the other peer after which it is
				   * reported as hung, default 5000 */
	bool fence;               /* kill a peer that hangs and take over */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() writes its error; may be NULL */
	size_t errbuf_size;
	uint32_t user; /* uid of a program that starts as root and then switches
			* to that user (setuid(2)), or whose peer does.
			* Otherwise peers run as the same user or as root */
	handoff_entry_convert_fn *convert; /* optional: allows a program with
					    * older states, down to version
					    * convert_from, to be a peer and to
					    * hand over to this one; state_size
					    * may differ then */
	void *convert_arg;
	uint32_t convert_from;
	const char *loading; /* not ready to serve yet, and why; see
			      * handoff_peer_loading */
	bool whole; /* gives move everything or nothing: they are refused if an
		     * entry has no copy or is not released in time */
	uint32_t origin; /* the upper bits of ids that begin in this directory,
			  * id >> 48, at most 32767: those of directories
			  * between which entries are to move must differ. It
			  * is that of the first peer; default 0, which counts
			  * from 1 */
	/* The lease of this service, as of struct handoff_server_opts; needs
	 * `may_own`. OWNER comes when this host has it; see handoff_peer_may */
	const char *lease;
	uint32_t lease_ttl_s;
	const char *lease_host;
};

/* Opens the peer and joins the other one, if there is one; may block for up to
 * 10 seconds while that one starts or answers. Then pull events: OWNER, STANDBY
 * or WAITING says what this peer is. Errors as of handoff_server_open. */
HANDOFF_API int handoff_peer_open(
	struct handoff_peer **out, const struct handoff_peer_opts *opts);

/* Leaves at once. What this peer owns passes to the other one when this process
 * has ended; without another peer nothing is kept beyond this process. NULL is
 * fine. Afterwards no callback runs, and entries, their states and what events
 * and errmsg pointed to are invalid; the program's descriptors stay open,
 * including those of TAKEN. With a lease and without another peer, connections
 * and listeners end, and the lease is given up: waits up to two seconds for
 * that.
 *
 * In a child that fork(2) made it closes what the child has of the library, and
 * nothing else changes: a child that lives on does this, and closes its copies
 * of the program's descriptors, or the place of its parent stays taken when
 * that dies. */
HANDOFF_API void handoff_peer_free(struct handoff_peer *peer);

/* Returns one pollable descriptor, always the same and only ever POLLIN, for
 * the program's own loop; it belongs to the library. Or a negative errno. */
HANDOFF_API int handoff_peer_fd(struct handoff_peer *peer);

/* Does all work that is due without blocking: 0 or a negative errno. Call it
 * when the descriptor is readable, then pull events. */
HANDOFF_API int handoff_peer_dispatch(struct handoff_peer *peer);

/* Waits up to `timeout_ms` (-1: forever) for work and does it: 0, also after a
 * timeout or a signal; or a negative errno. */
HANDOFF_API int handoff_peer_wait(struct handoff_peer *peer, int timeout_ms);

enum handoff_peer_event_type {
	HANDOFF_PEER_OWNER = 1,   /* this peer serves. TAKEN has come for every
				   * existing entry: open what is missing */
	HANDOFF_PEER_STANDBY = 2, /* the other peer serves, and this one owns
				   * nothing */
	HANDOFF_PEER_WAITING = 3, /* there is no owner yet; or this host has no
				   * lease (any more): withdraw all entries
				   * that are connections, which are reset, or
				   * listeners, which are closed */
	HANDOFF_PEER_JOINED = 4,  /* the other peer came */
	HANDOFF_PEER_LEFT = 5,    /* the other peer went */
	HANDOFF_PEER_TAKEN = 6,   /* `entry` belongs to this peer (again): serve
				   * it. Data comes after listeners and before
				   * all others, with `fd` -1 */
	HANDOFF_PEER_RELEASE = 7, /* stop using `entry`, update its state, then
				   * call handoff_entry_release */
	HANDOFF_PEER_GAVE = 8,    /* a handoff, in either direction, has
				   * ended */
	HANDOFF_PEER_REFUSED = 9, /* a handoff or a process was refused */
	HANDOFF_PEER_HUNG = 10,   /* the other peer is silent, or responds
				   * again */
	HANDOFF_PEER_LAGGING = 11, /* the standby falls behind with its copies,
				    * or has caught up */
	HANDOFF_PEER_STOP = 12,    /* `handoffctl stop`: everything that could
				    * be given was given; end the program. The
				    * last event, but for LEASE and WAITING */
	HANDOFF_PEER_APART = 13,   /* the link to the other peer broke and its
				    * process lives: the peers redial */
	HANDOFF_PEER_LEASE = 14,   /* what handoff_peer_may says has changed */
};

/* Belongs to the library; may grow at its end. */
struct handoff_peer_event {
	enum handoff_peer_event_type type;
	enum handoff_reason reason; /* REFUSED: the reason */
	uint64_t generation;
	const char *text; /* a sentence for people; never NULL */
	const struct handoff_outcome *outcome; /* GAVE; REFUSED of a handoff;
						* OWNER after the other peer's
						* end; otherwise NULL */
	struct handoff_entry *entry;           /* TAKEN, RELEASE */
	int fd; /* TAKEN: a descriptor for the program, which must close it; -1
		 * for data */
	uint32_t deaths; /* TAKEN: 1 if a process died between enter and leave
			  * of this entry; see handoff_entry_enter */
	uint32_t moved;  /* STOP: connections handed over during it */
	uint32_t kept;   /* STOP: connections that this peer still owns */
	bool died;       /* LEFT, OWNER: the other process ended without having
			  * announced it */
	bool over;       /* HUNG, LAGGING: the condition has ended */
};

/* What the lease of this host allows at this moment; HANDOFF_MAY_BEGIN without
 * a lease. Ask it before each commit and each send, also in a loop that a
 * signal may have stopped for long. Any thread may. */
enum handoff_may {
	HANDOFF_MAY_NOTHING = 0, /* nothing is sent, commits fail with -EAGAIN;
				  * connections and listeners stand still */
	HANDOFF_MAY_GO_ON = 1,   /* what is here goes on; nothing is accepted */
	HANDOFF_MAY_BEGIN = 2,
};

HANDOFF_API enum handoff_may handoff_peer_may(const struct handoff_peer *peer);

/* Pulls the next event: 1 with `*event`, which belongs to the library and is
 * valid until the next call of next, dispatch or wait; 0 if there is none; or a
 * negative errno. At most 64 are kept, then the oldest are dropped; TAKEN and
 * RELEASE are never dropped, and come before all others. If no descriptor is
 * left for TAKEN, it waits. */
HANDOFF_API int handoff_peer_next(
	struct handoff_peer *peer, const struct handoff_peer_event **event);

/* Iterates over the entries left behind in the handoff of the last event that
 * had an `outcome`: 1 with the next one, valid like an event; 0 at the end;
 * -ESTALE if another handoff has begun or ended since. For a handoff to this
 * peer at most 253 are listed. Entries that have ended since are skipped. */
HANDOFF_API int handoff_peer_left(
	struct handoff_peer *peer, const struct handoff_left **left);

/* A new entry; `size` is sizeof(struct handoff_entry_opts). */
struct handoff_entry_opts {
	size_t size;
	enum handoff_entry_kind kind;
	int fd; /* remains the program's, which closes it as usual; the library
		 * duplicates it. Not used for data */
	const char *name;  /* at most 127 bytes; "" if NULL */
	const void *state; /* `len` bytes; may be NULL */
	size_t len;
	void *data;      /* the program's, see handoff_entry_data */
	size_t capacity; /* of data: maximum size of its state, at most 1 GiB,
			  * rounded up to whole pages; default `len` */
	struct handoff_entry *with; /* its leader, an entry of this peer without
				     * a leader: the two move together, or not
				     * at all */
};

/* Deposits an entry. At the next dispatch it is sent to the standby, if there
 * is one, and then outlives this process. The entry is valid until it is
 * withdrawn or released. -EPERM this peer does not serve; -EINVAL, -ENOSPC more
 * than 63 companions of one leader, -EMSGSIZE the name or state is too long,
 * and the errors of dup(2), with a sentence in handoff_peer_errmsg.
 *
 * Data (HANDOFF_ENTRY_DATA) is a state without a descriptor, with a name that
 * no other data has (-EEXIST) and a capacity of its own, whatever state_size
 * is. Memory is used as far as its states reach, twice. */
HANDOFF_API int handoff_peer_deposit(struct handoff_peer *peer,
	struct handoff_entry **out, const struct handoff_entry_opts *opts);

/* Returns the entry of that name that the program has: one that it deposited or
 * was told of by TAKEN, and has not released; of several, any. NULL if there is
 * none. Looks at all entries. */
HANDOFF_API struct handoff_entry *handoff_peer_find(
	struct handoff_peer *peer, const char *name);

/* The connection has ended: removes the entry here and in the other peer. A
 * connection is shut down (shutdown(2)), since closing the program's descriptor
 * sends no FIN while copies exist. */
HANDOFF_API void handoff_entry_withdraw(struct handoff_entry *entry);

/* Answers RELEASE: the program no longer uses the entry or its connection, and
 * closes its own descriptor. -EINVAL if there was no RELEASE, or it was
 * answered. If the handoff ends without the entry, it comes back with TAKEN. */
HANDOFF_API int handoff_entry_release(struct handoff_entry *entry);

/*
 * The state is replaced atomically: the next owner sees the old one or the new
 * one. Update copies `len` bytes. Edit returns memory (state_size bytes, the
 * first of which hold the present state) to write into, and commit makes it the
 * state, so a program may keep its buffers inside the state; without a commit
 * nothing changes. The cost of both depends on the length of the state, not on
 * state_size: edit copies the present state. Data has its capacity in place of
 * state_size, and the memory of edit is one of two places in turn.
 * -EMSGSIZE longer than state_size, -EINVAL this peer does not own the entry,
 * or there is nothing to commit.
 */
HANDOFF_API int handoff_entry_update(
	struct handoff_entry *entry, const void *state, size_t len);
HANDOFF_API void *handoff_entry_edit(struct handoff_entry *entry);
HANDOFF_API int handoff_entry_commit(struct handoff_entry *entry, size_t len);

/* A state that comes true together with others. */
struct handoff_change {
	struct handoff_entry *entry;
	const void *state; /* `len` bytes, or NULL: what was written to the
			    * memory of handoff_entry_edit */
	size_t len;
};

#define HANDOFF_CHANGES_MAX 128

/*
 * Replaces the states of several entries, of connections and data alike, by one
 * atomic store: the next owner sees all of the old ones or all of the new ones.
 * `size` is sizeof(struct handoff_change). On an error nothing has changed:
 * -EINVAL there are no changes, an entry is of another peer, not this peer's or
 * in there twice, or nothing is being edited; -E2BIG more than
 * HANDOFF_CHANGES_MAX; -EMSGSIZE a state is too long; -EAGAIN more than 64
 * threads commit at once. handoff_peer_errmsg has a sentence, unless this was
 * called by another thread than the one that last called dispatch or wait.
 */
HANDOFF_API int handoff_peer_commit(struct handoff_peer *peer,
	const struct handoff_change *changes, size_t count, size_t size);

/* The state as last committed; valid until the next change. */
HANDOFF_API const void *handoff_entry_state(
	const struct handoff_entry *entry, size_t *len);

/* The number of the entry: unique in the service and the same in both peers;
 * connections are counted from 1. */
HANDOFF_API uint64_t handoff_entry_id(const struct handoff_entry *entry);
/* The leader that the entry was deposited with; NULL if it had none or that has
 * ended: then it stands alone. */
HANDOFF_API struct handoff_entry *handoff_entry_leader(
	const struct handoff_entry *entry);
HANDOFF_API enum handoff_entry_kind handoff_entry_kind(
	const struct handoff_entry *entry);
/* Valid as long as the entry. */
HANDOFF_API const char *handoff_entry_name(const struct handoff_entry *entry);
/* The pointer that the program has set for this entry in this process; NULL for
 * an entry just taken. */
HANDOFF_API void *handoff_entry_data(const struct handoff_entry *entry);
HANDOFF_API void handoff_entry_set_data(
	struct handoff_entry *entry, void *data);

/*
 * Input of a connection that no death loses or doubles: peek copies up to
 * `size` bytes of it to `buf` and leaves them in the kernel; the program
 * handles them and commits a state that has them; then consume takes `len`
 * bytes out of the kernel. Neither blocks. After a death in between the next
 * owner sees the same input again, or mends (below). Output is committed, then
 * sent.
 * Peek returns 1 with `*len` bytes, 0 of them at the end of the input; 0 if
 * there is nothing now; or the errors of recv(2). Consume returns 0, or
 * -ENODATA if there was less. For sockets only.
 */
HANDOFF_API int handoff_entry_peek(
	struct handoff_entry *entry, void *buf, size_t size, size_t *len);
HANDOFF_API int handoff_entry_consume(struct handoff_entry *entry, size_t len);

/*
 * On TAKEN of a TCP connection: makes its stream agree with its state, which
 * has the input up to position `read`, and `unsent` bytes of output that begin
 * at position `written`. Input that the state has and the kernel still has too
 * is consumed. Stores in `*sent` how many of the unsent bytes the kernel has
 * already: skip them. It may be called again, and after a handoff there is
 * nothing to mend. 1 if something was, 0 if nothing was;
 * -ENODATA, with *sent stored: input was read that the state does not have, and
 * died with the owner (as handoff_entry_progress says, how much); -ERANGE the
 * state can't be of this connection, or output was sent before it was
 * committed; otherwise as of handoff_entry_progress.
 */
HANDOFF_API int handoff_entry_mend(struct handoff_entry *entry, uint64_t read,
	uint64_t written, size_t unsent, size_t *sent);

/*
 * The same for less: read takes up to `size` bytes of input out of the kernel
 * to `buf`, and keeps a copy where the next owner finds it until a commit. So
 * there is one system call instead of two. `read` is the position of the first
 * of them in the stream; each commit has all that was read before it. At most
 * 8064 bytes are kept from one commit to the next (-ENOBUFS: commit first).
 * Returns as peek does; -EINVAL also if `read` does not follow what was read
 * since the last commit. For a TCP connection, of which the program reads all
 * input in this way.
 * When mend has returned -ENODATA, recover stores where that input is, `len`
 * bytes from position `read` on, which the state has not got: 1; handle it as
 * if it had just been read, and commit before more is read. 0 if none is
 * missing; -ENODATA if it is not there.
 */
HANDOFF_API int handoff_entry_read(struct handoff_entry *entry, uint64_t read,
	void *buf, size_t size, size_t *len);
HANDOFF_API int handoff_entry_recover(struct handoff_entry *entry,
	uint64_t read, const void **data, size_t *len);

/*
 * How many bytes all processes together have read from and written to a TCP
 * connection, as the kernel counts them (TCP_INFO, SIOCINQ, SIOCOUTQ; an end is
 * no byte). -EOPNOTSUPP for other sockets, and if the kernel has no such
 * counters; -ENOTCONN if the connection has ended.
 * They are right for a connection that was accepted and, when it is deposited,
 * has neither been read from nor written to; or else set, between the deposit
 * and the next dispatch, to the positions that the program counts from: for a
 * connection that connect(2) has made, for example, both to 0.
 */
HANDOFF_API int handoff_entry_progress(
	const struct handoff_entry *entry, uint64_t *read, uint64_t *written);
HANDOFF_API int handoff_entry_set_progress(
	struct handoff_entry *entry, uint64_t read, uint64_t written);

/*
 * Brackets the program's work on the input of an entry; one store each, no
 * system call. If the process dies between the two, the next owner finds it
 * in `deaths`, also after further handoffs, until it has called leave once: the
 * input may have killed it, so serve all other entries first. A second death on
 * the same entry without a leave in between ends a connection: there is no
 * TAKEN for it, and the log has the reason. -EINVAL this peer does not own the
 * entry.
 */
HANDOFF_API int handoff_entry_enter(struct handoff_entry *entry);
HANDOFF_API int handoff_entry_leave(struct handoff_entry *entry);

/* Gives all that this peer owns to its standby: RELEASE comes for each entry,
 * then GAVE or REFUSED reports the end. Take brings everything back, for a
 * standby. Errors as of handoff_server_maintenance and handoff_server_ready. */
HANDOFF_API int handoff_peer_give(struct handoff_peer *peer);
HANDOFF_API int handoff_peer_take(struct handoff_peer *peer);

/* Says why this peer is not ready to serve yet, "loads its data: 40 %" (one
 * line, the first 127 bytes of it), as often as that changes; NULL or "": it is
 * ready, as it is from the beginning without the option `loading`. A give to it
 * waits, up to give_timeout_ms of the giver or as long as the operator says,
 * goes on when it is ready, or is refused (UNREADY). If the other peer dies
 * this one serves all the same. -EINVAL without a handle. */
HANDOFF_API int handoff_peer_loading(
	struct handoff_peer *peer, const char *why);

/* The last error on this handle; never NULL, valid until the next call. */
HANDOFF_API const char *handoff_peer_errmsg(const struct handoff_peer *peer);

#ifdef __cplusplus
}
#endif

#endif
