/* SPDX-License-Identifier: MIT */
/*
 * A service: the code that answers requests on a connection. The same code runs
 * in both peers, in every model.
 *
 * A handler is a transaction. It sees the input that has arrived and is not yet
 * consumed, consumes some, appends output and changes the connection's state;
 * when it returns 0 all of that is committed at once, in memory that both peers
 * share. If the process dies or the connection moves before that, the handler
 * runs again on the same input in the other peer, and nothing of the first run
 * has left the process.
 *
 * A handler may call the functions of this header, handoff_server_post,
 * handoff_server_say and handoff_server_shared, and no other function of the
 * library on its own server.
 */
#ifndef HANDOFF_SERVICE_H
#define HANDOFF_SERVICE_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct handoff_conn;

/*
 * Called when there is input, when the client has ended its sending direction
 * (handoff_conn_eof), when there is room again for output that did not fit, and
 * when its deadline has passed (handoff_conn_reason tells them apart); may be
 * called again with the same input. Consuming nothing asks for more
 * input. Returns 0; HANDOFF_LATER; or a negative errno, which discards the
 * transaction and closes the connection with that reason in the log, except for
 * the -ETIMEDOUT of handoff_conn_shared.
 */
typedef int handoff_handle_fn(struct handoff_conn *conn, void *arg);

/* Why the handler is called. May grow. */
enum handoff_conn_reason {
	HANDOFF_CONN_INPUT = 0,    /* there is input, perhaps known already */
	HANDOFF_CONN_OPEN = 1,     /* the connection is new: `open` */
	HANDOFF_CONN_END = 2,      /* the client has ended its sending: all of
				    * the input is there */
	HANDOFF_CONN_ROOM = 3,     /* all output was sent: there is room */
	HANDOFF_CONN_DEADLINE = 4, /* its deadline has passed */
	HANDOFF_CONN_ENDED = 5,    /* it has ended: `ended` */
	HANDOFF_CONN_POST = 6,     /* it takes a post: `posted` */
	HANDOFF_CONN_PAIR = 7,     /* its pair has ended, or could not be
				    * connected: handoff_conn_pair_error */
	HANDOFF_CONN_FAREWELL = 8, /* the server ends it: `farewell` */
};

/* Why a connection has ended. May grow. */
enum handoff_end_reason {
	HANDOFF_ENDED_OTHER = 0,
	HANDOFF_ENDED_CLIENT = 1,  /* closed by the client */
	HANDOFF_ENDED_SERVICE = 2, /* handoff_conn_close or _abort */
	HANDOFF_ENDED_ERROR = 3,   /* of the socket, such as a reset */
	HANDOFF_ENDED_HANDLER = 4, /* the handler failed */
	HANDOFF_ENDED_INPUT = 5,   /* it wanted more input than input_size */
	HANDOFF_ENDED_STOP = 6,    /* of the server */
	HANDOFF_ENDED_DEATH = 7,   /* it could not continue after the death of a
				    * process */
	HANDOFF_ENDED_STATE = 8,   /* its state could not be converted */
	HANDOFF_ENDED_POISON = 9,  /* two processes died in its handler */
	HANDOFF_ENDED_SUSPECT = 10,  /* one did, and no standby came */
	HANDOFF_ENDED_DEADLINE = 11, /* closed when its deadline had passed */
	HANDOFF_ENDED_POSTS = 12,    /* it did not take its posts in time */
	HANDOFF_ENDED_LOST = 13, /* its process died before the standby had a
				  * copy of it */
	HANDOFF_ENDED_PROTOCOL = 14, /* its client has violated the protocol of
				      * sessions */
};

/*
 * Called once for each connection that has ended, whatever the reason: a
 * transaction too, for what the service keeps elsewhere. After a death before
 * its commit it runs again, and never after that. It sees the state as it was
 * committed last, and no input; what it writes is not sent. It does not run for
 * a connection whose `open` has not run, and for none that moves to the other
 * peer.
 */
typedef void handoff_ended_fn(
	struct handoff_conn *conn, enum handoff_end_reason reason, void *arg);

