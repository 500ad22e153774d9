/* SPDX-License-Identifier: MIT */
/*
 * A server: one of the two peers of a service directory. The first to come
 * owns the listeners and connections and serves them; the next becomes its
 * standby and holds a copy of every descriptor. Ownership then moves between
 * them, any number of times.
 *
 * A handle belongs to one thread at a time. A handler, in whatever thread or
 * process it runs, may call handoff_server_say and nothing else of it: the rest
 * returns -EDEADLK there (handoff_server_free and _moving do nothing).
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
	HANDOFF_MODEL_ITERATIVE = 2, /* as loop, one connection at a time:
					while this peer has any, others wait
					in the backlog */
	HANDOFF_MODEL_FORK = 3, /* a child process per connection, started at
				   the first input. One that dies by a signal
				   is replaced, three times (in the handler:
				   once), and its stream goes on. The process
				   must not have other threads, nor wait for
				   children that are not its own (wait(2)), nor
				   ignore SIGCHLD */
};

/* Reads "loop", "thread", "iterative" or "fork". Returns the model or
 * -EINVAL. */
HANDOFF_API int handoff_model_parse(const char *text);

/* An extra descriptor that is handed over with the rest, by name. May grow at
 * its end, like the next one: the options say how large it is. */
struct handoff_extra {
	const char *name;
	int fd; /* the caller's; the library duplicates it */
};

/* A socket that listens already, e.g. because a service manager opened it. */
struct handoff_listen_fd {
	const char *address; /* that clients know it by; NULL: where it is
				bound */
	int fd;              /* the caller's; the library duplicates it, and
				makes what both share non-blocking */
};

/* `size` is sizeof(struct handoff_server_opts); zero means the default. All
 * that is pointed to is copied, except `service`. */
struct handoff_server_opts {
	size_t size;
	const char *dir;  /* the service directory; made with mode 0700 if it
			     is not there, otherwise must be private */
	const char *name; /* this peer's name, for people */
	const struct handoff_service *service;
	const char *const *listen; /* addresses: "127.0.0.1:7000", "[::1]:0",
				      ":7000" (all), "unix:/path". None, and no
				      `listen_fds`: this peer never opens
				      listeners, but waits for an owner and
				      becomes its standby. A standby that
				      comes to serve opens those that it alone
				      has, and closes the others */
	size_t nlisten;
	enum handoff_model model;
	uint32_t max_connections; /* served at once, default 16384; more wait
				     in the backlog */
	uint32_t give_timeout_ms; /* how long a give waits for handlers and
				     for the standby, default 5000 */
	uint32_t stop_timeout_ms; /* how long a stop without a standby lets
				     connections finish, default 1000 */
	uint32_t hang_timeout_ms; /* the other peer's silence after which it is
				     reported as hung, default 5000 */
	bool fence; /* kill a peer that hangs and take over. Without it, a
		       peer that hangs keeps what it owns */
	uint32_t grace_ms;  /* told in notices, default 60000 */
	uint32_t spread_ms; /* READY: clients come home within this time,
			       default 2000 */
	const struct handoff_extra *extras;
	size_t nextras;
	size_t extra_size; /* sizeof(struct handoff_extra), if there are any */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() says what went wrong; may be NULL */
	size_t errbuf_size;
	uint32_t workers; /* model loop: threads that connections are spread
			     over, at most 64; default 1: the caller's own.
			     With more, handlers of different connections
			     run at the same time */

