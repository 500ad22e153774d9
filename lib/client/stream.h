/* SPDX-License-Identifier: MIT */
/*
 * One established connection: reading, writing from an outbox, closing one
 * direction or both; through a layer, if it has one. A connection always ends
 * on its reading side, so that data the server has sent is delivered whatever
 * happens to the sending side.
 */
#ifndef HANDOFF_CLIENT_STREAM_H
#define HANDOFF_CLIENT_STREAM_H

#include "base/loop.h"
#include "client/layer.h"
#include "client/outbox.h"

#include <sys/types.h>

struct handoff__stream {
	struct handoff__loop *loop;
	struct handoff__watch watch;
	int fd;          /* -1: none */
	size_t endpoint; /* that it connects to */
	int64_t since_us;
	bool reading;    /* watched for input */
	bool blocked;    /* the kernel's send buffer is full */
	bool delivered;  /* has delivered data; of frames, their owner says */
	bool ended;      /* half-closed: our sending direction has ended */
	bool cut;        /* sending is no longer possible */
	int err;         /* why it was cut; a negative errno */
	bool readable;   /* there may be data to read */
	unsigned budget; /* reads left before the loop runs again */

	struct handoff__layered layered;
	size_t sealed; /* bytes of the outbox that the layer has and the kernel
			* does not have whole */
	bool ending;   /* the layer's sending direction has ended */
	bool held;     /* the layer has something to be read */
};

/* The owner sets watch.fn; watch.arg is the owner's too. */
void handoff__stream_init(struct handoff__stream *conn,
	struct handoff__loop *loop, handoff__ready_fn *fn, void *arg);

/* Takes ownership of the socket and closes it on failure. */
int handoff__stream_open(
	struct handoff__stream *conn, int fd, size_t endpoint, bool reading);
/* A layer ends in order, if that can be. */
void handoff__stream_close(struct handoff__stream *conn);
bool handoff__stream_is_open(const struct handoff__stream *conn);

/* Puts a layer on a new connection: its handshake begins. False if there is no
 * memory. */
bool handoff__stream_wrap(struct handoff__stream *conn,
	const struct handoff_client_layer *layer, const char *endpoint);

/* Goes on with the handshake. Returns 1 when it is done, 0 while it is not, or
 * a negative errno. */
int handoff__stream_shake(struct handoff__stream *conn);

/* What this errno of reading means: a sentence, valid until the next call. */
const char *handoff__stream_why(const struct handoff__stream *conn, int err);

/* Whether a read may find something. */
static inline bool
handoff__stream_is_due(const struct handoff__stream *conn)
{
	return conn->fd >= 0 && (conn->readable || conn->held);
}

/* Starts reading. */
void handoff__stream_resume(struct handoff__stream *conn);

/* Stops reading. */
void handoff__stream_rest(struct handoff__stream *conn);

/* Handles epoll's events: clears `blocked`, sets `readable`. A broken
 * connection that is not being read leaves the epoll set, which would report it
 * forever. */
void handoff__stream_event(struct handoff__stream *conn, uint32_t events);

/* Like recv(2): bytes, 0 at the end, or a negative errno; -EAGAIN if nothing is
 * there. At the end of a connection that was cut it returns the reason. */
ssize_t handoff__stream_read(
	struct handoff__stream *conn, void *data, size_t size);

/* Sends what it can of these pieces, past the layer. Returns the number of
 * bytes, 0 if `blocked` is set, or a negative errno if sending is no longer
 * possible. */
ssize_t handoff__stream_send(
	struct handoff__stream *conn, struct iovec *iov, int pieces);

/* Sends up to `limit` bytes of the outbox. Returns the number sent, or a
 * negative errno if sending is no longer possible. Fewer than `limit` were sent
 * only if `blocked` is set. With a layer a byte is sent when the kernel has all
 * of the cipher text that it is in. */
ssize_t handoff__stream_write(struct handoff__stream *conn,
	struct handoff__outbox *box, size_t limit);

/* Half-closes: ends our sending direction. With a layer only once the kernel
 * has what the layer ends with. */
void handoff__stream_end(struct handoff__stream *conn);

/* Closes both directions; data that has arrived can still be read. */
void handoff__stream_cut(struct handoff__stream *conn, int err);

#endif