/*
 * Called in the thread of the server when this process no longer serves
 * connection `id`: the other peer has it, or it has ended. For what the process
 * keeps about connections outside of their state, such as a cache of keys. No
 * transaction; no handler of it runs meanwhile, though in models with threads
 * those of others may. Perhaps also for one that comes back, or that was never
 * served here; not when the process ends, nor in the children of model `fork`:
 * the child that serves a connection ends with it.
 */
typedef void handoff_left_fn(uint64_t id, void *arg);

/*
 * Called when nothing has happened on connection `id` for 3 seconds and the
 * memory of its buffers is given back, once until something happens again;
 * perhaps also for one that was never served here. So a service can do the same
 * with what `left` is for. By the thread, or the child of model `fork`, that
 * serves the connection, or by the thread of the server. No transaction; no
 * handler of it runs meanwhile, though in models with threads those of others
 * may.
 */
typedef void handoff_idle_fn(uint64_t id, void *arg);

/*
 * What `handle` returns when the answer is not known yet: what it has consumed,
 * written or changed in the state is undone, its posts are sent, its deadline
 * is set, and it is not called again for this input until an answer has come: a
 * post to this connection whose `request` is handoff_conn_request. The hook
 * `posted` of the service, without which this is an error, then consumes the
 * input and writes the answer. After a handoff or a death `handle` is called
 * again, and asks again; answers to what is no longer asked are dropped.
 */
#define HANDOFF_LATER 1

/*
 * Describes a connection's state for people, in `handoffctl dump`: writes at
 * most `size` bytes of UTF-8 text, including a terminating zero, to `text`.
 * Returns a negative errno for a state that it cannot describe, which is then
 * shown as bytes. Runs in a forked child of a process that may have threads: it
 * must take no locks and read nothing that changes.
 */
typedef int handoff_print_fn(
	const void *state, char *text, size_t size, void *arg);

/*
 * Converts a state of the older version `version` to this one: `old` has
 * `old_size` bytes, `state` has state_size bytes, zeroed. Called once for each
 * connection that comes from an older program. Returns 0, or a negative errno,
 * which closes that connection. If the service's `state_grows` it may return
 * how many bytes of the state are in use; 0: all.
 */
typedef int handoff_convert_fn(uint32_t version, const void *old,
	size_t old_size, void *state, void *arg);

/* `size` is sizeof(struct handoff_service); zero means the default. The
 * structure and what it points to remain the caller's and must outlive the
 * server. */
struct handoff_service {
	size_t size;
	const char *name;       /* identity: must be the same in both peers */
	uint32_t state_version; /* of the state's layout; must be the same in
				 * both peers */
	uint32_t state_size;    /* bytes of state per connection, initially
				 * zero; may be 0, at most 65536 */
	handoff_handle_fn *handle;
	handoff_handle_fn *open; /* optional: runs once, before any input, to
				  * greet or to initialise the state */
	void *arg;
	uint32_t input_size;     /* bytes; the longest input a handler can wait
				  * for; default 65536, at most 1 MiB */
	uint32_t output_size;    /* bytes of unsent output; default 65536, at
				  * most 1 MiB */
	handoff_print_fn *print; /* optional: describes a state */
	handoff_convert_fn *convert; /* optional: allows a program with older
				      * states, down to version convert_from,
				      * to be a peer and to hand over to this
				      * one */
	uint32_t convert_from;
	bool state_grows;     /* a new connection uses none of its state, until
			       * handoff_conn_state_resize; otherwise all of it */
	uint32_t shared_size; /* bytes of the shared region, initially zero;
			       * at most 64 MiB, default none */
	uint32_t shared_version; /* of its layout. Two programs that both have a
				  * region must agree on size and version; one
				  * without joins either */
	handoff_ended_fn *ended; /* optional: a connection has ended */
	/* Optional: the handler of the transaction that takes a post, see
	 * handoff_conn_posted. It may see input that is not consumed yet, and
	 * consume it. Called once there is room for the post's length, and for
	 * half of output_size. Returns like `handle`; -EAGAIN: once more, when
	 * the output is sent. Without it, posts are appended to the output. */
	handoff_handle_fn *posted;
	uint32_t post_size; /* bytes of posts that are kept until all their
			     * receivers have taken them; default 1 MiB, at most
			     * 64 MiB, rounded up to a power of two */
	bool post_gaps;     /* a connection that has missed posts, because it
			     * did not take them in time, is told in `posted`;
			     * otherwise it is closed */
	uint32_t pass_size; /* bytes between the two connections of a pair, in
			     * each direction, see handoff_conn_connect; rounded
			     * up to a power of two of at least 4096; default 0:
			     * no pairs; at most 1 MiB */
	/* Optional: last words, in a transaction like that of `handle`, before
	 * the server ends the connection in order: with a stop that no standby
	 * follows. Runs once, and not before `open` nor after the service has
	 * closed; it may see input that is not consumed. What it writes is sent
	 * if the client takes it in time; with anything but 0 it is undone, and
	 * the connection ends all the same. */
	handoff_handle_fn *farewell;
	handoff_left_fn *left; /* optional: a connection has left this
				* process */
	const struct handoff_service *inner; /* of a service that wraps another
					      * one: that, see handoff/wrap.h;
					      * else NULL */
	bool secret; /* states, and bytes of connections, hold secrets, such as
		      * keys: no dump shows them, and memory is overwritten when
		      * it is given back. See "Secrets" in
		      * handoff_service(3) */
	handoff_idle_fn *idle; /* optional: nothing happens on a connection */
};

