/* SPDX-License-Identifier: MIT */
/*
 * The inside of a client handle, shared by the files that steer it. Each calls
 * only those below it:
 *
 *   client.c   the public calls
 *   course.c   what follows from what the connections do
 *   homing.c   notices, and moving to another connection without a gap
 *   attempt.c  dialling, again and again
 *   sending.c  the outbox and the connection whose turn it is
 *
 * Below them lie parts that know of no client: stream.c, dial.c, outbox.c,
 * events.c, backoff.c, resolve.c.
 */
#ifndef HANDOFF_CLIENT_CLIENT_H
#define HANDOFF_CLIENT_CLIENT_H

#include "base/loop.h"
#include "base/text.h"
#include "client/backoff.h"
#include "client/dial.h"
#include "client/events.h"
#include "client/outbox.h"
#include "client/stream.h"

#define HANDOFF__ENDPOINTS_MAX  16
#define HANDOFF__RECEIVE_BUFFER 65536

struct handoff__endpoint {
	char text[HANDOFF_ADDRESS_MAX];
	struct handoff__addr addr;
};

/* What goes on besides the present connection. Without one it is an attempt
 * to get one, with one it is an attempt to go home; REST with one means that
 * all is well. */
enum handoff__step {
	HANDOFF__STEP_REST,
	HANDOFF__STEP_WAIT, /* for the timer, or for the old connection's end */
	HANDOFF__STEP_DIAL,
	HANDOFF__STEP_END, /* CLOSED: nothing happens any more */
};

struct handoff_client {
	struct handoff__loop loop;
	struct handoff__log log;
	struct handoff__error error;
	struct handoff__endpoint endpoints[HANDOFF__ENDPOINTS_MAX];
	size_t nendpoints;
	uint32_t drain_timeout_ms;
	uint64_t seed;

	enum handoff__step step;
	size_t next; /* the endpoint that is dialled, or will be */
	struct handoff__dial dial;
	struct handoff__timer timer;
	struct handoff__backoff backoff, home_backoff;

	/* `old` is there after a move, until it has been read to its end. Only
	 * then `now` is read. */
	struct handoff__stream conns[2], *now, *old;
	struct handoff__timer drain_timer;

	/* While `old_first` is set, the first `boundary` unsent bytes and then
	 * the end of sending belong to `old`, and `now` has to wait for them.
	 */
	struct handoff__outbox outbox;
	bool old_first;
	size_t boundary;
	bool shut; /* the user wants no more to be sent */

	struct handoff_subscriber *sub;
	struct handoff__watch sub_watch;
	struct handoff__timer sub_timer; /* it stays subscribed */

	/* Readable as long as it is watched, which is while events wait. */
	int signal_fd;
	struct handoff__watch signal;
	struct handoff__events events;
	struct handoff_client_event event; /* that the user looks at */
	unsigned char buffer[HANDOFF__RECEIVE_BUFFER];
};

/* attempt.c */
void handoff__client_attempt(struct handoff_client *client);
/* Waits for the delay of `backoff`, which it returns, then dials
 * `client->next`. */
uint32_t handoff__client_attempt_later(
	struct handoff_client *client, struct handoff__backoff *backoff);
void handoff__client_attempt_failed(
	struct handoff_client *client, const char *why);

/* sending.c */
void handoff__client_flush(struct handoff_client *client);

/* homing.c */
void handoff__client_homing_init(struct handoff_client *client);
void handoff__client_notice(
	struct handoff_client *client, const struct handoff_notice *notice);
/* Stays on the present connection. True if there was a plan to leave it. */
bool handoff__client_stay(struct handoff_client *client);
/* Makes `fd` the present connection and begins to drain the one before. */
void handoff__client_switch(struct handoff_client *client, int fd);
/* The old connection came to its end: 0, or a negative errno. */
void handoff__client_drained(struct handoff_client *client, int err);

/* course.c */
void handoff__client_course_init(struct handoff_client *client);
/* Reads the connection whose turn it is. If data is in `buffer` now, the
 * endpoint that it came from, otherwise NULL. */
const char *handoff__client_read(struct handoff_client *client, size_t *len);
void handoff__client_conn_event(struct handoff__watch *watch, uint32_t events);

#endif
