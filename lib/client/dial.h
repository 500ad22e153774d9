/* SPDX-License-Identifier: MIT */
/*
 * One attempt to connect to an endpoint: resolves its name anew, then tries
 * its addresses in order, each within the timeout.
 */
#ifndef HANDOFF_CLIENT_DIAL_H
#define HANDOFF_CLIENT_DIAL_H

#include "base/loop.h"
#include "client/resolve.h"

struct handoff__dial;

/* `fd` is a connected socket, which is the callee's from here on, or -1 with a
 * reason in `text`. `text` for a socket is the address it is connected to. */
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
	struct handoff__addresses addresses;
	size_t next;                       /* address to try */
	int fd;                            /* the socket that connects, or -1 */
	char address[HANDOFF_ADDRESS_MAX]; /* that it connects to */
	char failure[HANDOFF_TEXT_MAX];    /* of the address tried last */
	struct handoff__watch watch;
	struct handoff__timer timer;
};

/* The owner sets loop, done, arg and the timeouts afterwards. */
void handoff__dial_init(struct handoff__dial *dial);

/* Starts an attempt. `done` is called once, maybe before this returns. */
void handoff__dial_start(
	struct handoff__dial *dial, const struct handoff__addr *addr);

/* Ends an attempt, if one is under way, without calling `done`. */
void handoff__dial_cancel(struct handoff__dial *dial);

#endif