/* Whom a post is for. */
enum handoff_post_to {
	HANDOFF_POST_ONE = 0,    /* connection `id` */
	HANDOFF_POST_ALL = 1,    /* every connection of the service */
	HANDOFF_POST_OTHERS = 2, /* all but connection `id` */
	HANDOFF_POST_TAG = 3,    /* those with the tag `id` */
};

/* A post: bytes to other connections of the service, whichever peer serves
 * them. `size` is sizeof(struct handoff_post). */
struct handoff_post {
	size_t size;
	enum handoff_post_to to;
	uint64_t id;
	const void *data; /* copied by the call */
	size_t len;       /* bytes, at least 1; at most output_size, and less
			   * than a quarter of post_size */
	uint64_t request; /* to ONE: the request that it answers, see
			   * HANDOFF_LATER; 0: none */
	uint64_t source;  /* 0, or a number of the poster's own; see
			   * handoff_server_post */
	uint64_t number;  /* of the source's post */
};

/* A post as its receiver gets it. May grow at its end. */
struct handoff_posted {
	const void *data; /* NULL: none, but `gap` */
	size_t len;
	uint64_t from; /* the connection that has posted it; 0: it was posted
			* from outside */
	uint64_t request, source, number;
	bool gap; /* some posts before this were lost */
};

/* The connection's number: unique in the service, counted from 1, the same in
 * both peers. */
HANDOFF_API uint64_t handoff_conn_id(const struct handoff_conn *conn);

/* Why the handler is called. */
HANDOFF_API enum handoff_conn_reason handoff_conn_reason(
	const struct handoff_conn *conn);

/* Stores the client's address, and the one that it has connected to, as text:
 * "192.0.2.1:4711", "[2001:db8::1]:4711", "unix:" for a client of a Unix
 * socket. HANDOFF_ADDRESS_MAX bytes are enough. The client's is known until the
 * connection ends here, also after the client has gone. -ENOBUFS if `size` is
 * too small, -ENOTCONN if the address is not known any more. */
HANDOFF_API int handoff_conn_peer(
	const struct handoff_conn *conn, char *text, size_t size);
HANDOFF_API int handoff_conn_local(
	const struct handoff_conn *conn, char *text, size_t size);

/* Sets a text about the connection for people: up to 63 bytes of UTF-8, in
 * handoff_server_connections and `handoffctl status --connections`. It takes
 * effect at once. -EINVAL without a text or if it is longer. */
HANDOFF_API int handoff_conn_label(struct handoff_conn *conn, const char *text);

/* The unconsumed input, contiguous; `*len` is its length in bytes. Valid until
 * the handler returns. */
HANDOFF_API const void *handoff_conn_input(
	const struct handoff_conn *conn, size_t *len);

/* Consumes the first `len` bytes of the input. -EINVAL if there are fewer. */
HANDOFF_API int handoff_conn_consume(struct handoff_conn *conn, size_t len);

/* True if the client has ended its sending direction and the input is
 * complete. */
HANDOFF_API bool handoff_conn_eof(const struct handoff_conn *conn);

/* How many bytes handoff_conn_write would accept now. */
HANDOFF_API size_t handoff_conn_room(const struct handoff_conn *conn);

