/* SPDX-License-Identifier: MIT */
/*
 * A client connection that outlives its server: ordered endpoints, notices,
 * moving home on READY, reconnecting with backoff. One pollable descriptor and
 * a dispatch that never blocks, so that it fits any loop; events are pulled.
 *
 * With a session (option `session`) the conversation outlives its connections
 * too: on each new one it goes on exactly where it was, in both directions.
 *
 * A handle belongs to one thread at a time. A host name is resolved in a helper
 * thread, since getaddrinfo(3) blocks.
 */
#ifndef HANDOFF_CLIENT_H
#define HANDOFF_CLIENT_H

#include <handoff/common.h>
#include <handoff/notice.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_client;

/* What `handoff_client_layer.state` answers. Only from top to bottom. */
enum handoff_client_layer_state {
	HANDOFF_CLIENT_LAYER_HANDSHAKE = 1, /* nothing can be written yet */
	HANDOFF_CLIENT_LAYER_OPEN = 2,
	HANDOFF_CLIENT_LAYER_CLOSED = 3, /* the server has ended its direction
					  * in order, and all of it was read */
	HANDOFF_CLIENT_LAYER_FAILED = 4, /* nothing more can come or go, but
					  * for what `output` has */
};

/* Bytes of one `write`, at most. */
#define HANDOFF_CLIENT_LAYER_MAX 16384

/*
 * What lies between the program's bytes, the plain text, and those that go to
 * the server and come from it, the cipher text: such as TLS, which
 * handoff_tls_client makes. A table of calls on one end of a conversation.
 * No call blocks, does I/O, or calls the client; an error is a state.
 *
 * Without a session each connection is a conversation. In a session there is
 * one conversation in each session: its cipher text is what the session
 * carries, so that a resume needs no new handshake.
 */
struct handoff_client_layer {
	size_t size; /* sizeof(struct handoff_client_layer) */
	void *arg;   /* for `begin`; it must outlive the client */
	/* A conversation with this endpoint begins, NULL: no memory. And it is
	 * over. */
	void *(*begin)(void *arg, const char *endpoint);
	void (*free)(void *end);
	/* `*err` is 0, or a negative errno if it has FAILED; `*text` is a
	 * sentence then, and if it is OPEN a few words for people or "". Valid
	 * until the next call. */
	enum handoff_client_layer_state (*state)(
		void *end, int *err, const char **text);
	/* Takes cipher text that has come; it takes all. 0 bytes: no more will
	 * come, which without an end in order is a failure. */
	void (*input)(void *end, const void *data, size_t len);
	/* The cipher text that is to be sent next: `*data` is valid until the
	 * next call, 0: none. And so many bytes of that were taken. */
	size_t (*output)(void *end, const void **data);
	void (*sent)(void *end, size_t len);
	/* Takes up to HANDOFF_CLIENT_LAYER_MAX bytes of plain text, if it is
	 * OPEN, or CLOSED before `end`. The server can read any of these only
	 * when it has all of the output that this call has caused. */
	void (*write)(void *end, const void *data, size_t len);
	/* Moves plain text that has come to `data`: how many bytes, 0: none.
	 * Fewer than `size` only if there are no more now; a layer keeps up to
	 * 32 KiB of cipher text that it cannot open yet. */
	size_t (*read)(void *end, void *data, size_t size);
	/* Ends the sending direction in order, which may cause output. */
	void (*end)(void *end);
};

/* `size` is sizeof(struct handoff_client_opts); zero means the default. The
 * library copies everything that the options point to. */
struct handoff_client_opts {
	size_t size;
	const char *const *endpoints; /* "host:port", "[::1]:port",
					 "unix:/path"; home first; 1 to 16 */
	size_t nendpoints;
	const char *notices;         /* an address of notices, "mq:DIR", see
				      * handoff/notice.h; or NULL */
	size_t max_unsent;           /* bytes, default 1 MiB; in a session
				      * those too that were sent and are not
				      * acknowledged */
	uint32_t connect_timeout_ms; /* per attempt, default 3000 */
	uint32_t first_delay_ms;     /* the first retry comes at a random time
				      * within this, default 100 */
	uint32_t max_delay_ms;       /* maximum backoff, default 10000 */
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT (tcp(7)), default 10000 */
	uint32_t drain_timeout_ms; /* how long an old connection may take to end
				    * after a move, default 10000 */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() writes its error */
	size_t errbuf_size;
	const char *dir; /* the service directory: its notices, like "mq:DIR",
			  * instead of `notices` */
	const char *const *subscriptions; /* up to 16 more addresses of notices:
					   * each notice is taken once. A
					   * client connects to none but
					   * `endpoints`, whatever a notice
					   * says */
	size_t nsubscriptions;
	bool session; /* a session over successive connections, see
		       * handoff_session(7); the server must have sessions */
	const struct handoff_client_layer *layer; /* between the program's bytes
						   * and those on their way,
						   * for example TLS; copied,
						   * but for its `arg` */
};

/*
 * Takes --connect, --dir, --notices and --session out of a command line, with
 * errors that name option and value, like handoff_server_opts_read for servers.
 * --dir sets `dir`, and may come from the environment, HANDOFF_DIR; --notices
 * sets `subscriptions`.
 */
HANDOFF_API int handoff_client_opts_read(
	struct handoff_client_opts *opts, int *argc, char **argv);

/* The --help text of these options, like handoff_server_opts_help. */
HANDOFF_API const char *handoff_client_opts_help(void);

/* Opens the handle and begins to connect to the first endpoint. Errors: -EINVAL
 * for arguments, and the errors of subscribing to the notices. */
HANDOFF_API int handoff_client_open(
	struct handoff_client **out, const struct handoff_client_opts *opts);

