/* SPDX-License-Identifier: MIT */
/*
 * A server: one of the two peers of a service directory. The first one owns the
 * listeners and connections and serves them; the next becomes its standby and
 * holds a copy of every descriptor. Ownership can then move between them any
 * number of times.
 *
 * A handle belongs to one thread at a time. A handler, in whatever thread or
 * process it runs, may call only handoff_server_post, handoff_server_say and
 * handoff_server_shared on it: all other calls return -EDEADLK there
 * (handoff_server_free and _moving do nothing). handoff_server_post may be
 * called by any thread.
 */
#ifndef HANDOFF_SERVER_H
#define HANDOFF_SERVER_H

#include <handoff/common.h>
#include <handoff/outcome.h>
#include <handoff/service.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_server;

enum handoff_model {
	HANDOFF_MODEL_LOOP = 0,      /* epoll, all connections in one thread */
	HANDOFF_MODEL_THREAD = 1,    /* a thread per connection: handlers may
					block; started at the first input */
	HANDOFF_MODEL_ITERATIVE = 2, /* like loop, one connection at a time:
				      * while this peer has one, others wait in
				      * the backlog */
	HANDOFF_MODEL_FORK = 3, /* a child process per connection, started at
				 * the first input. A child that dies by a
				 * signal is replaced, three times (in the
				 * handler: once), and its stream continues. The
				 * process must not have other threads, nor wait
				 * for children that are not its own (wait(2)),
				 * nor ignore SIGCHLD */
};

/* Parses "loop", "thread", "iterative" or "fork". Returns the model or
 * -EINVAL. */
HANDOFF_API int handoff_model_parse(const char *text);

/* An extra descriptor that is handed over with everything else, by name. It may
 * grow at its end, like the next structure: the options hold its size. */
struct handoff_extra {
	const char *name;
	int fd; /* the caller's; the library duplicates it */
};

/* A socket that is already listening, for example one opened by a service
 * manager. */
struct handoff_listen_fd {
	const char *address; /* the address that clients know it by; NULL: the
			      * one it is bound to */
	int fd;              /* the caller's; the library duplicates it, and
			      * makes the open file, which both share,
			      * non-blocking */
};

/* `size` is sizeof(struct handoff_server_opts); zero means the default. The
 * library copies everything that the options point to, except `service`. */
struct handoff_server_opts {
	size_t size;
	const char *dir;  /* the service directory; created with mode 0700 if it
			   * does not exist, otherwise it must be private */
	const char *name; /* this peer's name, for people */
	const struct handoff_service *service;
	const char *const *listen; /* addresses: "127.0.0.1:7000", "[::1]:0",
				    * ":7000" (all), "unix:/path". Without any,
				    * and without `listen_fds`, this peer never
				    * opens listeners, but waits for an owner
				    * and becomes its standby. A standby that
				    * starts to serve opens the addresses that
				    * only it has, and closes the others */
	size_t nlisten;
	enum handoff_model model;
	uint32_t max_connections; /* served at once, default 16384; more wait in
				   * the backlog */
	uint32_t give_timeout_ms; /* how long a give waits for handlers and
				     for the standby, default 5000 */
	uint32_t stop_timeout_ms; /* how long a stop without a standby lets
				   * connections finish, default 1000 */
	uint32_t hang_timeout_ms; /* silence of the other peer after which it is
				   * reported as hung, default 5000 */
	bool fence; /* kill a peer that hangs and take over. Otherwise a hanging
		     * peer keeps what it owns */
	uint32_t grace_ms;  /* sent in notices, default 60000 */
	uint32_t spread_ms; /* READY: clients come home within this time,
			       default 2000 */
	const struct handoff_extra *extras;
	size_t nextras;
	size_t extra_size; /* sizeof(struct handoff_extra), if there are any */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() writes its error; may be NULL */
	size_t errbuf_size;
	uint32_t workers; /* model loop: threads over which connections are
			   * distributed, at most 64; default 1: the caller's
			   * own. With more, handlers of different connections
			   * run concurrently */

