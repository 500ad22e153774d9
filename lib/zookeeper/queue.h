/* SPDX-License-Identifier: MIT */
/* The events that an end has not told yet, oldest first. */
#ifndef HANDOFF_ZOOKEEPER_QUEUE_H
#define HANDOFF_ZOOKEEPER_QUEUE_H

#include <handoff/lease.h>

struct handoff__zk_item;

struct handoff__zk_queue {
	struct handoff__zk_item *first, **last;
	struct handoff__zk_item *told; /* its data are valid until the next */
};

void handoff__zk_queue_init(struct handoff__zk_queue *q);

/* Copies the event and its data. Without memory it is lost. */
void handoff__zk_queue_put(
	struct handoff__zk_queue *q, const struct handoff_lease_event *event);

/* 1, or 0 if there is none. */
int handoff__zk_queue_take(
	struct handoff__zk_queue *q, struct handoff_lease_event *event);

void handoff__zk_queue_free(struct handoff__zk_queue *q);

#endif
