/* SPDX-License-Identifier: MIT */
/* Events waiting to be pulled. DATA is not queued: it is read when it is
 * pulled. */
#ifndef HANDOFF_CLIENT_EVENTS_H
#define HANDOFF_CLIENT_EVENTS_H

#include "client/fate.h"

#include <handoff/client.h>

#include <stdbool.h>

#define HANDOFF__EVENTS_MAX 16

struct handoff__event {
	enum handoff_client_event_type type;
	const char *endpoint; /* lives as long as the handle */
	uint32_t delay_ms;
	int err;
	struct handoff__fate fate; /* of a session that is over */
	bool has_notice;
	struct handoff_notice notice;
	char text[HANDOFF_TEXT_MAX];
};

struct handoff__events {
	unsigned head, count;
	struct handoff__event ring[HANDOFF__EVENTS_MAX];
	struct handoff__event pulled; /* the one that the user holds */
};

/* Appends an event; the caller sets the remaining fields. There must be room:
 * see handoff__events_crowded. */
struct handoff__event *handoff__events_push(struct handoff__events *events,
	enum handoff_client_event_type type, const char *endpoint,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Little room is left: do nothing more until events are pulled. */
bool handoff__events_crowded(const struct handoff__events *events);

/* Moves the oldest to `*event`; false if there is none. */
bool handoff__events_pull(
	struct handoff__events *events, struct handoff_client_event *event);

#endif