	uint64_t config_hash; /* of the configuration, 0: not compared */
	bool config_strict;   /* refuse a peer with a different hash; otherwise
			       * it is only logged as a warning */
	/* Listeners that are open already; an address of `listen` that one of
	 * them has is not bound. Like addresses they are used by the owner; a
	 * standby leaves them alone until it serves. Socket files of Unix
	 * sockets are left to their creator. */
	const struct handoff_listen_fd *listen_fds;
	size_t nlisten_fds;
	size_t listen_fd_size; /* sizeof(struct handoff_listen_fd), if there
				  are any */
	bool trace; /* logs each connection that comes, moves or goes, at debug
		     * level: this takes a microsecond each, also while clients
		     * wait during a handoff */
	uint32_t user; /* uid of a program that starts as root and then switches
			* to that user (setuid(2)), or whose peer does.
			* Otherwise peers run as the same user or as root */
	bool signals;  /* handles signals as handoff_server_signals does, from
			* before other processes can see the peer. One that
			* arrives during open is handled once that has
			* succeeded; if it fails, the signal mask is restored */
	void (*reopen)(void *arg); /* see handoff_server_reopen */
	void *reopen_arg;
	uint32_t suspect_wait_ms; /* how long a connection in whose handler a
				   * process died waits for a standby before it
				   * is closed; default 30000. See "Inputs that
				   * kill" in handoff_server(3) */
	const char *loading;      /* not ready to serve yet, and why; see
				   * handoff_server_loading */
	uint32_t max_per_address; /* connections from one address, in the whole
				   * service; of IPv6 from one /64. More are
				   * closed at once. 0: any number; Unix sockets
				   * are not counted */
	bool refuse_excess; /* connections above max_connections are closed at
			     * once, instead of waiting in the backlog */
	bool whole; /* gives move everything or nothing: they are refused if an
		     * entry has no copy, or a handler does not return in time;
		     * meanwhile nothing is accepted */
	uint32_t origin; /* the upper bits of ids that begin in this directory,
			  * id >> 48, at most 32767: those of directories
			  * between which entries are to move must differ. It
			  * is that of the first peer; default 0, which counts
			  * from 1 */
	/* how long handoff_conn_connect may take, default 10000 */
	uint32_t connect_timeout_ms;
	const char *const *notices; /* addresses that notices to clients are
				     * published on, up to 16, see
				     * handoff/notice.h; without any it is
				     * "mq:DIR" of `dir` */
	size_t nnotices;
	/* The lease of this service, of which one host at a time serves it: the
	 * address of an engine, see handoff/lease.h. This host opens its
	 * listeners when it gets the lease, and lets everything stand still
	 * when that is not confirmed in time. Not together with `listen_fds`.
	 * Both peers of a host need the same one; default none */
	const char *lease;
	uint32_t lease_ttl_s; /* after which another host gets it from a silent
			       * one, default 15 seconds, at least 2 */
	const char *lease_host; /* name of this host among those that could
				 * have it, default that of gethostname(2) */
	/* Clients can have sessions, see handoff/session.h: `service` is
	 * wrapped. Both peers should have the same here; one with sessions can
	 * take over from one without. */
	bool sessions;
	uint32_t session_timeout_ms; /* how long one lives without a connection,
				      * default 60000 */
	uint32_t session_max; /* sessions without a connection; above that the
			       * oldest ends; default 1000 */
	const char *session_listen; /* one more address, for sessions only; then
				     * there are none on the others */
	bool lock_memory; /* the memory that the peers share is never written to
			   * a swap device: mlock2(2), for which RLIMIT_MEMLOCK
			   * must allow all of it. Each peer locks its own
			   * mapping */
};

/*
 * Takes the usual options of a server out of a command line: --dir, --listen
 * and so on, see handoff_server_opts_help. `argc` and `argv` are those of main;
 * argv[*argc] is NULL. An option replaces the value in `opts`, which thus holds
 * the defaults; --dir may also come from the environment, HANDOFF_DIR. Unknown
 * options, and everything from "--" on, stay in argv in their order, for
 * example for getopt_long(3).
 *
 * Nothing is allocated: `opts` points into argv, and to the listen addresses,
 * which are stored behind argv[*argc]. -EINVAL with a sentence in opts->errbuf
 * that names the option and the error in its value; then nothing was changed.
 */
HANDOFF_API int handoff_server_opts_read(
	struct handoff_server_opts *opts, int *argc, char **argv);

/* The --help text of these options: one or two lines each, ending with a
 * newline; two blanks, the option, and its text from column 24 on. */
HANDOFF_API const char *handoff_server_opts_help(void);

/*
 * Opens the peer: locks a place in the directory, joins the peer that is there
 * or, if this one has listen addresses, becomes the owner and binds them. May
 * block for up to 10 seconds while another peer starts or answers.
 *
 * Errors, each with a sentence in `errbuf`: -EINVAL arguments, -E2BIG an option
 * is set that this library does not know, -EBUSY the directory has two peers
 * already, -EACCES the directory is not private to this user, -EPROTO the other
 * peer refused (a different service, state or version), -ETIMEDOUT it does not
 * answer, -EADDRINUSE and other errors of bind(2).
 */
