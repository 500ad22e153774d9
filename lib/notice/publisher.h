/* SPDX-License-Identifier: MIT */
/*
 * The owner's side: retains a notice in the service directory and sends it by
 * every transport, to a few subscribers per step, so that many of them do not
 * delay the server's loop.
 */
#ifndef HANDOFF_NOTICE_PUBLISHER_H
#define HANDOFF_NOTICE_PUBLISHER_H

#include "base/dir.h"
#include "notice/transport.h"

#include <stdbool.h>

/* One address that notices are published on. */
struct handoff__outlet {
	const struct handoff_transport *transport;
	void *end;
	char *address;
	bool stepping; /* subscribers are left to send to */
	bool blocked;  /* stepping, but only once its descriptor is readable */
	bool complete; /* no subscriber was missed, and it is retained */
	int err;       /* of the last attempt; 0: none */
	/* the last attempt at the current notice */
	struct handoff_transport_told told;
	uint64_t generation, seq; /* of the current notice; 0: none yet */
};

struct handoff__publisher {
	const struct handoff__dir *dir;
	struct handoff__outlet outlets[HANDOFF__NOTICES_MAX];
	size_t noutlets;
	bool kept; /* the notice is retained in the service directory */
	unsigned char message[HANDOFF__NOTICE_SIZE];
	size_t len;
	struct handoff_transport_told
		told; /* the same as the outlets', added up */
};

/* Opens the addresses; without any it is "mq:DIR" of the service directory,
 * which must outlive the publisher. `user` as in struct handoff_transport_side.
 * On failure nothing is open. */
int handoff__publisher_open(struct handoff__publisher *pub,
	const struct handoff__dir *dir, const char *const *addresses,
	size_t naddresses, uint32_t user, struct handoff__error *error);

/* Also of a publisher that is all zero. */
void handoff__publisher_close(struct handoff__publisher *pub);

/*
 * Replaces the retained notice, then starts sending to the subscribers. Any
 * rest of an earlier notice is skipped, since the newer one supersedes it. A
 * negative errno if the notice could not be retained, or a transport could not
 * begin: the others' present subscribers get it all the same. -EINVAL: a field
 * is invalid, nothing was done.
 */
int handoff__publisher_begin(
	struct handoff__publisher *pub, const struct handoff_notice *notice);

/* Leaves out the subscribers that are left: the notice is only retained. */
void handoff__publisher_skip(struct handoff__publisher *pub);

/* Retains the current notice if that failed before, or if it is gone. 1 if it
 * was written, 0 if not needed, or a negative errno. */
int handoff__publisher_keep(struct handoff__publisher *pub);

/* Checks whether a notice could be retained now: 0 or a negative errno. */
int handoff__publisher_probe(const struct handoff__publisher *pub);

/* True if no step is left, the notice is retained and no subscriber was
 * missed. */
bool handoff__publisher_done(const struct handoff__publisher *pub);

/* If not: retains the notice, then starts over with all subscribers of the
 * transports that have missed one; they drop a duplicate by its order. Returns
 * as handoff__publisher_begin. */
int handoff__publisher_retry(struct handoff__publisher *pub);

/* Handles up to `max` further entries. 1 while more are left, 0 when done;
 * -EAGAIN: nothing can be done before handoff__publisher_tend. */
int handoff__publisher_step(struct handoff__publisher *pub, unsigned max);

/* Steps to the end, for at most this time; what is left then is missed. */
void handoff__publisher_finish(struct handoff__publisher *pub, int timeout_ms);

/* True if the notice is not retained, or a transport that has done its steps
 * has missed a subscriber. */
bool handoff__publisher_missed(const struct handoff__publisher *pub);

/* Reads the newest notice that is retained anywhere, expired or not: 1, 0 if
 * there is none, or a negative errno; -EBADMSG if the file in the service
 * directory holds anything else. Waits up to `timeout_ms` for transports that
 * do not know it yet; from those that still do not it counts as none. */
int handoff__publisher_retained(struct handoff__publisher *pub, int timeout_ms,
	struct handoff_notice *notice);

/* Work of the transports that is due; about once a second, and when the
 * descriptor of one is readable. */
void handoff__publisher_tend(struct handoff__publisher *pub);

#endif