	uint64_t config_hash; /* of the configuration, 0: not compared */
	bool config_strict;   /* a peer with another hash is refused; without
				 it there is a warning in the log */
	/* Listeners that need not be opened any more; an address of `listen`
	 * that one of them has is not bound. Like addresses they are used by
	 * the owner; a standby leaves them alone until it serves. Paths of
	 * Unix sockets are left to their maker. */
	const struct handoff_listen_fd *listen_fds;
	size_t nlisten_fds;
	size_t listen_fd_size; /* sizeof(struct handoff_listen_fd), if there
				  are any */
	bool trace; /* logs each connection that comes, moves or goes, at debug
		       level: that takes a microsecond each, also while a
		       handoff has the clients wait */
	uint32_t user; /* of a program that starts as root and then becomes
			  this user (setuid(2)), or whose peer does: its uid.
			  Peers run as the same user or as root otherwise */
	bool signals;  /* obeys signals as handoff_server_signals has it, from
			  before others can see the peer on. One that comes
			  while it opens is obeyed when that has succeeded; if
			  it fails, the signals are what they were before */
	void (*reopen)(void *arg); /* see handoff_server_reopen */
	void *reopen_arg;
	uint32_t suspect_wait_ms; /* how long a connection in whose handler a
				     process died waits for a standby, before
				     it is closed; default 30000. See "Inputs
				     that kill" in handoff_server(3) */
};

/*
 * Takes the usual options of a server out of a command line: --dir, --listen
 * and so on, see handoff_server_opts_help. `argc` and `argv` are those of main,
 * argv[*argc] is NULL. What an option sets replaces what was in `opts`, which
 * so has the defaults; --dir may also come from the environment, HANDOFF_DIR.
 * What is not known here, and all from "--" on, stays in argv, in its order,
 * for getopt_long(3) say.
 *
 * Nothing is allocated: `opts` points into argv, to the listen addresses behind
 * argv[*argc]. -EINVAL with a sentence in opts->errbuf that names the option
 * and what was wrong with its value; then nothing was changed.
 */
HANDOFF_API int handoff_server_opts_read(
	struct handoff_server_opts *opts, int *argc, char **argv);

/* What --help says of these options, a line or two each that ends with a
 * newline: two blanks, the option, and its text from column 24 on. */
HANDOFF_API const char *handoff_server_opts_help(void);

/*
 * Opens the peer: locks a place in the directory, joins the peer that is
 * there or, if it has listen addresses, becomes the owner and binds them.
 * May block for up to 10 seconds while another peer starts or answers.
 *
 * Errors, each with a sentence in `errbuf`: -EINVAL arguments, -E2BIG an option
 * is set that this library does not know, -EBUSY the
 * directory has two peers already, -EACCES the directory is not private to
 * this user, -EPROTO the peer there refused (another service, state or
 * version), -ETIMEDOUT it does not answer, -EADDRINUSE and others of bind(2).
 */
HANDOFF_API int handoff_server_open(
	struct handoff_server **out, const struct handoff_server_opts *opts);

/*
 * Leaves at once: connections this peer owns pass to the standby, which is told
 * to take them, and end if there is none. Use handoff_server_stop first for an
 * orderly end. NULL is fine.
 *
 * Afterwards no callback runs, no child of model fork or of a dump is left, all
 * descriptors that were handed out are closed, and what events and errmsg
 * pointed to is gone. Descriptors that were passed in, and what
 * handoff_server_watch watched, stay the program's; signals that were taken
 * stay blocked. But a handler that a thread is in can't be ended: workers are
 * waited for, up to 2 s, and if one has not returned then, or if a thread of
 * model thread has a connection (stop first), nothing at all is freed: handlers
 * and `log` may go on running, `service` must stay, and what this peer owns
 * passes on with the end of the process.
 */
HANDOFF_API void handoff_server_free(struct handoff_server *server);

/* One pollable descriptor, always the same and only ever POLLIN, for a loop of
 * the program's own; the library's. Or a negative errno. */
HANDOFF_API int handoff_server_fd(struct handoff_server *server);

/* Does what is to do without blocking (beyond what handlers do): 0 or a
 * negative errno, -ESHUTDOWN after STOPPED. */
HANDOFF_API int handoff_server_dispatch(struct handoff_server *server);

/* Waits up to `timeout_ms` (-1: for ever) until there is something to do, and
 * does it: 0, also when the time is over or a signal came; or a negative errno.
 * The fastest way to run a server: while (handoff_server_wait(s, -1) >= 0) ...
 * The call in which it stops returns as any other, so that STOPPED can be
 * pulled; each after it fails with -ESHUTDOWN. */
