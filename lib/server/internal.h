/* SPDX-License-Identifier: MIT */
/*
 * A server from the inside: the peer, the two epoll sets, the model that runs
 * the service, the operator's side, and the notices. Each file calls only those
 * below it. A finding that concerns a file above is noted and acted on after
 * the iteration.
 *
 *   server.c     the handle: open, free
 *   arguments.c  its options on a command line
 *   opts.c       its options: checked, completed, copied
 *   dispatch.c   an iteration of the loop, and what follows
 *   sweep.c      periodic passes over all entries
 *   callbacks.c  callbacks from the peer below, called by it alone
 *   owner.c      starts the service, or when it has the lease
 *   signals.c, console.c
 *                an operator's signals, and lines from a named pipe
 *   commands.c   an operator's commands: requests on the control socket that
 *                lib/operator does not know, and the public calls for
 *                maintenance and ready
 *   stop.c       an orderly stop
 *   dump.c, dumper.c, picture.c
 *                a dump of all entries; the child that writes it; the copies
 *   walk.c       the connections, for the program and an operator
 *   sessions.c   the sessions, for an operator and a monitor
 *   lines.c      parses an operator's lines
 *   post.c       posts from outside of handlers, and who is woken by posts
 *   shared.c     the shared region, outside of handlers
 *   notices.c    notices to clients
 *   addresses.c  opens and closes listeners to match its addresses
 *   listen.c     listeners: opened, accepted from, paused, closed
 *   model_fork.c, model_thread.c, model_workers.c, model_loop.c
 *                who runs a connection's turn; two fall back on model_loop
 *   worker.c, child.c
 *                a worker thread, a child process
 *   adopted.c    listeners opened by another process
 *   inherited.c  addresses of listeners that were lost with the lease
 *   spare.c      spare descriptors that clients cannot use up
 *   stay.c       a thread or a child that stays with one connection
 *   holds.c      lets held connections move
 *   outcome.c    what follows from the outcome of a turn
 *   outgoing.c   connections that the service makes
 *   closing.c    which connections end with the server
 *   resume.c     connections that resume sessions
 *   absent.c     sessions without a socket
 *   arrivals.c   connections that have come from another peer
 *   suspects.c   connections that may have killed a process
 *   held.c       connections that a give waits for
 *   deadlines.c  deadlines of connections, watched by a thread
 *   members.c    entries as members of the sets
 *   pairs.c      which connections are a pair
 *   trim.c       what an idle connection gives back
 *   complaints.c what single clients do wrong, in the log
 *   deferred.c   timers and flags for work that is due soon
 *   conn.c       one turn of one connection
 *   ended.c      its last transaction
 *   guarded.c    handlers of a service with a lease
 *   farewell.c   a service's last words
 *   taking.c     posts that it takes in a turn
 *   effects.c, posting.c
 *                transactions that do more than change a record; what they post
 *   merge.c      moves a session from one record to another
 *   conn_state.c what a connection waits for
 *   clients.c    the addresses of clients
 *   limits.c     how many connections an address has
 *   sets.c, returns.c
 *                the two sets; connections that threads give back
 *   watch.c, queries.c, within.c
 *                the program's descriptors; its queries; the thread that calls
 */
#ifndef HANDOFF_SERVER_INTERNAL_H
#define HANDOFF_SERVER_INTERNAL_H

#include "base/loop.h"
#include "base/reserve.h"
#include "notice/publisher.h"
#include "operator/operator.h"
#include "peer/metrics.h"
#include "peer/pair.h"
#include "peer/status.h"
#include "server/clients.h"
#include "server/complaints.h"
#include "server/conn.h"
#include "server/deadlines.h"
#include "server/held.h"
#include "server/limits.h"
#include "server/member.h"
#include "server/model.h"
#include "server/resume.h"
#include "server/returns.h"
#include "server/sets.h"
#include "server/suspects.h"
#include "session/session.h"

