/* SPDX-License-Identifier: MIT */
/*
 * A worker of model `loop`: a thread that serves its share of the connections.
 */
#ifndef HANDOFF_SERVER_WORKER_H
#define HANDOFF_SERVER_WORKER_H

#include "server/internal.h"

struct handoff__worker {
	struct handoff_server *server;
	struct handoff__sets sets;
	uint32_t number; /* from 0 */
	int wake;        /* eventfd, in both sets */
	pthread_t thread;
	bool started;
	uint32_t members; /* in its sets; maintained by the server */

	pthread_mutex_t lock; /* protects all that follows */
	pthread_cond_t go;
	bool held, stopping;
	struct handoff__member *running; /* in a turn */
	struct handoff__members kicks;
	struct handoff__deadlines deadlines;
};

/* Starts the thread of the server's newest worker. */
int handoff__worker_open(
	struct handoff__worker *w, struct handoff_server *server);
/* False if it is in a handler that does not return. */
bool handoff__worker_end(struct handoff__worker *w);
void handoff__worker_close(struct handoff__worker *w);

/* with its lock held */
void handoff__worker_kick(
	struct handoff__worker *w, struct handoff__member *member);
void handoff__worker_unkick(
	struct handoff__worker *w, struct handoff__member *member);

#endif