HANDOFF_API int handoff_server_open(
	struct handoff_server **out, const struct handoff_server_opts *opts);

/*
 * Leaves at once: connections of this peer pass to the standby, which is
 * notified, and end if there is none. Use handoff_server_stop first for an
 * orderly end. NULL is fine.
 *
 * Afterwards no callback runs, no child of model fork or of a dump is left, all
 * descriptors that the library has handed out are closed, and what events and
 * errmsg pointed to is invalid. Descriptors that were passed in, and those
 * watched by handoff_server_watch, remain the program's; signals that were
 * blocked stay blocked. But a handler that is running in a thread cannot be
 * stopped: workers are waited for, up to 2 s, and if one has not returned by
 * then, or if a thread of model thread has a connection (stop first), nothing
 * at all is freed: handlers and `log` may continue to run, `service` must
 * remain valid, and what this peer owns passes on at the end of the process.
 */
HANDOFF_API void handoff_server_free(struct handoff_server *server);

/* Returns one pollable descriptor, always the same and only ever POLLIN, for
 * the program's own loop; it belongs to the library. Or a negative errno. */
HANDOFF_API int handoff_server_fd(struct handoff_server *server);

/* Does all work that is due without blocking (except in handlers): 0 or a
 * negative errno, -ESHUTDOWN after STOPPED. */
HANDOFF_API int handoff_server_dispatch(struct handoff_server *server);

/* Waits up to `timeout_ms` (-1: forever) for work and does it: 0, also after a
 * timeout or a signal; or a negative errno. The fastest way to run a server:
 * while (handoff_server_wait(s, -1) >= 0) ... The call in which the server
 * stops returns like any other, so that STOPPED can be pulled; each call after
 * it fails with -ESHUTDOWN. */
HANDOFF_API int handoff_server_wait(
	struct handoff_server *server, int timeout_ms);

/* Calls `fn` from dispatch whenever `fd` (the caller's, e.g. of signalfd(2)) is
 * readable. At most 8 such descriptors. */
typedef void handoff_watch_fn(int fd, void *arg);
HANDOFF_API int handoff_server_watch(
	struct handoff_server *server, int fd, handoff_watch_fn *fn, void *arg);

/* Handles signals, by a signalfd(2): SIGUSR1 is maintenance, SIGUSR2 ready,
 * SIGTERM and SIGINT stop. Blocks them in the calling thread; threads that
 * exist already must block them too. SIGPIPE is ignored unless the program
 * handles it, so that a closed output pipe does not kill the process. A signal
 * that arrives before this call has its default effect; with `signals` set in
 * the options none is lost. On an error the signal mask is restored. */
HANDOFF_API int handoff_server_signals(struct handoff_server *server);

/* The process has reopened its log: in model fork each child now calls `reopen`
 * of the options, between two calls of the handler, to do the same. In the
 * other models there are no other processes. -EINVAL without `reopen`. */
HANDOFF_API int handoff_server_reopen(struct handoff_server *server);

enum handoff_server_event_type {
	HANDOFF_SERVER_LISTENING = 1, /* a listener was opened */
	HANDOFF_SERVER_OWNER = 2,     /* this peer serves now */
	HANDOFF_SERVER_STANDBY = 3,   /* the other peer serves */
	HANDOFF_SERVER_WAITING = 4,   /* there is no owner yet */
	HANDOFF_SERVER_JOINED = 5,    /* the other peer came */
	HANDOFF_SERVER_LEFT = 6,      /* the other peer went */
	HANDOFF_SERVER_GAVE = 7, /* a handoff, in either direction, has ended */
	HANDOFF_SERVER_REFUSED = 8,  /* a handoff or a peer was refused */
	HANDOFF_SERVER_STOPPED = 9,  /* the last event: free the handle */
	HANDOFF_SERVER_HUNG = 10,    /* the other peer is silent, or responds
				      * again */
	HANDOFF_SERVER_LAGGING = 11, /* the standby falls behind with its
				      * copies, or has caught up */
	/* an address of this host that ":port" stands for */
	HANDOFF_SERVER_REACHABLE = 12,
	HANDOFF_SERVER_CONSOLE = 13,  /* a reply of the console */
	HANDOFF_SERVER_GIVING = 14,   /* this peer begins to hand over */
	HANDOFF_SERVER_STOPPING = 15, /* this peer begins to stop; see
				       * handoff_server_moving */
	HANDOFF_SERVER_APART = 16,    /* the link to the other peer broke and
				       * its process lives: the peers redial */
	/* A standby's addresses differ from the listeners: which ones it will
	 * open and close when it serves. */
	HANDOFF_SERVER_ADDRESSES = 17,
	HANDOFF_SERVER_UNLISTENED = 18, /* a listener was closed that is not
					 * among this peer's addresses */
};

