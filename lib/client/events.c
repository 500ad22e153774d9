/* SPDX-License-Identifier: MIT */
/*
 * A ring of events. It is bounded: the client stops working when it fills up.
 */
#include "client/events.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* more than one dispatch or one read can add */
#define HEADROOM 8

struct handoff__event *
handoff__events_push(struct handoff__events *events,
	enum handoff_client_event_type type, const char *endpoint,
	const char *fmt, ...)
{
	unsigned at = (events->head + events->count) % HANDOFF__EVENTS_MAX;
	struct handoff__event *event = &events->ring[at];
	va_list ap;

	assert(events->count < HANDOFF__EVENTS_MAX);
	events->count++;
	memset(event, 0, sizeof(*event));
	event->type = type;
	event->endpoint = endpoint;
	va_start(ap, fmt);
	vsnprintf(event->text, sizeof(event->text), fmt, ap);
	va_end(ap);
	return event;
}

bool
handoff__events_crowded(const struct handoff__events *events)
{
	return events->count > HANDOFF__EVENTS_MAX - HEADROOM;
}

bool
handoff__events_pull(
	struct handoff__events *events, struct handoff_client_event *event)
{
	struct handoff__event *pulled = &events->pulled;

	if (events->count == 0)
		return false;
	*pulled = events->ring[events->head];
	events->head = (events->head + 1) % HANDOFF__EVENTS_MAX;
	events->count--;
	*event = (struct handoff_client_event){
		.type = pulled->type,
		.endpoint = pulled->endpoint,
		.delay_ms = pulled->delay_ms,
		.err = pulled->err,
		.notice = pulled->has_notice ? &pulled->notice : NULL,
		.text = pulled->text,
		.certain = pulled->fate.certain,
		.doubtful = pulled->fate.doubtful,
		.received = pulled->fate.received,
		.lost = pulled->fate.lost,
	};
	return true;
}