#include <handoff/server.h>

#include <assert.h>
#include <pthread.h>
#include <signal.h>

#define HANDOFF__LISTEN_MAX  64
#define HANDOFF__WORKERS_MAX ((HANDOFF__LEND_MAX - 2) / 2)
#define HANDOFF__WATCHES     8
#define HANDOFF__MOVED_MOST  256u

static_assert(HANDOFF__WORKERS_MAX <= HANDOFF__DESKS / 2,
	"every worker has a desk in each segment");

struct handoff__epoch;
struct handoff__worker;
struct handoff__console;
struct handoff__dump;

struct handoff__threads {
	struct handoff__epoch *epoch; /* of threads that start now */
	uint32_t active;
};

TAILQ_HEAD(handoff__child_list, handoff__child);

struct handoff__children {
	struct handoff__child_list list;
	uint32_t count;
	int life[2]; /* a pipe; each child holds its write end */
};

/* A listener that was passed in, until it is entered. */
struct handoff__adopted {
	int fd;
	char address[HANDOFF_ADDRESS_MAX];
	bool missing; /* no listener has its address */
};

/* How the listeners differ from this peer's addresses. */
struct handoff__addresses {
	bool due;  /* it started to serve: open and close listeners */
	bool look; /* it is the standby, and the listeners have changed */
	bool missing[HANDOFF__LISTEN_MAX]; /* of opts.listen: has no listener */
	struct handoff__buf changes;       /* since it serves, as lines for the
					    * status */
	struct handoff__buf failed;        /* addresses that cannot be opened,
					    * likewise */
	struct handoff__timer retry;
	unsigned tries; /* attempts to open them since it serves */
	/* of opts.listen: the attempt at which listeners are closed for it
	 * again; 0: they have not been closed in vain */
	unsigned room_at[HANDOFF__LISTEN_MAX];
	char reported[HANDOFF_TEXT_MAX];
};

struct handoff__user_watch {
	struct handoff__watch watch;
	handoff_watch_fn *fn;
	void *arg;
};

/* How far a pass over all entries is, across iterations of the loop. */
struct handoff__position {
	bool begun;
	uint32_t segment, slot; /* of the last entry */
};

/* What handoff_server_connections returns. */
struct handoff__described {
	struct handoff_connection connection;
	char address[HANDOFF_ADDRESS_MAX];
	char label[HANDOFF__LABEL_MAX];
};

struct handoff__attempt;
TAILQ_HEAD(handoff__attempts, handoff__attempt);

/* By slot; see pairs.c. */
typedef struct handoff__member *_Atomic handoff__pairs_of_segment;

struct handoff_server {
	struct handoff_server_opts opts;
	struct handoff_service service;   /* opts.service, with defaults
					   * applied */
	struct handoff_service unguarded; /* with a lease: its handlers */
	struct handoff_session session;   /* with sessions: their service */
	char *lease;
	char lease_host[HANDOFF_NAME_MAX]; /* "": the system's */
	char *listen[HANDOFF__LISTEN_MAX];
	char *unresolved[HANDOFF__LISTEN_MAX]; /* NULL, or why the host name
						* could not be resolved */
	struct handoff__adopted *adopted;
	size_t nadopted;
	bool was_passed; /* listening sockets were passed in */
	bool inherited;  /* opts.listen: see inherited.c */
	struct handoff__addresses addresses;
	struct handoff__log log;
	struct handoff__error error;
	const struct handoff__model_ops *model;
	struct handoff__loop loop; /* everything but entries; inside both
				    * sets */
	struct handoff__sets sets;
	struct handoff__pair pair;
	struct handoff__operator op;
	struct handoff_server_event event; /* returned by the last call */
	struct handoff__publisher publisher;
	struct handoff__returns returns;
	struct handoff__threads threads;
	struct handoff__children children;
	struct handoff__suspects suspects;
	struct handoff__resumes resumes;
	struct handoff__complaints complaints;
	struct handoff__worker *workers;
	uint32_t nworkers;
	bool holding; /* workers begin no turn */
	_Atomic bool sweep_wanted, stall_wanted, scan_wanted;
	bool handling;  /* the loop's thread, or this child, is in a turn */
	bool forked;    /* this process is a child of the server */
	bool posts_due; /* handlers in the loop's thread have posted */
	uint64_t posts_seen; /* the receivers of posts up to here were woken */
	uint64_t posts_told; /* and the other peer was rung for those up to
			      * here */
	struct {
		pthread_rwlock_t lock; /* for reading: the arena stays mapped */
		const struct handoff__segment *commons; /* NULL: none yet */
	} shared;
	struct handoff__members listeners; /* of either peer */
	struct handoff__members kicks;     /* due without an event */
	unsigned nkicks;
	bool due;        /* dispatch.c has work without an event */
	bool listen_due; /* call listen_update after the iteration */