HANDOFF_API int handoff_server_wait(
	struct handoff_server *server, int timeout_ms);

/* Calls `fn` from dispatch whenever `fd` (the caller's, e.g. of signalfd(2))
 * is readable. At most 8 such descriptors. */
typedef void handoff_watch_fn(int fd, void *arg);
HANDOFF_API int handoff_server_watch(
	struct handoff_server *server, int fd, handoff_watch_fn *fn, void *arg);

/* Obeys signals, through a signalfd(2): SIGUSR1 is maintenance, SIGUSR2 ready,
 * SIGTERM and SIGINT stop. Blocks them in the calling thread; threads that the
 * program has already must block them too. SIGPIPE is ignored unless the
 * program handles it: a reader of its output that ends must not end it. A
 * signal that comes before this call does what it does by default: with
 * `signals` set in the options none is lost. After an error they are as they
 * were before. */
HANDOFF_API int handoff_server_signals(struct handoff_server *server);

/* The process has opened its log anew: in model fork each child now calls
 * `reopen` of the options, between two calls of the handler, to do the same.
 * In the other models there is nobody else to do it. -EINVAL without `reopen`.
 */
HANDOFF_API int handoff_server_reopen(struct handoff_server *server);

enum handoff_server_event_type {
	HANDOFF_SERVER_LISTENING = 1, /* a listener was opened */
	HANDOFF_SERVER_OWNER = 2,     /* this peer serves now */
	HANDOFF_SERVER_STANDBY = 3,   /* the other peer serves */
	HANDOFF_SERVER_WAITING = 4,   /* no owner is there yet */
	HANDOFF_SERVER_JOINED = 5,    /* the other peer came */
	HANDOFF_SERVER_LEFT = 6,      /* the other peer went */
	HANDOFF_SERVER_GAVE = 7, /* a handoff, in either direction, is done */
	HANDOFF_SERVER_REFUSED = 8,  /* a handoff or a peer was refused */
	HANDOFF_SERVER_STOPPED = 9,  /* the end, and the last event: free the
					handle */
	HANDOFF_SERVER_HUNG = 10,    /* the other peer is silent, or speaks
					again */
	HANDOFF_SERVER_LAGGING = 11, /* the standby falls behind with its
					copies, or has caught up */
	/* An address of this host that a listener on ":port" stands for. */
	HANDOFF_SERVER_REACHABLE = 12,
	HANDOFF_SERVER_CONSOLE = 13,  /* what the console has to answer */
	HANDOFF_SERVER_GIVING = 14,   /* this peer begins to hand over */
	HANDOFF_SERVER_STOPPING = 15, /* and to stop; see _moving */
	HANDOFF_SERVER_APART = 16,    /* the link to the other peer broke, and
					 its process lives: it is made anew */
	/* A standby's addresses are not those of the listeners: which it opens
	 * and closes when it serves. */
	HANDOFF_SERVER_ADDRESSES = 17,
	HANDOFF_SERVER_UNLISTENED = 18, /* a listener that is not of this peer's
					   addresses was closed */
};

/* The library's; may grow at its end. */
struct handoff_server_event {
	enum handoff_server_event_type type;
	enum handoff_reason reason; /* REFUSED: why */
	uint64_t generation;
	const char *text; /* a sentence for people; never NULL */
	const struct handoff_outcome *outcome; /* GAVE; REFUSED, if that was of
						  a handoff; OWNER or LEFT, if
						  what the other peer had owned
						  was taken over; else NULL */
	uint32_t closed;  /* STOPPED: connections that were closed in it */
	uint32_t moved;   /* STOPPED: that were handed over in it */
	uint32_t passing; /* STOPPED: that the standby has copies of and takes
			     when the handle is freed or the process ends */
	bool died;        /* LEFT, OWNER: the other process has ended and had
			     not said that it would */
	bool over;        /* HUNG, LAGGING: it is so no more */
};

/* Pulls the next event: 1 with `*event`, which is the library's and valid until
 * the next call of next, dispatch or wait; 0 for none now; or a negative errno.
 * At most 64 are kept; then the oldest are dropped. */
