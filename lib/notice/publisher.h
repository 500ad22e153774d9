/* SPDX-License-Identifier: MIT */
/*
 * Tells every subscriber of a service directory, some at a time, so that the
 * loop of a server is never held up by many of them.
 */
#ifndef HANDOFF_NOTICE_PUBLISHER_H
#define HANDOFF_NOTICE_PUBLISHER_H

#include "base/dir.h"
#include "notice/notice.h"

#include <dirent.h>
#include <stdbool.h>

struct handoff__publisher {
	const struct handoff__dir *dir;
	DIR *list; /* of those still to be told; NULL when done */
	bool kept; /* the notice is retained */
	bool told; /* no subscriber was missed */
	unsigned char message[HANDOFF__NOTICE_SIZE];
	size_t len;
	/* Of the notice begun last, when it was last tried. */
	uint32_t reached;
	uint32_t pruned; /* dead subscribers that were removed */
	uint32_t failed; /* alive, but could not be told */
};

/* Begins to use the directory, which must outlive the publisher. Opens
 * nothing. */
void handoff__publisher_open(
	struct handoff__publisher *pub, const struct handoff__dir *dir);
void handoff__publisher_close(struct handoff__publisher *pub);

/*
 * Replaces the retained notice, then begins to tell the subscribers; what was
 * still to be told of an earlier notice is left out, since the newer one says
 * it all. A negative errno if the notice could not be retained: the
 * subscribers of now are told all the same. -EINVAL: a field is wrong, nothing
 * was done.
 */
int handoff__publisher_begin(
	struct handoff__publisher *pub, const struct handoff_notice *notice);

/* Retains the notice begun last if that failed before, or if none is retained
 * any more. 1 if it had to be written, 0 if not, or a negative errno. */
int handoff__publisher_keep(struct handoff__publisher *pub);

/* Could a notice be retained now? 0 or a negative errno. */
int handoff__publisher_probe(const struct handoff__publisher *pub);
/* No step is left: is the notice retained, and was no subscriber missed? */
bool handoff__publisher_done(const struct handoff__publisher *pub);

/* If not: retains the notice, then begins with all subscribers once more; they
 * know by its order whether they have it. As handoff__publisher_begin. */
int handoff__publisher_retry(struct handoff__publisher *pub);

/* Looks at up to `max` further entries. 1 while more are to do, 0 when done. */
int handoff__publisher_step(struct handoff__publisher *pub, unsigned max);

/* Reads the retained notice, expired or not: 1, 0 if there is none, or a
 * negative errno, -EBADMSG if the file holds something else. */
int handoff__publisher_retained(
	const struct handoff__publisher *pub, struct handoff_notice *notice);

#endif