/* Belongs to the library; may grow at its end. */
struct handoff_server_event {
	enum handoff_server_event_type type;
	enum handoff_reason reason; /* REFUSED: the reason */
	uint64_t generation;
	const char *text; /* a sentence for people; never NULL */
	const struct handoff_outcome *outcome; /* GAVE; REFUSED of a handoff;
						* OWNER or LEFT after taking
						* over what the other peer
						* owned; otherwise NULL */
	uint32_t closed;  /* STOPPED: connections closed by the stop */
	uint32_t moved;   /* STOPPED: connections handed over during it */
	uint32_t passing; /* STOPPED: connections that the standby has copies of
			   * and takes over when the handle is freed or the
			   * process ends */
	bool died;        /* LEFT, OWNER: the other process ended without having
			   * announced it */
	bool over;        /* HUNG, LAGGING: the condition has ended */
};

/* Pulls the next event: 1 with `*event`, which belongs to the library and is
 * valid until the next call of next, dispatch or wait; 0 if there is none; or a
 * negative errno. At most 64 are kept; then the oldest are dropped. */
HANDOFF_API int handoff_server_next(struct handoff_server *server,
	const struct handoff_server_event **event);

/* Iterates over the entries left behind in the handoff of the last event that
 * had an `outcome`: 1 with the next one, valid like an event; 0 at the end;
 * -ESTALE if another handoff has begun or ended since. For a handoff to this
 * peer at most 253 are listed. Entries that have ended since are skipped. */
HANDOFF_API int handoff_server_left(
	struct handoff_server *server, const struct handoff_left **left);

/* A connection of this peer. Belongs to the library; may grow at its end. */
struct handoff_connection {
	uint64_t id;
	const char *address; /* of the client, "?" if it is not known */
	const char *label;   /* as handoff_conn_label has set it, or "" */
	int64_t since_ms;    /* CLOCK_REALTIME; 0: not known */
	uint64_t received;   /* bytes from the client, and to it, by any peer */
	uint64_t sent;
	bool session;      /* `id` is that of a session, handoff/session.h */
	int64_t absent_ms; /* for so long it has had no connection; 0: it has
			    * one */
};

/* Iterates over the connections that this peer serves, in no particular order:
 * 1 with the next one, valid until the next call of this function, dispatch or
 * wait; 0 at the end, after which it begins anew, as it does after a call with
 * NULL. Connections that come or go meanwhile may be left out. */
HANDOFF_API int handoff_server_connections(struct handoff_server *server,
	const struct handoff_connection **connection);

/*
 * Moves everything that this owner serves to its standby and notifies the
 * clients (MAINTENANCE). Returns 0 when begun; GAVE or REFUSED reports the end.
 * -ENOTCONN no standby is attached, -EBUSY a handoff is in progress, -EPERM
 * this peer is not the owner; details in handoff_server_errmsg.
 */
HANDOFF_API int handoff_server_maintenance(struct handoff_server *server);

/* Says why this peer is not ready to serve yet, "loads its data: 40 %" (one
 * line, the first 127 bytes of it), as often as that changes; NULL or "": it is
 * ready, as it is from the beginning without the option `loading`. A give to it
 * waits, up to give_timeout_ms of the giver or as long as the operator says,
 * goes on when it is ready, or is refused (UNREADY). If the other peer dies
 * this one serves all the same. -EDEADLK in a handler. */
HANDOFF_API int handoff_server_loading(
	struct handoff_server *server, const char *why);

/*
 * Brings the service home to this standby: the listeners move here, and the
 * clients are sent READY and come within the spread. `silent`: everything moves
 * at once and no client is notified. Errors as above; -EALREADY if this peer
 * serves everything already.
 */
HANDOFF_API int handoff_server_ready(
	struct handoff_server *server, bool silent);

/*
 * An orderly stop: an owner with a standby hands over first; one without lets
 * connections send their output and closes them, and notifies the clients
 * (GOODBYE). STOPPED reports the end, and how many connections were closed.
 * Called again it hurries: it stops waiting. Connections that a ferry has left
 * in doubt (handoff-ferry(8)) would be lost: until another ferry has joined, or
 * they are settled, the stop does not begin, however often it is requested.
 */
HANDOFF_API int handoff_server_stop(struct handoff_server *server);

