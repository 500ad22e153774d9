/* SPDX-License-Identifier: MIT */
/*
 * A transport: how notices get from the owner of a service to its subscribers.
 * It is a table of calls, chosen by the prefix of an address ("mq:DIR"), and it
 * carries messages: bytes that it does not interpret. Order, duplicates and
 * expiry are the callers' business, so a transport may lose, repeat or delay
 * messages as long as the latest one arrives in the end.
 *
 * To add a transport, write a file with such a table, and name it in the
 * list of all. Of the calls, those after `close` may be NULL. The files of this
 * folder, from the top down:
 *
 *   subscriber.c, publisher.c
 *                the two sides: any number of transports, each notice once
 *   transport.c  finds a transport by an address
 *   table.c      names the transports
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* addresses of one handle */
#define HANDOFF__NOTICES_MAX 16

/* What became of one message, counted in subscribers as far as the transport
 * knows them. */
struct handoff__told {
	uint32_t reached;
	uint32_t full;    /* it has not read earlier ones: it fetches the
			   * retained notice when it does */
	uint32_t pruned;  /* dead subscribers that were removed */
	uint32_t failed;  /* alive, but sending failed: tried again */
	uint32_t refused; /* by the engine, since another owner has published */
};

/* Which side of an address is opened. */
struct handoff__side {
	bool publishes; /* otherwise it subscribes */
	uint32_t user;  /* publisher: owner of the files that root creates; see
			 * handoff__dir_open */
};

/*
 * All calls belong to the thread of the handle and never block. `end` is what
 * open has made: one side of one address. Results are 0 or more, or a negative
 * errno.
 */
struct handoff__transport {
	const char *prefix; /* of its addresses, with the colon: "mq:" */
	const char *form;   /* of its addresses, for people: "mq:DIR" */

	/* Opens a side; `rest` is the address behind the prefix. On failure
	 * with a sentence: what was tried, on what, what came, what to do. */
	int (*open)(void **end, const char *rest,
		const struct handoff__side *side, struct handoff__error *error);

	/* A descriptor that is readable while `receive` has a message, or when
	 * `tend` has work; always the same. -1: there is none; then the end is
	 * asked ten times a second (subscriber) or once (publisher). Asked for
	 * once, after open. */
	int (*fd)(void *end);

	/* Subscriber: takes the oldest message: 1 with its length, possibly 0,
	 * in `*len`; 0 if there is none. On input `*len` is the size of `data`,
	 * HANDOFF__NOTICE_SIZE. */
	int (*receive)(void *end, void *data, size_t *len);

	/*
	 * Publisher: begins to send a message to all subscribers, and retains
	 * it for those that come later. What is left of the message before it
	 * is dropped. 0, also if there is nobody; after an error the message is
	 * published again.
	 */
	int (*publish)(void *end, const void *data, size_t len);

	void (*close)(void *end);

	/* Publisher: goes on sending, to at most `max` subscribers, and adds
	 * them to `*told`. 1 while more are left, 0 when done. `max` 0: leaves
	 * out the rest. NULL: publish has sent everything, which counts as one
	 * that was reached. */
	int (*step)(void *end, unsigned max, struct handoff__told *told);

	/* Publisher: reads the retained message, as receive does. A service
	 * that starts anew goes on from its numbers, or subscribers would take
	 * all new notices for old ones. */
	int (*retained)(void *end, void *data, size_t *len);

	/* Publisher: retains the message of the last publish again if it is
	 * gone: 1 if it was, 0 if it is there. About once a second. */
	int (*keep)(void *end);

	/* Either side: work that is due when its descriptor is readable, and
	 * about once a second: to connect again, to register again. */
	int (*tend)(void *end);

	/* A sentence about the state of the end, for an operator; "" if there
	 * is nothing to say. */
	const char *(*state)(void *end);
};

/* All transports, with NULL at the end. Alone in its file, so that a test can
 * put another list in its place. */
extern const struct handoff__transport *const handoff__transports[];

/* Finds the transport of an address, and what is behind its prefix. NULL if
 * there is none, with a sentence that begins with `object`. */
const struct handoff__transport *handoff__transport_find(const char *object,
	const char *address, const char **rest, struct handoff__error *error);

/* For lib/base/argv.h: whether a transport has this prefix. */
int handoff__transport_check(const char *address, struct handoff__error *error);

#endif