/* Appends up to `len` bytes of output and returns how many were accepted. To
 * write all or nothing call handoff_conn_room first; input whose output does
 * not fit is best left unconsumed: the handler is called again. */
HANDOFF_API size_t handoff_conn_write(
	struct handoff_conn *conn, const void *data, size_t len);

/* The connection's state, state_size bytes, 16-byte aligned; NULL if the
 * service has none. Changes are committed when the handler returns 0. */
HANDOFF_API void *handoff_conn_state(struct handoff_conn *conn);

/* How much of its state a connection uses. A transaction copies that much and
 * takes memory for it, whatever state_size is: so a service with a large one
 * and little in it sets `state_grows`. Resize changes it, also below: it
 * returns the state, whose new bytes are zero, or NULL if `len` is above
 * state_size. Committed like a change of the state. After `convert` all of it
 * is in use, unless that says how much. Of a `secret` service the state as it
 * was before is overwritten right after the commit of a transaction that has
 * called resize, with whatever length. */
HANDOFF_API size_t handoff_conn_state_len(const struct handoff_conn *conn);
HANDOFF_API void *handoff_conn_state_resize(
	struct handoff_conn *conn, size_t len);

/*
 * Sets the connection's deadline, instead of the one that it has, to `ms`
 * milliseconds from now: then the handler is called once, with reason
 * HANDOFF_CONN_DEADLINE, unless another one is set or it is cleared before.
 * 0 clears it. It is part of the transaction, moves with the connection, and
 * survives the death of a process; time for which the host sleeps counts. The
 * handler is never called early; late by what other handlers take, and up to a
 * minute after the host has slept. After handoff_conn_close it is the time at
 * which the connection ends even if there is unsent output. -EINVAL if negative
 * or not below 2^62.
 */
HANDOFF_API int handoff_conn_deadline(struct handoff_conn *conn, int64_t ms);

/*
 * Keeps the connection with this process for up to `ms` milliseconds from now,
 * for something that only this process can finish well, such as a handshake: a
 * give waits for the connection as for a handler that runs, while it is served
 * on here. It waits no longer than three quarters of give_timeout_ms of the
 * server; then the connection moves all the same, as it does when the process
 * dies. 0 releases it. Takes effect at once, whatever becomes of the
 * transaction, and ends when the connection moves. -EINVAL if negative or not
 * below 2^62.
 */
HANDOFF_API int handoff_conn_hold(struct handoff_conn *conn, int64_t ms);

/* How many bytes have come from the client and been taken by the kernel for it
 * since the connection began, in all processes. What has not changed at a
 * deadline was idle. */
HANDOFF_API void handoff_conn_progress(
	const struct handoff_conn *conn, uint64_t *received, uint64_t *sent);

/* Ends the connection once all its output is sent. No handler runs after. */
HANDOFF_API void handoff_conn_close(struct handoff_conn *conn);

#define HANDOFF_SHARED_MAX     (64u << 20) /* bytes of a shared region */
#define HANDOFF_SHARED_RANGES  256u       /* that one transaction may change, */
#define HANDOFF_SHARED_UNDO    (1u << 20) /* of so many bytes in all */
#define HANDOFF_SHARED_WAIT_MS 1000u

/*
 * The shared region: memory of the whole service, the same for all connections
 * in both peers. Stores the address of `len` bytes from `offset` on in `*at`;
 * the handler may read and change them until it returns, and the changes become
 * true in the same instant as those of its connection: if it fails, or its
 * process dies, the region is as it was. A range that was asked for before
 * costs nothing.
 *
 * From the first call on the transaction has the region alone, so it should be
 * short and must not block. A handler of another connection, in whatever
 * thread, process or peer, waits up to HANDOFF_SHARED_WAIT_MS: then, or at once
 * if another has waited that long for the same holder, -ETIMEDOUT. A handler
 * that returns this -ETIMEDOUT is run again within about 100 ms, and its
 * connection goes on.
 *
 * Other errors: -EINVAL the range is empty or not within shared_size,
 * -EMSGSIZE it has more than HANDOFF_SHARED_UNDO bytes, -ENOSPC with the ranges
 * before it there are more than HANDOFF_SHARED_UNDO bytes or
 * HANDOFF_SHARED_RANGES ranges.
 */
