/* SPDX-License-Identifier: MIT */
/*
 * A client connection that outlives its server: ordered endpoints, notices,
 * home-coming on READY, reconnect with backoff. One pollable descriptor and a
 * dispatch that never blocks, so that it fits any loop; events are pulled.
 *
 * A handle belongs to one thread at a time. A name that is not an address is
 * resolved in a helper thread, since getaddrinfo(3) blocks.
 */
#ifndef HANDOFF_CLIENT_H
#define HANDOFF_CLIENT_H

#include <handoff/common.h>
#include <handoff/notice.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_client;

/* `size` is sizeof(struct handoff_client_opts); zero means the default. All
 * that is pointed to is copied. */
struct handoff_client_opts {
	size_t size;
	const char *const *endpoints; /* "host:port", "[::1]:port",
					 "unix:/path"; home first; 1 to 16 */
	size_t nendpoints;
	const char *notices;         /* "mq:DIR", or NULL for none */
	size_t max_unsent;           /* bytes, default 1 MiB */
	uint32_t connect_timeout_ms; /* per attempt, default 3000 */
	uint32_t first_delay_ms;     /* the first retry comes at a random time
					within this, default 100 */
	uint32_t max_delay_ms;       /* the longest backoff, default 10000 */
	uint32_t user_timeout_ms; /* TCP_USER_TIMEOUT (tcp(7)), default 10000 */
	uint32_t drain_timeout_ms; /* how long an old connection may take to
				      end after a move, default 10000 */
	handoff_log_fn *log;
	void *log_arg;
	char *errbuf; /* where open() says what went wrong */
	size_t errbuf_size;
	const char *dir; /* the service directory: its notices, as "mq:DIR",
			    in place of `notices` */
};

/*
 * Takes --connect and --dir out of a command line, with errors that name option
 * and value, as handoff_server_opts_read does with those of a server, see
 * there. --dir sets `dir`, and may come from the environment, HANDOFF_DIR.
 */
HANDOFF_API int handoff_client_opts_read(
	struct handoff_client_opts *opts, int *argc, char **argv);

/* What --help says of these options, as handoff_server_opts_help. */
HANDOFF_API const char *handoff_client_opts_help(void);

/* Opens the handle and begins to connect to the first endpoint. Errors:
 * -EINVAL for arguments, and what subscribing to the notices may say. */
HANDOFF_API int handoff_client_open(
	struct handoff_client **out, const struct handoff_client_opts *opts);

/* Closes at once; what is unsent is dropped. NULL is fine. Afterwards no
 * callback runs, and what events and errmsg pointed to is gone; a thread that
 * still waits for the address of a name ends by itself and touches nothing of
 * the program's. */
HANDOFF_API void handoff_client_free(struct handoff_client *client);

/* One pollable descriptor, always the same and only ever POLLIN, for a loop of
 * the program's own; the library's. Or a negative errno. */
HANDOFF_API int handoff_client_fd(struct handoff_client *client);

/* Does what is to do without blocking: 0 or a negative errno. */
HANDOFF_API int handoff_client_dispatch(struct handoff_client *client);

/* Waits up to `timeout_ms` (-1: for ever) until there is something to do, and
 * does it: 0, also when the time is over or a signal came; or a negative errno.
 * Returns at once while so many events wait to be pulled that nothing is done.
 */
HANDOFF_API int handoff_client_wait(
	struct handoff_client *client, int timeout_ms);

/*
 * Queues one message of `len` bytes. A message is never split over two
 * connections: if a connection is lost while a message is half sent, all of
 * it is sent again on the next one. Works while not connected. If nothing was
 * taken: -ENOBUFS while too much is waiting for another `len` bytes to fit into
 * max_unsent, -EMSGSIZE if they never will, -ENOMEM; -EPIPE after
 * handoff_client_shutdown.
 */
HANDOFF_API int handoff_client_send(
	struct handoff_client *client, const void *data, size_t len);

/* Bytes queued and not yet given to the kernel. */
HANDOFF_API size_t handoff_client_unsent(const struct handoff_client *client);

/* No more will be sent: once all is sent, the sending side is closed; when the
 * server has closed its side too, CLOSED is the last event. */
HANDOFF_API int handoff_client_shutdown(struct handoff_client *client);

enum handoff_client_event_type {
	HANDOFF_CLIENT_CONNECTED = 1, /* to `endpoint` */
	HANDOFF_CLIENT_DATA = 2,      /* `data`, `len` */
	HANDOFF_CLIENT_LOST = 3,      /* the connection broke; `text` why */
	HANDOFF_CLIENT_RETRY = 4,   /* next attempt on `endpoint` in delay_ms */
	HANDOFF_CLIENT_HANDOFF = 5, /* `notice`: another process serves this
				       very connection; nothing is to do */
	HANDOFF_CLIENT_HOMING = 6,  /* `notice` READY: goes home in delay_ms */
	HANDOFF_CLIENT_MOVED = 7,   /* now on a new connection to `endpoint`,
				       the old one was drained to its end */
	HANDOFF_CLIENT_GOODBYE = 8, /* `notice`: the service ends */
	HANDOFF_CLIENT_CLOSED = 9,  /* the end after shutdown */
};

/* The library's; may grow at its end. */
struct handoff_client_event {
	enum handoff_client_event_type type;
	int err; /* a negative errno. LOST: why, 0: the server closed the
		    connection; RETRY: of the attempt that failed, 0: there was
		    none; MOVED: how the old connection ended, 0: in good order.
		    A name that can't be resolved is -ENOENT, or -EAGAIN */
	const char *text; /* a sentence for people; never NULL */
	const char *endpoint;
	const void *data; /* DATA */
	size_t len;
	uint32_t delay_ms;                   /* RETRY, HOMING */
	const struct handoff_notice *notice; /* HANDOFF, HOMING, GOODBYE */
};

/* Pulls the next event: 1 with `*event`, which is the library's and valid until
 * the next call of next, dispatch or wait; 0 for none now; or a negative errno.
 * Reading stops while events wait to be pulled, so nothing piles up. */
HANDOFF_API int handoff_client_next(struct handoff_client *client,
	const struct handoff_client_event **event);

HANDOFF_API const char *handoff_client_errmsg(
	const struct handoff_client *client);

#ifdef __cplusplus
}
#endif

#endif
