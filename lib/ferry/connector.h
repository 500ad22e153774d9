/* SPDX-License-Identifier: MIT */
/*
 * Gets sockets that are connected to the other ferry: accepts them, or dials
 * again and again. Does not know
 * which ferry answers.
 */
#ifndef HANDOFF_FERRY_CONNECTOR_H
#define HANDOFF_FERRY_CONNECTOR_H

#include "base/addr.h"
#include "base/loop.h"
#include "base/text.h"
#include "client/dial.h"

/* Called from the loop. */
typedef void handoff__socket_fn(void *arg, int fd, bool dialled);
typedef void handoff__no_socket_fn(void *arg, const char *sentence);

struct handoff__connector {
	struct handoff__loop *loop;
	/* the owner's: */
	handoff__socket_fn *socket; /* takes the socket */
	handoff__no_socket_fn *trouble;
	void *arg;
	uint32_t first_ms, max_ms; /* the delay before it dials again */
	uint32_t timeout_ms, user_timeout_ms; /* of one attempt */

	int listener;
	struct handoff__watch watch;
	struct handoff__timer rest;
	char bound[HANDOFF_ADDRESS_MAX]; /* where it listens */
	struct handoff__dial dial;
	struct handoff__addr to;
	char text[HANDOFF_ADDRESS_MAX]; /* of `to` */
	struct handoff__timer redial;
	uint32_t delay_ms; /* the next delay */
};

void handoff__connector_init(
	struct handoff__connector *c, struct handoff__loop *loop);
void handoff__connector_fini(struct handoff__connector *c);

/* One of both. Resolves the name to listen on now; that to dial is resolved at
 * each attempt, by a thread. -errno with a sentence. */
int handoff__connector_listen(struct handoff__connector *c, const char *text,
	struct handoff__error *error);
int handoff__connector_dial(struct handoff__connector *c, const char *text,
	struct handoff__error *error);

/* The dialled socket is no more: dials in `ms`, or, if it is 0, after the
 * delay, which doubles each time. A failed attempt is repeated by itself. */
void handoff__connector_again(struct handoff__connector *c, uint32_t ms);

/* The delay begins anew. */
void handoff__connector_reset(struct handoff__connector *c);

#endif