	bool paired; /* its service, or that of the other peer, has pairs */
	struct handoff__attempts attempts; /* to connect */
	handoff__pairs_of_segment *_Atomic pairs[HANDOFF__SEGMENTS_MAX];
	struct handoff__member *joining; /* waits for the connection that is
					  * being entered */
	bool joined;        /* workers begin no turn before it is mirrored */
	uint32_t noutgoing; /* connections of this peer that the service has
			     * made */

	bool paused; /* does not accept during a phase of a give */
	bool full;   /* does not accept: at a limit */
	struct handoff__client incoming; /* being accepted */
	struct handoff__limits limits;
	bool starved; /* does not accept: out of resources; logged */
	struct handoff__timer accept_retry;
	struct handoff__reserve reserve; /* see spare.c */
	uint32_t spare_base;             /* fixed part of the reserve; 0: not
					  * known */
	struct handoff__timer spare_lent;
	struct handoff__timer sweep;
	struct handoff__timer stalls;        /* retries stalled entries */
	struct handoff__deadlines deadlines; /* of connections that this thread
					      * watches */
	struct handoff__timer alarm, alarm_scan;
	struct handoff__held_list holds;
	/* entries that have changed their owner since the last batch of
	 * changes; the first of them */
	struct handoff__member *moved[HANDOFF__MOVED_MOST];
	uint32_t nmoved;
	struct handoff__position scanned; /* how far the scan is */
	struct handoff__position walked;  /* the one described last */
	struct handoff__described described;
	bool stall_logged;
	uint32_t tick; /* seconds, as of the last sweep */

	bool publishing;
	bool publishing_blocked; /* until a transport's descriptor is readable
				  */
	struct handoff__watch notice_watches[HANDOFF__NOTICES_MAX];
	struct handoff__timer notice_retry;
	unsigned notice_tries, notice_waited;
	uint64_t notice_generation, notice_seq;
	uint64_t published[HANDOFF_NOTICE_GOODBYE + 1]; /* by kind */
	/* subscribers, counted per notice */
	uint64_t reached, unread, pruned, failed;
	uint64_t unkept; /* notices that could not be retained at once */
	int notice_err;  /* of the last one; 0: it is retained */
	enum handoff_notice_kind notice_owed; /* when the lease is certain
					       * again; 0: none */

	bool stop_waits;   /* for a ferry, before it begins */
	bool gave;         /* the stop has tried to hand over */
	bool closing;      /* the stop is closing what is left */
	bool alone;        /* there is no peer to continue: clients were
			    * notified */
	bool hurried;      /* the stop was requested twice */
	bool end_reported; /* the iteration that reports the end has returned */
	uint32_t closed;   /* connections closed by the stop */
	struct handoff__timer stop_deadline;
	struct handoff__dump *dump; /* in progress, or NULL */

	struct handoff__user_watch watches[HANDOFF__WATCHES];
	int nwatches;
	int signal_fd;
	sigset_t signals_before; /* if signal_fd is open */
	struct handoff__console *console;
	int lend[HANDOFF__LEND_MAX];
};

