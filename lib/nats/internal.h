/* SPDX-License-Identifier: MIT */
/*
 * The NATS component from the inside: two transports of notices. A thread per
 * end does all that may block, to which the client library's calls belong;
 * the thread of the handle only takes what that one has left, under a lock.
 *
 * Each file calls only those below it:
 *
 *   register.c  the tables, and the calls in the thread of the handle
 *   helper.c    the thread: connects, waits, connects again
 *   session.c   what is said on one connection: subscribing, asking for the
 *               retained message, publishing
 *   link.c      a connection of the client library, driven by our descriptors
 *   end.c       what both threads share
 *   answer.c    the text of JetStream's requests and answers
 *   address.c   addresses, and files with secrets
 */
#ifndef HANDOFF_NATS_INTERNAL_H
#define HANDOFF_NATS_INTERNAL_H

#include "nats/end.h"

/* helper.c */

/* Starts the thread of the end, which lives until handoff__nats_end_stop.
 * -ENOTSUP: this process was forked from one that has started one. */
int handoff__nats_start(struct handoff__nats_end *end);

#endif
