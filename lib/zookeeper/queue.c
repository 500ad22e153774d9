/* SPDX-License-Identifier: MIT */
/*
 * The events that an end has not told yet: a list, since how many requests are
 * under way is up to the caller. Does not look into them.
 */
#include "zookeeper/queue.h"

#include <stdlib.h>
#include <string.h>

struct handoff__zk_item {
	struct handoff__zk_item *next;
	struct handoff_lease_event event;
	unsigned char data[];
};

void
handoff__zk_queue_init(struct handoff__zk_queue *q)
{
	*q = (struct handoff__zk_queue){.last = &q->first};
}

void
handoff__zk_queue_put(
	struct handoff__zk_queue *q, const struct handoff_lease_event *event)
{
	struct handoff__zk_item *item = malloc(sizeof(*item) + event->len);

	if (!item)
		return;
	item->next = NULL;
	item->event = *event;
	if (event->len > 0)
		memcpy(item->data, event->data, event->len);
	item->event.data = event->len > 0 ? item->data : NULL;
	*q->last = item;
	q->last = &item->next;
}

int
handoff__zk_queue_take(
	struct handoff__zk_queue *q, struct handoff_lease_event *event)
{
	struct handoff__zk_item *item = q->first;

	free(q->told);
	q->told = item;
	if (!item)
		return 0;
	q->first = item->next;
	if (!q->first)
		q->last = &q->first;
	*event = item->event;
	return 1;
}

void
handoff__zk_queue_free(struct handoff__zk_queue *q)
{
	struct handoff_lease_event event;

	while (handoff__zk_queue_take(q, &event))
		;
}