/* Whether it has addresses to listen on. */
static inline bool
handoff__server_listens(const struct handoff_server *server)
{
	return server->opts.nlisten > 0 || server->nadopted > 0;
}

/* Element `i` of an array, as far as its type is known here. */
static inline int
handoff__opts_extra(const struct handoff_server_opts *opts, size_t i,
	struct handoff_extra *extra)
{
	return handoff__opts_element(extra, sizeof(*extra), opts->extras,
		opts->extra_size, i,
		HANDOFF__SIZE_TO(struct handoff_extra, fd));
}

static inline int
handoff__opts_listen_fd(const struct handoff_server_opts *opts, size_t i,
	struct handoff_listen_fd *given)
{
	return handoff__opts_element(given, sizeof(*given), opts->listen_fds,
		opts->listen_fd_size, i,
		HANDOFF__SIZE_TO(struct handoff_listen_fd, fd));
}

/* opts.c */
int handoff__opts_take(
	struct handoff_server *server, const struct handoff_server_opts *opts);
/* Replaces host names by numeric addresses, and refuses addresses that exclude
 * each other. May wait for a name server: before
 * this peer shows itself. */
int handoff__opts_resolve(struct handoff_server *server);

/* callbacks.c */
extern const struct handoff__pair_ops handoff__server_peer_ops;

/* owner.c */
/* Takes the initial role of this peer. */
int handoff__owner_begin(struct handoff_server *server);
/* The lease of this host has changed. */
void handoff__owner_leased(
	struct handoff_server *server, enum handoff__lease_action action);
/* The highest token in what the engine has kept, and this host. */
uint32_t handoff__owner_token(
	struct handoff_server *server, const void *data, size_t len);
/* The other peer is gone: starts the service, if it has no owner. */
void handoff__server_alone(struct handoff_server *server);

/* members.c, besides those in member.h */
/* The next entry, and the position there; NULL at the end, where it begins
 * anew. */
struct handoff__roster_entry *handoff__server_next(
	struct handoff_server *server, struct handoff__position *position);
void handoff__server_hold(struct handoff_server *server, bool hold);

/* guarded.c */
/* Lets the service's handlers run, and commit, only while the lease is
 * valid. */
void handoff__guarded_wrap(struct handoff_server *server);

/* sweep.c */
void handoff__sweep_init(struct handoff_server *server);

/* holds.c */
void handoff__holds_init(struct handoff_server *server);

/* closing.c */
/* Whether there is a standby that accepts entries. */
bool handoff__closing_standby(const struct handoff_server *server);
/* Whether another process takes over this one's entries at its end. */
bool handoff__closing_survived(const struct handoff_server *server);
/* Whether the entry ends with the stop in progress. */
bool handoff__server_ends(const struct handoff_server *server,
	const struct handoff__roster_entry *e);
/* Closes a connection for the stop, after its service's last words, unless its
 * service has closed it: false. */
bool handoff__closing_mark(
	struct handoff_server *server, const struct handoff__roster_entry *e);
/* How many connections would end if this process did now. */
uint32_t handoff__closing_left(struct handoff_server *server);
/* Resets these while everything stands still: the kernel would not tell their
 * clients of the end. */
void handoff__closing_reset(struct handoff_server *server);
/* How many connections the standby has not confirmed. */
uint32_t handoff__closing_uncovered(struct handoff_server *server);
void handoff__server_close_all(struct handoff_server *server);

/* outgoing.c */
/* Begins to connect what the connection waits for, if that is not under way. */
void handoff__outgoing_look(struct handoff__member *member);
/* It is no longer this peer's, or ends. */
void handoff__outgoing_forget(struct handoff__member *member);
/* The iteration is over, and new connections are mirrored. */
void handoff__outgoing_release(struct handoff_server *server);
void handoff__outgoing_close(struct handoff_server *server);

