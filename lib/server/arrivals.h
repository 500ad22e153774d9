/* SPDX-License-Identifier: MIT */
/*
 * Connections that this peer has got from another one.
 */
#ifndef HANDOFF_SERVER_ARRIVALS_H
#define HANDOFF_SERVER_ARRIVALS_H

struct handoff__member;

/* The connection is this peer's, and quiet: it gets a turn if it needs one. If
 * a ferry has left its socket incomplete it gets none, and is neither watched
 * nor ended in order, until it is called again and the socket is complete: a
 * stall, which is retried. */
void handoff__arrivals_begin(struct handoff__member *member);

#endif
