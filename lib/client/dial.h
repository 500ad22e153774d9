/* SPDX-License-Identifier: MIT */
/*
 * One attempt to connect to an endpoint: resolves its name anew, then tries its
 * addresses in order, each within the timeout.
 */
#ifndef HANDOFF_CLIENT_DIAL_H
#define HANDOFF_CLIENT_DIAL_H

#include "base/loop.h"
#include "client/resolve.h"

struct handoff__dial;

/* `fd` is a connected socket, now owned by the callee, or a negative errno
 * with the reason in `text`. For a socket `text` is the address it is
 * connected to. */
typedef void handoff__dial_fn(
	struct handoff__dial *dial, int fd, const char *text);

struct handoff__dial {
	struct handoff__loop *loop;
	handoff__dial_fn *done;
	void *arg;
	uint32_t timeout_ms;
	uint32_t user_timeout_ms;

	struct handoff__resolve *resolve;
	struct handoff__addr addr;
	struct handoff__resolved addresses;
	size_t next;                       /* index of the address to try */
	int fd;                            /* the connecting socket, or -1 */
	char address[HANDOFF_ADDRESS_MAX]; /* that `fd` connects to */
	char failure[HANDOFF_TEXT_MAX];    /* why the last address failed */
	int err;                           /* its negative errno */
	struct handoff__watch watch;
	struct handoff__timer timer;
};

/* The owner then sets loop, done, arg and the timeouts. */
void handoff__dial_init(struct handoff__dial *dial);

/* Starts an attempt. Calls `done` once, possibly before this returns. */
void handoff__dial_start(
	struct handoff__dial *dial, const struct handoff__addr *addr);

/* Cancels an attempt, if one is in progress, without calling `done`. */
void handoff__dial_cancel(struct handoff__dial *dial);

#endif