/* pairs.c */
/* Whether the service has made the connection. */
bool handoff__pairs_outgoing(const struct handoff__member *member);
/* The other one of the pair, if it is known here; from any thread that may
 * serve the connection. */
struct handoff__member *handoff__pairs_other(
	const struct handoff__member *member);
/* An entry that is the other one, by the records; NULL: it is not here. */
struct handoff__member *handoff__pairs_find(
	const struct handoff__member *member);
/* Enters the two, if the other one is here; after a move of records. */
void handoff__pairs_link(struct handoff__member *member);
void handoff__pairs_unlink(struct handoff__member *member);
void handoff__pairs_close(struct handoff_server *server);

/* deferred.c */
void handoff__server_sweep_later(struct handoff_server *server);
void handoff__server_stall(struct handoff_server *server);
void handoff__listen_later(struct handoff_server *server);
uint32_t handoff__seconds(void);

/* addresses.c */
void handoff__addresses_open(struct handoff_server *server);
void handoff__addresses_close(struct handoff_server *server);
/* Logs host names that could not be resolved, once the server is open. */
void handoff__addresses_warn(const struct handoff_server *server);
/* Does what is due, after an iteration. */
void handoff__addresses_proceed(struct handoff_server *server);
/* This peer's role has changed: something may be due. */
void handoff__addresses_changed(struct handoff_server *server);
void handoff__addresses_status(
	struct handoff_server *server, bool json, struct handoff__buf *buf);

/* listen.c */
/* Binds all addresses and enters the sockets that were passed in. */
int handoff__listen_open(struct handoff_server *server);
int handoff__listen_add(struct handoff_server *server, const char *address);
/* Opens a listener again that was closed a moment ago, and reports nothing. */
int handoff__listen_again(struct handoff_server *server, const char *address);
/* Opens opts.listen[i], unless its host could not be resolved. */
int handoff__listen_own(struct handoff_server *server, size_t i);
/* Reports where the listeners opened since the last call are reachable. */
void handoff__listen_reach(struct handoff_server *server);
/* Closes one listener for good, once its backlog is empty: false if that is not
 * possible now. */
bool handoff__listen_end(struct handoff__member *member);
void handoff__listen_event(struct handoff__member *member);
bool handoff__listen_name(
	const struct handoff__member *member, char name[HANDOFF_ADDRESS_MAX]);
void handoff__listen_update(struct handoff_server *server);
void handoff__listen_unlink(struct handoff_server *server);
void handoff__listen_shut(struct handoff_server *server);
void handoff__listen_close(struct handoff_server *server);
void handoff__listen_on_retry(struct handoff__timer *timer);

/* spare.c */
/* Holds the spare descriptors. False if there are not enough. */
bool handoff__spare_keep(struct handoff_server *server);
/* Releases them while nothing is accepted. False if none were held. */
bool handoff__spare_drop(struct handoff_server *server);
/* Releases them for a second, for code about to open descriptors. */
bool handoff__spare_lend(struct handoff_server *server);
/* At open: sessions without a connection may need more than there are. */
void handoff__spare_warn(struct handoff_server *server);
void handoff__spare_on_return(struct handoff__timer *timer);

/* adopted.c */
/* Duplicates opts.listen_fds. */
int handoff__adopted_open(struct handoff_server *server);
bool handoff__adopted_has(
	const struct handoff_server *server, const char *address);
/* Enters those whose address has no listener yet. */
int handoff__adopted_enter(struct handoff_server *server);
void handoff__adopted_close(struct handoff_server *server);

/* inherited.c */
/* A listener is about to go: if that is for a lost lease, its address becomes
 * one of this peer's, unless it has its own. */
