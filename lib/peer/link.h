/* SPDX-License-Identifier: MIT */
/*
 * The link as a transport of messages: a SEQPACKET socket in a loop, a bounded
 * queue for messages that the socket does not take, and one callback for
 * arrivals. It knows the format of messages but not their meaning. An error is
 * noted in `broken`, and the link's owner acts on it after the iteration: no
 * call here closes the link by itself.
 */
#ifndef HANDOFF_PEER_LINK_H
#define HANDOFF_PEER_LINK_H

#include "base/loop.h"
#include "peer/message.h"

#include <sys/queue.h>

struct handoff__link;
struct handoff__letter;

struct handoff__link_ops {
	/* A message with its descriptors, which the callback then owns. */
	void (*message)(struct handoff__link *link,
		const struct handoff__msg *msg, const int *fds, size_t nfds);
	/* The same, but the descriptors did not fit into the table. */
	void (*lost)(
		struct handoff__link *link, const struct handoff__msg *msg);
	/* The socket accepts messages again. */
	void (*writable)(struct handoff__link *link);
};

struct handoff__link {
	int fd;     /* -1: closed */
	int broken; /* a negative errno: no longer usable for sending.
		     * -ECONNRESET: its end was read, -EBADMSG: a malformed
		     * message, -ENOBUFS: the other peer does not read */
	struct handoff__loop *loop;
	struct handoff__watch watch;
	struct handoff__timer retry; /* for a socket that is writable but
				      * refuses descriptors */
	const struct handoff__link_ops *ops;
	void *arg;
	TAILQ_HEAD(, handoff__letter) queue;
	unsigned queued;
	unsigned failures; /* consecutive transient failures of recvmsg */
	bool blocked;      /* waiting for the socket to accept more */
	bool woken; /* was reported writable and has sent nothing since */
};

void handoff__link_init(struct handoff__link *link, struct handoff__loop *loop,
	const struct handoff__link_ops *ops, void *arg);

/* Takes over the connected socket. */
int handoff__link_open(struct handoff__link *link, int fd);
void handoff__link_close(struct handoff__link *link);

/* Notes the error that has broken the link; the first one is kept. */
void handoff__link_fail(struct handoff__link *link, int err);

/* Whether the link is open and not known to be broken. */
static inline bool
handoff__link_up(const struct handoff__link *link)
{
	return link->fd >= 0 && link->broken == 0;
}

/* Sends now: 1, or 0 if the socket accepts no more (writable follows), or a
 * negative errno: the link is broken, except for -EMSGSIZE, a message with
 * descriptors that is too long. Nothing is queued, so the descriptors may be
 * closed afterwards. */
int handoff__link_try(struct handoff__link *link,
	const struct handoff__msg *msg, const int *fds, size_t nfds);

/* Sends now or later, in order. `fd` (or -1) must stay open as long as the
 * link. A message that can be neither sent nor queued breaks the link. */
void handoff__link_send(
	struct handoff__link *link, const struct handoff__msg *msg, int fd);

/* Handles arrivals, up to a bound, for callers that cannot wait for the loop.
 * Works on a broken link too: messages sent before its end count. False when
 * there is nothing more to read. */
bool handoff__link_read(struct handoff__link *link);

/* Sends one message over a bare socket, before there is a link, with `fd`,
 * unless that is -1. */
int handoff__link_send_sync(int sock, const struct handoff__msg *msg, int fd);
/* Receives one message until the deadline (CLOCK_MONOTONIC in us; 0: do not
 * wait, -ETIMEDOUT). `*fd` is the descriptor that came with it, now the
 * caller's, or -1. */
int handoff__link_recv_sync(
	int sock, struct handoff__msg *msg, int *fd, int64_t deadline_us);

#endif