/*
 * Posts bytes to connections, from any thread, as handoff_conn_post does in a
 * handler; when it returns 0 they are posted, whatever happens to this process.
 * Its errors, and -ENOTCONN if no peer serves yet, -ETIMEDOUT if another
 * process holds the ring of posts and does not go on (it is stopped, or has
 * died a moment ago): try again. No sentence for handoff_server_errmsg.
 *
 * A poster that may die and try again gives a `source`, any number that is its
 * own, and counts its posts in `number`: 1, and nothing is done, if that is not
 * above the last one of this source. The last 256 sources are known; -ENOSPC if
 * there is one more and all have posted within a minute. In a handler the post
 * does not depend on its transaction. No thread may be in it when the handle is
 * freed.
 */
HANDOFF_API int handoff_server_post(
	struct handoff_server *server, const struct handoff_post *post);

/*
 * Sends a line (`text`, up to HANDOFF_SAY_MAX bytes without a newline; one is
 * added) to the clients of all connections of the service (`id` 0), or to that
 * of connection `id`, whichever peer owns it. It is a post, and so comes
 * between two transactions of the service, or to its hook `posted`; but one who
 * does not take it in time misses it silently. A client that connects later
 * does not get it.
 *
 * -EINVAL no line or too long, -ENOTCONN no peer serves, -ENOENT there is no
 * such connection, -EBUSY another process is posting and does not finish: try
 * again.
 *
 * Handlers may call it, in every model. Then it stores no sentence for
 * handoff_server_errmsg, and the line is sent even if the handler fails or runs
 * again.
 */
HANDOFF_API int handoff_server_say(
	struct handoff_server *server, uint64_t id, const char *text);

/*
 * The shared region of the service (handoff_conn_shared), for the program
 * outside of its transactions: runs `fn`, which has the region alone until it
 * returns. If it returns 0 or more its changes become true together, even if
 * the process dies the next instant; otherwise, or if it dies before, the
 * region is as it was. To read a consistent copy, copy it in `fn` and return 0.
 *
 * Any thread may call it, while the handle is open, and the standby too.
 * Returns what `fn` returns; -ETIMEDOUT after HANDOFF_SHARED_WAIT_MS, or at
 * once if another has waited that long for the same holder; -ENOTCONN no peer
 * serves yet; -EDEADLK `fn` calls it
 * again, or a handler whose transaction has the region; -EINVAL the service has
 * none. It stores no sentence for handoff_server_errmsg.
 */
struct handoff_shared;
typedef int handoff_shared_fn(struct handoff_shared *shared, void *arg);
HANDOFF_API int handoff_server_shared(
	struct handoff_server *server, handoff_shared_fn *fn, void *arg);

/* In `fn`: as handoff_conn_shared and handoff_conn_shared_read. */
HANDOFF_API int handoff_shared_write(
	struct handoff_shared *shared, size_t offset, size_t len, void **at);
HANDOFF_API int handoff_shared_read(struct handoff_shared *shared,
	size_t offset, size_t len, const void **at);

/*
 * Executes the lines of a named pipe, which is created if it does not exist
 * (and not removed): TEXT goes to all clients, "@3 TEXT" to connection 3,
 * "@@..." is a text that begins with @; "@list" lists the connections. Replies
 * are CONSOLE events. One pipe per server. Errors as of handoff_fifo_open, in
 * handoff_server_errmsg.
 */
HANDOFF_API int handoff_server_console(
	struct handoff_server *server, const char *path);

/* Whether a handoff or a stop is in progress. */
HANDOFF_API bool handoff_server_moving(const struct handoff_server *server);

/* The process ID of the other peer; -ENOTCONN if there is none. */
HANDOFF_API int handoff_server_partner(const struct handoff_server *server);

/* Stores the address of the i-th listener that this peer owns, for which
 * HANDOFF_ADDRESS_MAX bytes are enough, and returns its descriptor, which
 * belongs to the library; -ENOENT if there are no more, -ENOBUFS if `size` is
 * too small. */
HANDOFF_API int handoff_server_listener(const struct handoff_server *server,
	size_t i, char *address, size_t size);

/* The extra descriptor of that name, which belongs to the library; dup(2) it to
 * keep it. -ENOENT if there is none. */
HANDOFF_API int handoff_server_extra(
	const struct handoff_server *server, const char *name);

/* The last error on this handle; never NULL, valid until the next call. */
HANDOFF_API const char *handoff_server_errmsg(
	const struct handoff_server *server);

#ifdef __cplusplus
}
#endif

#endif