HANDOFF_API int handoff_conn_shared(
	struct handoff_conn *conn, size_t offset, size_t len, void **at);

/* The same, to read: any number of bytes, and no limit but the region's. */
HANDOFF_API int handoff_conn_shared_read(
	struct handoff_conn *conn, size_t offset, size_t len, const void **at);
/*
 * Posts bytes to other connections, or this one: they exist if the transaction
 * commits, and then each receiver takes them exactly once, in the order in
 * which they were posted, in a transaction of its own. A connection that begins
 * later does not get them. The poster never waits: receivers that fall behind
 * by more than post_size miss posts, see post_gaps.
 *
 * -EINVAL no bytes, an unknown `to`, or a `request` that is not to one;
 * -EMSGSIZE too long, -ENOENT there is certainly no such connection, -ENOBUFS
 * this transaction posts more than a quarter of post_size, -ENOMEM, -E2BIG a
 * field is set that this library does not know. The transaction can go on.
 */
HANDOFF_API int handoff_conn_post(
	struct handoff_conn *conn, const struct handoff_post *post);

/* The post that this transaction takes, in the hook `posted`; valid until it
 * returns. NULL in other handlers. */
HANDOFF_API const struct handoff_posted *handoff_conn_posted(
	const struct handoff_conn *conn);

/* The number of the request that the unconsumed input begins with, never 0: the
 * same when the handler is called again for it, in whichever process. See
 * HANDOFF_LATER. */
HANDOFF_API uint64_t handoff_conn_request(const struct handoff_conn *conn);

/* Sets the tag that selects this connection for posts, 0: none. It has the tag
 * at once, and keeps it when it moves. */
HANDOFF_API void handoff_conn_set_tag(struct handoff_conn *conn, uint64_t tag);

/* Ends the connection when the handler returns 0, without sending what is
 * unsent: with a reset, if it is TCP. */
HANDOFF_API void handoff_conn_abort(struct handoff_conn *conn);

/*
 * Pairs, in a service with a `pass_size`: a connection of a client, and one
 * that the service has made for it, to a backend. Both are served by the
 * handlers of this service, each with a state of its own, and move together.
 *
 * handoff_conn_connect asks for the second one; it is made after the commit, in
 * the background, within connect_timeout_ms of the server's options. If the
 * process dies before it is used the survivor makes another one. `address` is
 * "127.0.0.1:7000", "[::1]:7000" or "unix:/path", never a host name, which
 * would have to be looked up.
 *
 * 0, or -EINVAL: not such an address; -EISCONN: it has a pair, or waits for
 * one; -EOPNOTSUPP: the service has no pass_size.
 *
 * When the pair has ended or could not be connected, the handler is called:
 * then handoff_conn_pair_error says why. It may connect again; what it has
 * passed to a pair that could not be connected goes to the next one.
 */
HANDOFF_API int handoff_conn_connect(
	struct handoff_conn *conn, const char *address);

/* True for a connection that handoff_conn_connect has made. */
HANDOFF_API bool handoff_conn_outgoing(const struct handoff_conn *conn);

/* The number of the other connection of the pair; 0: there is none, or not
 * yet. */
HANDOFF_API uint64_t handoff_conn_pair(const struct handoff_conn *conn);

/* 0 if the connection has a pair or waits for one; otherwise why it has none:
 * -EPIPE, it has ended; -ETIMEDOUT, -ECONNREFUSED and other errors of
 * connect(2); -ENOTCONN, it never had one. */
HANDOFF_API int handoff_conn_pair_error(const struct handoff_conn *conn);

/* Appends up to `len` bytes to what the pair sends to its other end, and
 * returns how many were accepted; also before it is connected. When there was
 * no room the handler is called again once there is: leave the input
 * unconsumed. */
HANDOFF_API size_t handoff_conn_pass(
	struct handoff_conn *conn, const void *data, size_t len);

/* How many bytes handoff_conn_pass would accept now. */
HANDOFF_API size_t handoff_conn_pass_room(const struct handoff_conn *conn);

/* Nothing more is passed: once the pair has sent everything its sending
 * direction ends. A connection whose client has ended its own then stays until
 * the pair does the same. */
HANDOFF_API void handoff_conn_pass_end(struct handoff_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
