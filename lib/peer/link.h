/* SPDX-License-Identifier: MIT */
/*
 * The link as a carrier of messages: a SEQPACKET socket in a loop, a bounded
 * queue for what the socket does not take, one callback for what arrives.
 * It knows how messages look and not what they mean.
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
	/* A message was lost because the descriptor table is full. */
	void (*overflow)(struct handoff__link *link);
	/* The socket takes messages again. */
	void (*writable)(struct handoff__link *link);
	/* The end, or what is not a message (-EBADMSG). */
	void (*closed)(struct handoff__link *link, int err);
};

struct handoff__link {
	int fd; /* -1: closed */
	struct handoff__loop *loop;
	struct handoff__watch watch;
	struct handoff__timer retry; /* when "writable" is not the truth */
	const struct handoff__link_ops *ops;
	void *arg;
	TAILQ_HEAD(, handoff__letter) queue;
	unsigned queued;
	bool blocked; /* waits for the socket to take more */
	bool woken;   /* was told that it does, and has sent nothing since */
};

void handoff__link_init(struct handoff__link *link, struct handoff__loop *loop,
	const struct handoff__link_ops *ops, void *arg);

/* Takes the connected socket over. */
int handoff__link_open(struct handoff__link *link, int fd);
void handoff__link_close(struct handoff__link *link);

/* Sends now: 1, or 0 if the socket takes no more (writable follows), or a
 * negative errno. Never queued, so the descriptors may be closed after. */
int handoff__link_try(struct handoff__link *link,
	const struct handoff__msg *msg, const int *fds, size_t nfds);

/* Sends now or later, in order. `fd` (or -1) must stay open as long as the
 * link. -ENOBUFS when the queue is at its bound: the peer does not read. */
int handoff__link_send(
	struct handoff__link *link, const struct handoff__msg *msg, int fd);

/* Handles what has arrived, up to a bound; for callers that can't wait for
 * the loop to come round. */
void handoff__link_read(struct handoff__link *link);

/* One message over a bare socket, before there is a loop; waits until the
 * deadline (CLOCK_MONOTONIC, us). Descriptors that come are closed. */
int handoff__link_send_sync(int fd, const struct handoff__msg *msg);
int handoff__link_recv_sync(
	int fd, struct handoff__msg *msg, int64_t deadline_us);

#endif
