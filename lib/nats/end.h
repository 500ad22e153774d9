/* SPDX-License-Identifier: MIT */
/* One side of one address: what the thread of the handle, the helper thread and
 * the client library's threads share. All but the first group under its lock,
 * and by the calls below. */
#ifndef HANDOFF_NATS_END_H
#define HANDOFF_NATS_END_H

#include "nats/address.h"

#include <handoff/transport.h>

#include <pthread.h>
#include <sys/types.h>

/* messages that a subscriber has not taken yet: the newest ones */
#define HANDOFF__NATS_RING 8

struct handoff__nats_message {
	size_t len;
	unsigned char data[HANDOFF_TRANSPORT_MESSAGE_MAX];
};

enum handoff__nats_known {
	HANDOFF__NATS_UNKNOWN,
	HANDOFF__NATS_NONE, /* nothing is retained */
	HANDOFF__NATS_SOME,
};

struct handoff__nats_end {
	/* never changed once the helper runs */
	struct handoff__nats_address address;
	bool publishes;
	pid_t pid; /* of the process that has opened it */
	int event; /* eventfd: there is something for the thread of the handle
		    */
	int wake;  /* eventfd: there is something for the helper */
	int set;   /* of the helper: `wake`, and the socket of its connection */

	/* of the helper, and of the client library while it holds the lock of
	 * a connection */
	int sock;

	pthread_mutex_t lock;
	pthread_cond_t released;
	unsigned refs; /* the handle's, the helper's, one for each connection */
	bool stopping;

	struct handoff__nats_message ring[HANDOFF__NATS_RING];
	size_t first, count;

	struct handoff__nats_message outgoing; /* of the last publish */
	uint64_t published, settled;           /* counters: equal when done */
	bool refused; /* the retained message is newer than the outgoing one */
	enum handoff__nats_known known;
	struct handoff__nats_message retained;

	bool connected;
	char trouble[HANDOFF_TEXT_MAX]; /* "" if there is none */
	char denied[HANDOFF_TEXT_MAX];  /* what the server has not permitted on
					 * this connection */
	char text[HANDOFF_TEXT_MAX];    /* the answer of state() */
};

/* Takes the address over. */
int handoff__nats_end_new(struct handoff__nats_end **out,
	struct handoff__nats_address *address, bool publishes,
	struct handoff__error *error);

void handoff__nats_end_ref(struct handoff__nats_end *end);
/* The last one frees it. */
void handoff__nats_end_unref(struct handoff__nats_end *end);

/* The thread of the handle. */

/* Stops the helper, and waits for its end, for a moment at most: while it
 * connects it cannot be interrupted, and frees the end later. */
void handoff__nats_end_stop(struct handoff__nats_end *end);
int handoff__nats_end_take(
	struct handoff__nats_end *end, void *data, size_t *len);
void handoff__nats_end_publish(
	struct handoff__nats_end *end, const void *data, size_t len);
/* Whether the last publish is settled; if so it is added to `*told`. */
bool handoff__nats_end_told(
	struct handoff__nats_end *end, struct handoff_transport_told *told);
/* 1, 0 or -EAGAIN, as the call of a transport. */
int handoff__nats_end_retained(
	struct handoff__nats_end *end, void *data, size_t *len);
/* Publishes the last message again if it is known to be gone: 1, otherwise
 * 0. */
int handoff__nats_end_keep(struct handoff__nats_end *end);
const char *handoff__nats_end_state(struct handoff__nats_end *end);

/* The helper. */

bool handoff__nats_end_stopping(struct handoff__nats_end *end);
/* A message for the subscriber. */
void handoff__nats_end_put(
	struct handoff__nats_end *end, const void *data, size_t len);
/* What is retained; NULL: nothing. Settles a publish that it answers. */
void handoff__nats_end_know(
	struct handoff__nats_end *end, const void *data, size_t len);
/* Copies the message that is to be published and returns its counter; 0 if
 * there is none. */
uint64_t handoff__nats_end_outgoing(
	struct handoff__nats_end *end, struct handoff__nats_message *message);
/* It was published. */
void handoff__nats_end_done(struct handoff__nats_end *end, uint64_t counter);
void handoff__nats_end_connected(struct handoff__nats_end *end, bool connected);
void handoff__nats_end_trouble(struct handoff__nats_end *end, const char *fmt,
	...) __attribute__((format(printf, 2, 3)));

/* The client library's threads: what the server has not permitted. */
void handoff__nats_end_denied(struct handoff__nats_end *end, const char *what);

#endif
