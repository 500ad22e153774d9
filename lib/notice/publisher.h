/* SPDX-License-Identifier: MIT */
/*
 * Sends a notice to every subscriber of a service directory, a few per step, so
 * that many subscribers do not delay the server's loop.
 */
#ifndef HANDOFF_NOTICE_PUBLISHER_H
#define HANDOFF_NOTICE_PUBLISHER_H

#include "base/dir.h"
#include "notice/notice.h"

#include <dirent.h>
#include <stdbool.h>

struct handoff__publisher {
	const struct handoff__dir *dir;
	DIR *list;     /* of subscribers still to send to; NULL when done */
	bool kept;     /* the notice is retained */
	bool complete; /* no subscriber was missed */
	unsigned char message[HANDOFF__NOTICE_SIZE];
	size_t len;
	/* counts of the last attempt at the current notice */
	uint32_t reached;
	uint32_t pruned; /* dead subscribers that were removed */
	uint32_t failed; /* alive, but sending failed */
};

/* Uses the directory, which must outlive the publisher. Opens nothing. */
void handoff__publisher_open(
	struct handoff__publisher *pub, const struct handoff__dir *dir);
void handoff__publisher_close(struct handoff__publisher *pub);

/*
 * Replaces the retained notice, then starts sending to the subscribers. Any
 * rest of an earlier notice is skipped, since the newer one supersedes it. A
 * negative errno if the notice could not be retained: the present subscribers
 * get it all the same. -EINVAL: a field is invalid, nothing was done.
 */
int handoff__publisher_begin(
	struct handoff__publisher *pub, const struct handoff_notice *notice);

/* Retains the current notice if that failed before, or if the file is gone. 1
 * if it was written, 0 if not needed, or a negative errno. */
int handoff__publisher_keep(struct handoff__publisher *pub);

/* Checks whether a notice could be retained now: 0 or a negative errno. */
int handoff__publisher_probe(const struct handoff__publisher *pub);
/* True if no step is left, the notice is retained and no subscriber was
 * missed. */
bool handoff__publisher_done(const struct handoff__publisher *pub);

/* If not: retains the notice, then starts over with all subscribers, which drop
 * a duplicate by its order. Returns as handoff__publisher_begin. */
int handoff__publisher_retry(struct handoff__publisher *pub);

/* Handles up to `max` further entries. 1 while more are left, 0 when done. */
int handoff__publisher_step(struct handoff__publisher *pub, unsigned max);

/* Reads the retained notice, expired or not: 1, 0 if there is none, or a
 * negative errno; -EBADMSG if the file holds anything else. */
int handoff__publisher_retained(
	const struct handoff__publisher *pub, struct handoff_notice *notice);

#endif
