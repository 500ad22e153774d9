/* SPDX-License-Identifier: MIT */
/*
 * Transports of notices: how these get from the owner of a service to its
 * subscribers. A transport is a table of calls, chosen by the prefix of an
 * address ("mq:DIR"). A program may add some to those of the library; then all
 * its servers, clients and subscribers know their addresses.
 *
 * A transport carries messages: bytes that it does not interpret. Order,
 * duplicates and expiry are the library's business, so it may lose, repeat or
 * delay messages as long as the latest one arrives in the end.
 */
#ifndef HANDOFF_TRANSPORT_H
#define HANDOFF_TRANSPORT_H

#include <handoff/common.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* No message is longer. Bytes behind its end are ignored: it may be padded. */
#define HANDOFF_TRANSPORT_MESSAGE_MAX 768

#define HANDOFF_TRANSPORT_ADDED_MAX 16 /* by one process */

/* What became of one message, counted in subscribers as far as the transport
 * knows them. May grow at its end. */
struct handoff_transport_told {
	uint32_t reached;
	uint32_t full;    /* it has not read earlier ones: it fetches the
			   * retained message when it does */
	uint32_t pruned;  /* dead subscribers that were removed */
	uint32_t failed;  /* alive, but sending failed: tried again */
	uint32_t refused; /* by the engine, since another owner has published */
};

/* Which side of an address is opened. `size` is that of the library; it may
 * grow at its end. */
struct handoff_transport_side {
	size_t size;
	bool publishes; /* otherwise it subscribes */
	uint32_t user;  /* publisher, run by root: the owner of files that it
			 * creates; 0: root */
};

/*
 * All calls are made in the thread of the handle and must not block. `end` is
 * what open has made: one side of one address. Results are 0 or more, or a
 * negative errno. Those after `close` may be NULL. In a child (fork(2)) of the
 * process that has opened it an end is only closed: what it shares with the
 * parent must stay.
 */
struct handoff_transport {
	size_t size;        /* sizeof(struct handoff_transport) */
	const char *prefix; /* of its addresses, with the colon: "mq:" */
	const char *form;   /* of its addresses, for people: "mq:DIR" */

	/* Opens a side and stores it in `*end`; `rest` is the address behind
	 * the prefix. On failure with a sentence: what was tried, on what, what
	 * came, what to do. An engine that is not reachable is no failure: the
	 * end connects later. */
	int (*open)(void **end, const char *rest,
		const struct handoff_transport_side *side, char *errbuf,
		size_t errbuf_size);

	/* A descriptor, always the same: of a subscriber readable while
	 * `receive` has a message or other work, of a publisher when `tend` or
	 * `step` has. -1: there is none; then the end is asked ten times a
	 * second (subscriber) or once (publisher). */
	int (*fd)(void *end);

	/* Subscriber: takes the oldest message: 1 with its length, possibly 0,
	 * in `*len`; 0 if there is none. On input `*len` is the size of `data`,
	 * at least HANDOFF_TRANSPORT_MESSAGE_MAX. The latest message must be
	 * among those that a new subscriber gets. */
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
	 * them to `*told`. 1 while more are left, 0 when done; -EAGAIN: nothing
	 * can be done until the descriptor is readable. `max` 0: leaves out the
	 * rest. NULL: publish has sent everything, which counts as one that was
	 * reached. */
	int (*step)(
		void *end, unsigned max, struct handoff_transport_told *told);

	/* Publisher: reads the retained message, as receive does; -EAGAIN: it
	 * is not known yet, ask again when the descriptor is readable. A
	 * service that starts anew goes on from its numbers, or subscribers
	 * would take all new notices for old ones. */
	int (*retained)(void *end, void *data, size_t *len);

	/* Publisher: retains the message of the last publish again if it is
	 * gone: 1 if it was, 0 if it is there. About once a second. */
	int (*keep)(void *end);

	/* Either side: work that is due about once a second, and for a
	 * publisher when its descriptor is readable: to connect again, to
	 * register again. */
	int (*tend)(void *end);

	/* A sentence about the state of the end, for an operator; "" if there
	 * is nothing to say, as of a subscriber that lacks nothing. Valid until
	 * the next call. */
	const char *(*state)(void *end);
};

/*
 * Adds a transport to this process, before a handle is opened that uses it, and
 * for good. The library copies the table; the strings must stay. -EEXIST:
 * there is one whose addresses begin like that; -ENOSPC: that is one too many;
 * -EINVAL: the prefix is not 1 to 15 characters of [a-z0-9+.-] with a colon
 * behind, or a call before `step` is missing; -E2BIG: it has calls that this
 * version does not know. `errbuf`, which may be NULL, gets a sentence.
 * Thread-safe.
 */
HANDOFF_API int handoff_transport_add(const struct handoff_transport *transport,
	char *errbuf, size_t errbuf_size);

#ifdef __cplusplus
}
#endif

#endif
