/* SPDX-License-Identifier: MIT */
/*
 * Connections that threads give back to the loop, each with its result.
 */
#ifndef HANDOFF_SERVER_RETURNS_H
#define HANDOFF_SERVER_RETURNS_H

#include "base/loop.h"

#include <pthread.h>

struct handoff__member;

TAILQ_HEAD(handoff__members, handoff__member);

struct handoff__returns {
	pthread_mutex_t lock; /* protects `list` */
	struct handoff__members list;
	int wake; /* eventfd: the list is not empty */
	struct handoff__watch watch;
	struct handoff__loop *loop;
	void (*fn)(struct handoff__member *member); /* called in the loop's
						     * thread */
	void (*rung)(void *arg); /* optional: called whenever `wake` was
				  * written */
	void *arg;
};

int handoff__returns_open(struct handoff__returns *returns,
	struct handoff__loop *loop, void (*fn)(struct handoff__member *member));
void handoff__returns_close(struct handoff__returns *returns);

/* From any thread; the connection, and `other` unless it is NULL, then belong
 * to the loop. */
void handoff__returns_push(struct handoff__returns *returns,
	struct handoff__member *member, struct handoff__member *other);

#endif