void handoff__inherited_keep(const struct handoff__member *member);
/* The listeners are open again, or this peer is not to open them. */
void handoff__inherited_forget(struct handoff_server *server);
/* Whether this peer has the lease, and neither a listener nor an address. */
bool handoff__inherited_nothing(const struct handoff_server *server);
#define HANDOFF__LISTENS_NOWHERE                                               \
	"has the lease and listens nowhere: it has no addresses of its own, "  \
	"and no listener came from another peer: hand over to a peer that "    \
	"has "                                                                 \
	"addresses (handoffctl ready), or stop it"

/* commands.c */
extern const struct handoff__operator_ops handoff__server_operator_ops;

/* stop.c */
/* The next step of an orderly stop, after an iteration. */
void handoff__stop_proceed(struct handoff_server *server);
void handoff__stop_on_deadline(struct handoff__timer *timer);
/* Begins it, if nothing is in doubt any more. */
void handoff__stop_awaited(struct handoff_server *server);
/* Ends at once, for the reason `why`. */
void handoff__stop_now(struct handoff_server *server, const char *why);

/* lines.c */
void handoff__says_list(
	struct handoff_server *server, struct handoff__buf *buf);
/* Whether there is a connection, of either peer. */
bool handoff__says_to_any(struct handoff_server *server);
/* Executes a line of the console; errors with a sentence in server->error. */
int handoff__says_line(struct handoff_server *server, const char *line);

/* post.c */
/* Gives a turn to each connection of this peer for which posts wait. True if
 * there is any. */
bool handoff__posts_pass(struct handoff_server *server);
/* The same for this entry. */
bool handoff__posts_look(struct handoff__member *member);
/* This peer has a connection: the other one is to ring it. */
void handoff__posts_awake(struct handoff_server *server);
/* The same for what is new, after this peer has posted; rings the other one. */
void handoff__posts_proceed(struct handoff_server *server);
/* The same, after the other peer may have posted. */
void handoff__posts_said(struct handoff_server *server);
/* Once the peer below is initialised. */
void handoff__posts_open(struct handoff_server *server);

/* shared.c */
void handoff__shared_open(struct handoff_server *server);
void handoff__shared_close(struct handoff_server *server);
/* The shared region is in these commons now; NULL: the arena is about to be
 * unmapped. */
void handoff__shared_at(
	struct handoff_server *server, const struct handoff__segment *commons);
void handoff__shared_status(const struct handoff_server *server, bool json,
	struct handoff__buf *buf);

/* sessions.c */
void handoff__sessions_status(const struct handoff_server *server, bool json,
	struct handoff__buf *buf);
void handoff__sessions_metrics(
	const struct handoff_server *server, struct handoff__buf *buf);

/* walk.c */
/* Replies with the connections of this peer, as many as are listed at most. */
void handoff__walk_request(struct handoff_server *server,
	struct handoff__request *request, bool json);

/* console.c */
void handoff__console_close(struct handoff_server *server);

/* dump.c */
void handoff__dump_request(
	struct handoff_server *server, struct handoff__request *request);
void handoff__dump_close(struct handoff_server *server);

/* signals.c: restores the signal mask, if it was changed. */
void handoff__signals_restore(struct handoff_server *server);

/* notices.c */
int handoff__notices_open(struct handoff_server *server);
void handoff__notices_close(struct handoff_server *server);
void handoff__notices_publish(
	struct handoff_server *server, enum handoff_notice_kind kind);
void handoff__notices_supersede(struct handoff_server *server);
void handoff__notices_keep(struct handoff_server *server);
/* Adds a line if clients will not be notified of the new owner. */
void handoff__notices_warn(
	struct handoff_server *server, struct handoff__buf *buf);
bool handoff__notices_step(struct handoff_server *server);
/* Sends what is left, now. */
void handoff__notices_finish(struct handoff_server *server);
void handoff__notices_status(const struct handoff_server *server, bool json,
	struct handoff__buf *buf);
void handoff__notices_metrics(
	const struct handoff_server *server, struct handoff__buf *buf);

#include "server/within.h"

#endif