HANDOFF_API int handoff_server_next(struct handoff_server *server,
	const struct handoff_server_event **event);

/* Walks over what stayed behind in the handoff that the last event was about
 * which had an `outcome`: 1 with the next of them, valid like an event; 0 at
 * the end; -ESTALE if another one has begun or ended since. Of a handoff to
 * this peer it names 253 at most. What has ended since is left out. */
HANDOFF_API int handoff_server_left(
	struct handoff_server *server, const struct handoff_left **left);

/*
 * Moves all that this owner serves to its standby and tells the clients
 * (MAINTENANCE). Returns 0 when begun; GAVE or REFUSED tells the end.
 * -ENOTCONN no standby is attached, -EBUSY a handoff is under way, -EPERM
 * this peer is not the owner; details in handoff_server_errmsg.
 */
HANDOFF_API int handoff_server_maintenance(struct handoff_server *server);

/*
 * Brings service home to this standby: the listeners move here and the
 * clients are told READY and come within the spread. `silent`: everything
 * moves at once and no client is told. Errors as above; -EALREADY if this
 * peer serves everything already.
 */
HANDOFF_API int handoff_server_ready(
	struct handoff_server *server, bool silent);

/*
 * An orderly stop: an owner with a standby hands over first; one without
 * lets connections send their output and closes them, and tells the clients
 * GOODBYE. STOPPED tells the end, and how many connections were closed. Called
 * again it hurries: what it waits for ends now.
 */
HANDOFF_API int handoff_server_stop(struct handoff_server *server);

/*
 * Says a line (`text` has up to HANDOFF_SAY_MAX bytes and no newline; one is
 * added) to the clients of all
 * connections of the service (`id` 0), or to that of connection `id`, whichever
 * peer owns it. It comes between two transactions of the service; lines keep
 * their order, also across a handoff or the death of a peer, and a client that
 * connects later does not get it.
 *
 * -EINVAL no line or too long, -ENOTCONN nobody serves, -ENOENT there is no
 * such connection, -EAGAIN 64 KiB of lines have not been taken by all clients:
 * try again; after two seconds those that do not read lose the oldest; -EBUSY
 * another process is adding a line and does not come to an end: try again.
 *
 * Handlers may call it, in every model. It is then not looked whether there is
 * a connection `id`, no sentence is kept for handoff_server_errmsg, and what is
 * said stays said if the handler fails or runs again.
 */
HANDOFF_API int handoff_server_say(
	struct handoff_server *server, uint64_t id, const char *text);

/*
 * Obeys the lines of a named pipe, made if it is not there (and left there):
 * TEXT is said to all, "@3 TEXT" to connection 3, "@@..." is a text that begins
 * with @; "@list" tells who is there. Answers are CONSOLE events. One pipe a
 * server. Errors as of handoff_fifo_open, in handoff_server_errmsg.
 */
HANDOFF_API int handoff_server_console(
	struct handoff_server *server, const char *path);

/* Is a handoff or a stop under way? */
HANDOFF_API bool handoff_server_moving(const struct handoff_server *server);

/* The process ID of the other peer; -ENOTCONN if there is none. */
HANDOFF_API int handoff_server_partner(const struct handoff_server *server);

/* Stores the address of the i-th listener that this peer owns, for which
 * HANDOFF_ADDRESS_MAX bytes are enough, and returns its descriptor, the
 * library's; -ENOENT if there are no more, -ENOBUFS if `size` is too small. */
HANDOFF_API int handoff_server_listener(const struct handoff_server *server,
	size_t i, char *address, size_t size);

/* The extra descriptor of that name; the library's, dup(2) it to keep it.
 * -ENOENT if there is none. */
HANDOFF_API int handoff_server_extra(
	const struct handoff_server *server, const char *name);

/* What went wrong last on this handle; never NULL, valid until the next call.
 */
HANDOFF_API const char *handoff_server_errmsg(
	const struct handoff_server *server);

#ifdef __cplusplus
}
#endif

#endif
