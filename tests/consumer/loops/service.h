/* SPDX-License-Identifier: MIT */
/*
 * The part of the three servers that is the same: options, the listener, the
 * peer's events. The loop's part is passed as functions.
 */
#ifndef CONSUMER_SERVICE_H
#define CONSUMER_SERVICE_H

#include "echo.h"

struct service_loop {
	const char *name;
	/* Watch the listener `fd`, and own it. */
	void (*listen)(int fd);
	/* No more, and close it. */
	void (*deafen)(void);
	/* Serve the connection, whose descriptor `fd` is the loop's from now
	 * on. There may be something to send at once. False: no memory. */
	bool (*serve)(struct echo *c, int fd);
	/* Bring c up to date and note it; then stop serving it, close its
	 * descriptor and free c. */
	void (*forsake)(struct echo *c);
};

/* Reads --dir, --name, --port, --send-buffer, which makes sends short, --read,
 * and --loading, which says why it is not ready to serve; opens the peer. Exits
 * if that fails. */
struct handoff_peer *service_open(
	int argc, char **argv, const struct service_loop *loop);

/* Whether it is to read by handoff_entry_read. */
bool service_reads(void);

/* On SIGUSR1: it is ready. */
void service_loaded(void);

/* Does what the peer has to do, when its descriptor is readable. False: the
 * end of the program has come. */
bool service_dispatch(void);

/* A new connection: deposits it, for the loop to serve. NULL, and it is to be
 * closed, if that is not possible. */
struct echo *service_accepted(int fd);

/* What is still served is left as it is, for others to go on with. */
void service_close(void);

/* A connection is over: withdraws it. The loop closes it and frees `c`. */
void service_ended(struct echo *c);

/* Says that accept(2) failed, which ends nothing. */
void service_accept_failed(const char *why);

#endif
