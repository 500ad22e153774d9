/* SPDX-License-Identifier: MIT */
/*
 * The library's own transports, and those that a program has added. To add one
 * to the library, write a file with a table as handoff/transport.h describes
 * it, and name it in the list of all. The files of this folder, from the top
 * down:
 *
 *   subscriber.c, publisher.c
 *                the two sides: any number of transports, each notice once
 *   transport.c  adds transports, and finds one by an address
 *   table.c      names those of the library
 *   mq.c         POSIX message queues
 *   sysv.c       System V message queues
 *   datagram.c   Unix datagram sockets
 *   local.c      what the transports of one host have in common: a service
 *                directory, a folder of subscribers, the retained notice
 *   helper.c     the thread that makes a System V queue pollable
 *   registry.c   the locked files of subscribers
 *   notice.c     the encoding of notices, their order and expiry
 */
#ifndef HANDOFF_NOTICE_TRANSPORT_H
#define HANDOFF_NOTICE_TRANSPORT_H

#include "base/text.h"
#include "notice/notice.h"

#include <handoff/transport.h>

/* addresses of one handle */
#define HANDOFF__NOTICES_MAX 16

/* Those of the library, with NULL at the end. Alone in its file, so that a test
 * can put another list in its place. */
extern const struct handoff_transport *const handoff__transports[];

/* Finds the transport of an address, and what is behind its prefix. NULL if
 * there is none, with a sentence that begins with `object`. */
const struct handoff_transport *handoff__transport_find(const char *object,
	const char *address, const char **rest, struct handoff__error *error);

/* For lib/base/argv.h: whether a transport has this prefix. */
int handoff__transport_check(const char *address, struct handoff__error *error);

/* The greatest generation of the notices that this subscriber has got and did
 * not deliver, such as one that had expired; 0: there was none. */
uint64_t handoff__subscriber_skipped(const struct handoff_subscriber *sub);

#endif
