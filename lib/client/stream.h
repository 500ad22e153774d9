/* SPDX-License-Identifier: MIT */
/*
 * One established connection: reading, writing from an outbox, ending one
 * direction or all of it. A connection always ends by its reading side, so
 * that what the server had sent is delivered whatever happens to our sending.
 */
#ifndef HANDOFF_CLIENT_STREAM_H
#define HANDOFF_CLIENT_STREAM_H

#include "base/loop.h"
#include "client/outbox.h"

#include <sys/types.h>

struct handoff__stream {
	struct handoff__loop *loop;
	struct handoff__watch watch;
	int fd;          /* -1: none */
	size_t endpoint; /* that it was made to */
	int64_t since_us;
	bool reading;    /* wants to know when it is readable */
	bool blocked;    /* the kernel's send buffer is full */
	bool delivered;  /* has brought data */
	bool ended;      /* our sending side is closed in good order */
	bool cut;        /* nothing can be sent any more */
	int err;         /* why it was cut; a negative errno */
	bool readable;   /* there may be something to read */
	unsigned budget; /* reads until the loop must have had its turn */
};

/* The owner sets watch.fn; watch.arg is the connection's owner's too. */
void handoff__stream_init(struct handoff__stream *conn,
	struct handoff__loop *loop, handoff__ready_fn *fn, void *arg);

/* Takes the socket, which is closed on failure. */
int handoff__stream_open(
	struct handoff__stream *conn, int fd, size_t endpoint, bool reading);
void handoff__stream_close(struct handoff__stream *conn);
bool handoff__stream_is_open(const struct handoff__stream *conn);

/* Begins to read. */
void handoff__stream_resume(struct handoff__stream *conn);

/* What epoll said: clears `blocked`, sets `readable`. A connection that is not
 * read and breaks leaves the epoll set, which would go on firing. */
void handoff__stream_event(struct handoff__stream *conn, uint32_t events);

/* Like recv(2): bytes, 0 at the end, a negative errno, -EAGAIN for nothing
 * now. At the end of a connection that was cut it says why. */
ssize_t handoff__stream_read(
	struct handoff__stream *conn, void *data, size_t size);

/* Sends up to `limit` bytes of the outbox. Returns how many were taken, or a
 * negative errno: nothing can be sent any more. All is sent unless `blocked`
 * is set. */
ssize_t handoff__stream_write(struct handoff__stream *conn,
	struct handoff__outbox *box, size_t limit);

/* Closes our sending side in good order. */
void handoff__stream_end(struct handoff__stream *conn);

/* Nothing more comes or goes; what has arrived can still be read. */
void handoff__stream_cut(struct handoff__stream *conn, int err);

#endif