/* Closes at once; unsent data is dropped, and a session ends with what was
 * sent. NULL is fine. Afterwards no
 * callback runs, and what events and errmsg pointed to is invalid; a thread
 * that is still resolving a name ends on its own and touches nothing of the
 * program's. */
HANDOFF_API void handoff_client_free(struct handoff_client *client);

/* Returns one pollable descriptor, always the same and only ever POLLIN, for
 * the program's own loop; it belongs to the library. Or a negative errno. */
HANDOFF_API int handoff_client_fd(struct handoff_client *client);

/* Does all work that is due without blocking: 0 or a negative errno. */
HANDOFF_API int handoff_client_dispatch(struct handoff_client *client);

/* Waits up to `timeout_ms` (-1: forever) for work and does it: 0, also after a
 * timeout or a signal; or a negative errno. Returns at once while so many
 * events wait to be pulled that no work is done. */
HANDOFF_API int handoff_client_wait(
	struct handoff_client *client, int timeout_ms);

/*
 * Queues one message of `len` bytes. A message is never split over two
 * connections: if a connection is lost when a message is partly sent, all of it
 * is sent again on the next one. Works while not connected. On an error nothing
 * is queued: -ENOBUFS if `len` bytes do not fit into max_unsent now, -EMSGSIZE
 * if they never will, -ENOMEM; -EPIPE after handoff_client_shutdown.
 *
 * In a session each byte of it arrives exactly once, whatever becomes of
 * connections, until the session itself is lost (HANDOFF_CLIENT_NEW). -EMSGSIZE
 * there is for more than three quarters of max_unsent, since as much as a
 * quarter may wait for its acknowledgement; with a layer for more than half.
 */
HANDOFF_API int handoff_client_send(
	struct handoff_client *client, const void *data, size_t len);

/* Bytes queued and not yet passed to the kernel. */
HANDOFF_API size_t handoff_client_unsent(const struct handoff_client *client);

/* How many bytes a message may have now, at most. It grows while events are
 * pulled and work is done. */
HANDOFF_API size_t handoff_client_room(const struct handoff_client *client);

/* Whether the option `session` was set. */
HANDOFF_API bool handoff_client_has_session(
	const struct handoff_client *client);

/* Ends the sending direction: it is closed once all data is sent; when the
 * server has closed its side too, CLOSED is the last event. */
HANDOFF_API int handoff_client_shutdown(struct handoff_client *client);

enum handoff_client_event_type {
	HANDOFF_CLIENT_CONNECTED = 1, /* to `endpoint` */
	HANDOFF_CLIENT_DATA = 2,      /* `data`, `len` */
	HANDOFF_CLIENT_LOST = 3,      /* the connection broke */
	HANDOFF_CLIENT_RETRY = 4,   /* next attempt on `endpoint` in delay_ms */
	HANDOFF_CLIENT_HANDOFF = 5, /* `notice`: another process now serves
				     * this very connection, or another host
				     * has the lease and the client leaves for
				     * it; nothing needs to be done */
	HANDOFF_CLIENT_HOMING = 6,  /* `notice` READY: moves home in delay_ms */
	HANDOFF_CLIENT_MOVED = 7,   /* now on a new connection to `endpoint`;
				     * the old one was drained to its end, or
				     * given up with its lease */
	HANDOFF_CLIENT_GOODBYE = 8, /* `notice`: the service ends */
	HANDOFF_CLIENT_CLOSED = 9,  /* the end after a shutdown */
	HANDOFF_CLIENT_RESUMED = 10, /* after LOST: the session goes on, on a
				      * new connection to `endpoint`; nothing is
				      * lost, nothing needs to be done. A move
				      * with its session is MOVED alone */
	HANDOFF_CLIENT_NEW = 11,     /* on a new connection to `endpoint` a new
				      * session begins, since the one before
				      * could not be resumed or has ended:
				      * `certain`, `doubtful`, `received`,
				      * `lost` */
};

/* Belongs to the library; may grow at its end. */
struct handoff_client_event {
	enum handoff_client_event_type type;
	int err; /* a negative errno. LOST: the cause, 0: the server closed the
		  * connection; RETRY: of the failed attempt, 0: there was none;
		  * MOVED: how the old connection ended, 0: in an orderly way. A
		  * name that cannot be resolved is -ENOENT or -EAGAIN */
	const char *text; /* a sentence for people; never NULL */
	const char *endpoint;
	const void *data; /* DATA */
	size_t len;
	uint32_t delay_ms;                   /* RETRY, HOMING */
	const struct handoff_notice *notice; /* HANDOFF, HOMING, GOODBYE */
	/*
	 * NEW; and LOST, if the session has ended with it, otherwise 0: what
	 * became of that session. Bytes are counted from its beginning, as they
	 * were given to handoff_client_send. Messages that end within the first
	 * `certain` bytes were taken by the server; those that end within
	 * `doubtful` bytes after these were sent and perhaps taken, and are not
	 * repeated; those that end later were not taken, and go to the new
	 * session. If the server itself has ended the session, a message of
	 * which it was sent a part counts, whole, as one that was sent: it may
	 * be why, and would end the next session too.
	 */
	uint64_t certain, doubtful;
	uint64_t received; /* bytes of the server's that came as DATA */
	bool lost;         /* it may have sent more than that */
};

/* Pulls the next event: 1 with `*event`, which belongs to the library and is
 * valid until the next call of next, dispatch or wait; 0 if there is none; or a
 * negative errno. Reading pauses while events wait to be pulled, so the queue
 * is bounded. */
HANDOFF_API int handoff_client_next(struct handoff_client *client,
	const struct handoff_client_event **event);

HANDOFF_API const char *handoff_client_errmsg(
	const struct handoff_client *client);

#ifdef __cplusplus
}
#endif

#endif
