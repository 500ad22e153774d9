/* SPDX-License-Identifier: MIT */
/*
 * The link as a carrier of messages: a SEQPACKET socket in a loop, a bounded
 * queue for what the socket does not take, one callback for what arrives.
 * It knows how messages look and not what they mean. What breaks it is noted
 * in `broken`, and the owner of the link acts on it after the iteration: no
 * call here closes it from inside.
 */
#ifndef HANDOFF_PEER_LINK_H
#define HANDOFF_PEER_LINK_H

#include "base/loop.h"
#include "peer/message.h"

#include <sys/queue.h>

struct handoff__link;
struct handoff__letter;

struct handoff__link_ops {
	/* A message with its descriptors, which the callback owns. */
	void (*message)(struct handoff__link *link,
		const struct handoff__msg *msg, const int *fds, size_t nfds);
	/* The same, but its descriptors found no room in the table. */
	void (*lost)(
		struct handoff__link *link, const struct handoff__msg *msg);
	/* The socket takes messages again. */
	void (*writable)(struct handoff__link *link);
};

struct handoff__link {
	int fd;     /* -1: closed */
	int broken; /* a negative errno: nothing is sent any more. -ECONNRESET:
		       its end was read, -EBADMSG: what is not a message,
		       -ENOBUFS: the other does not read */
	struct handoff__loop *loop;
	struct handoff__watch watch;
	struct handoff__timer retry; /* when "writable" is not the truth */
	const struct handoff__link_ops *ops;
	void *arg;
	TAILQ_HEAD(, handoff__letter) queue;
	unsigned queued;
	unsigned failures; /* of recvmsg in a row that may pass */
	bool blocked;      /* waits for the socket to take more */
	bool woken; /* was told that it does, and has sent nothing since */
};

void handoff__link_init(struct handoff__link *link, struct handoff__loop *loop,
	const struct handoff__link_ops *ops, void *arg);

/* Takes the connected socket over. */
int handoff__link_open(struct handoff__link *link, int fd);
void handoff__link_close(struct handoff__link *link);

/* Notes what has broken the link; the first error stays. */
void handoff__link_fail(struct handoff__link *link, int err);

/* Is it open, and is nothing known to be wrong with it? */
static inline bool
handoff__link_up(const struct handoff__link *link)
{
	return link->fd >= 0 && link->broken == 0;
}

/* Sends now: 1, or 0 if the socket takes no more (writable follows), or a
 * negative errno: the link is broken, but for -EMSGSIZE, of a message with
 * descriptors that is too long. Never queued, so the descriptors may be
 * closed after. */
int handoff__link_try(struct handoff__link *link,
	const struct handoff__msg *msg, const int *fds, size_t nfds);

/* Sends now or later, in order. `fd` (or -1) must stay open as long as the
 * link. A message that can neither be sent nor queued breaks the link. */
void handoff__link_send(
	struct handoff__link *link, const struct handoff__msg *msg, int fd);

/* Handles what has arrived, up to a bound; for callers that can't wait for
 * the loop to come round. Also of a broken link: what came before its end
 * counts. False when there is nothing more to read. */
bool handoff__link_read(struct handoff__link *link);

/* One message over a bare socket, before there is a link. `fd`, or -1, goes
 * with it. */
int handoff__link_send_sync(int sock, const struct handoff__msg *msg, int fd);
/* Waits until the deadline (CLOCK_MONOTONIC, us; 0: not at all, -ETIMEDOUT).
 * `*fd` is the descriptor that came along, the caller's, or -1. */
int handoff__link_recv_sync(
	int sock, struct handoff__msg *msg, int *fd, int64_t deadline_us);

#endif
