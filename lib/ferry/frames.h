/* SPDX-License-Identifier: MIT */
/*
 * One connection to the other ferry: a TLS session over a socket, and frames in
 * it. Does not know what becomes of it when it ends.
 */
#ifndef HANDOFF_FERRY_FRAMES_H
#define HANDOFF_FERRY_FRAMES_H

#include "base/loop.h"
#include "base/text.h"
#include "ferry/tls.h"

#include <sys/uio.h>

#define HANDOFF__FRAME_HEAD 8 /* u32 length, u32 type */

struct handoff__frames;

/* Called from the loop only, never from _put or _flush. Each may close. */
struct handoff__frames_ops {
	/* Both have shown their certificates (see tls_handshake). */
	void (*ready)(struct handoff__frames *f);
	void (*frame)(struct handoff__frames *f, uint32_t type,
		const void *body, uint32_t len);
	void (*sent)(struct handoff__frames *f); /* fewer bytes are queued */
	/* It can not go on; the callee closes it. */
	void (*broken)(struct handoff__frames *f, const char *why);
	/* It is closed and nothing refers to it any more: free it. */
	void (*gone)(struct handoff__frames *f);
};

struct handoff__bytes {
	char *data;
	size_t head, tail, cap; /* those from head to tail are there */
};

struct handoff__frames {
	struct handoff__loop *loop;
	struct handoff__watch watch;
	struct handoff__tls_session *session;
	const struct handoff__frames_ops *ops;
	void *arg;
	uint32_t frame_max;
	int fd;       /* -1: closed */
	bool secured; /* the handshake is over */
	bool blocked; /* the socket takes no more for now */
	bool ending;  /* nothing is sent any more, and what comes is dropped */
	bool busy;    /* in a callback of the loop */
	bool failed;  /* `why` is to be told by the loop */
	struct handoff__bytes in, out; /* not encrypted */
	int64_t came_us;               /* when bytes came last */
	int64_t put_us;                /* when a frame was put last */
	struct handoff__error why;
};

/* Takes the connected, non-blocking socket, on failure too (-errno with a
 * sentence). `f` lies in what ops->gone frees; gone is not called on
 * failure. */
int handoff__frames_open(struct handoff__frames *f, int fd,
	const struct handoff__tls *tls, bool dialled,
	struct handoff__error *error);

/* Closes at once; gone follows, maybe before this returns. */
void handoff__frames_close(struct handoff__frames *f);

/* Sends what is queued and the end of the session as far as the socket takes
 * it. The connection stays for the other side to read; broken is called when it
 * has closed. */
void handoff__frames_end(struct handoff__frames *f);

/* Reads now what has come. False if that has closed it and `f` is gone. */
bool handoff__frames_read(struct handoff__frames *f);

/* Queues a frame whose body is the pieces, `len` bytes in all. -ENOMEM. */
int handoff__frames_put(struct handoff__frames *f, uint32_t type,
	const struct iovec *pieces, unsigned count, size_t len);

/* Sends what the socket takes. */
void handoff__frames_flush(struct handoff__frames *f);

/* Bytes that the kernel has not taken yet. */
size_t handoff__frames_queued(const struct handoff__frames *f);

#endif
