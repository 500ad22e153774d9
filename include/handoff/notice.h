/* SPDX-License-Identifier: MIT */
/*
 * Maintenance notices: how a service tells its clients which peer serves. An
 * address names the transport: "mq:DIR" for POSIX message queues
 * (mq_overview(7)), "sysv:DIR" for System V message queues (sysvipc(7)),
 * "unix:DIR" for datagram sockets (unix(7)). A server publishes on any number
 * of them, and a subscriber takes each notice once, however many bring it.
 */
#ifndef HANDOFF_NOTICE_H
#define HANDOFF_NOTICE_H

#include <handoff/common.h>

#ifdef __cplusplus
extern "C" {
#endif

enum handoff_notice_kind {
	HANDOFF_NOTICE_MAINTENANCE = 1, /* the other peer serves now: stay */
	HANDOFF_NOTICE_READY = 2,       /* come home */
	HANDOFF_NOTICE_FAILOVER = 3,    /* the owner died: stay, unless the
					 * upper half of `generation`, the
					 * lease's token, has changed: then all
					 * connections have ended */
	HANDOFF_NOTICE_GOODBYE = 4,     /* the service ends, on this host */
};

/* "MAINTENANCE", ..., or "?" for a kind unknown to this version. */
HANDOFF_API const char *handoff_notice_kind_name(enum handoff_notice_kind k);

#define HANDOFF_NOTICE_ENDPOINTS 4

/* Belongs to the library; may grow at its end. */
struct handoff_notice {
	char service[HANDOFF_NAME_MAX];
	char serving[HANDOFF_NAME_MAX]; /* the peer that serves now */
	enum handoff_notice_kind kind;
	uint64_t generation; /* of the service; increases with every handoff */
	uint64_t seq;        /* of the notice within its generation */
	uint32_t grace_ms;   /* how long the announced state is meant to last */
	uint32_t spread_ms;  /* READY: come at a random time within this */
	int64_t expires_ms;  /* CLOCK_REALTIME in ms since 1970; 0: never */
	uint32_t nendpoints;
	char endpoints[HANDOFF_NOTICE_ENDPOINTS][HANDOFF_ADDRESS_MAX];
};

struct handoff_subscriber;

struct handoff_subscriber_opts {
	size_t size;
	const char *address; /* such as "mq:DIR"; DIR must exist and be private
			      * to this user */
	char *errbuf;        /* where open() writes its error */
	size_t errbuf_size;
	const char *const *addresses; /* up to 16 more, or instead */
	size_t naddresses;
};

/*
 * Subscribes. The latest notice, if it is retained and has not expired, is
 * delivered at once. Errors: -EINVAL, -EACCES, -ENOENT, and -EMFILE, -ENOSPC
 * and others when a limit is reached; `errbuf` names the limit. A handle
 * belongs to the process that has opened it: a child may only free it.
 */
HANDOFF_API int handoff_subscriber_open(struct handoff_subscriber **out,
	const struct handoff_subscriber_opts *opts);

/* Unsubscribes; NULL is fine. Afterwards the descriptor is closed, and what
 * notices and errmsg pointed to is invalid. */
HANDOFF_API void handoff_subscriber_free(struct handoff_subscriber *sub);

/* Returns one pollable descriptor, always the same and only ever POLLIN, for
 * the program's own loop; it belongs to the library. Or a negative errno. */
HANDOFF_API int handoff_subscriber_fd(struct handoff_subscriber *sub);

/* Waits up to `timeout_ms` (-1: forever) until there may be a notice to pull,
 * and keeps the subscription alive: 0, also after a timeout or a signal; or a
 * negative errno. */
HANDOFF_API int handoff_subscriber_wait(
	struct handoff_subscriber *sub, int timeout_ms);

/*
 * Pulls the next notice that is newer than all before it, by (generation, seq),
 * and has not expired: 1 with `*notice`, which belongs to the library and is
 * valid until the next call of next or wait; 0 if there is none; or a negative
 * errno. Never blocks. Call it occasionally even when the descriptor is not
 * readable: it subscribes again if the directory was cleaned or removed.
 */
HANDOFF_API int handoff_subscriber_next(
	struct handoff_subscriber *sub, const struct handoff_notice **notice);

HANDOFF_API const char *handoff_subscriber_errmsg(
	const struct handoff_subscriber *sub);

#ifdef __cplusplus
}
#endif

#endif
