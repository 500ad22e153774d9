/* SPDX-License-Identifier: MIT */
/*
 * A server for the tests of the client: echoes the bytes of one session, keeps
 * what is not acknowledged, and lets the session go on on each new connection.
 * It works when it is told to, and reads and writes in pieces of random length.
 */
#ifndef TESTS_CLIENT_ECHO_H
#define TESTS_CLIENT_ECHO_H

#include "client/script.h"
#include "client/toy.h"

#include "session/flow.h"

#include <poll.h>

enum { ECHO_CONNS = 16, ECHO_STREAM = 1 << 16 };

struct echo_conn {
	int fd;
	bool greeted; /* the preface has come */
	unsigned char in[4096];
	size_t len;
};

struct echo {
	struct site site;
	uint32_t seed;
	struct echo_conn conns[ECHO_CONNS];
	size_t count;

	bool known; /* there is a session */
	int fd;     /* its connection, or -1 */
	struct handoff__flow flow;
	unsigned char stream[ECHO_STREAM]; /* all that came */
	struct toy *toy; /* the session is through a layer, or NULL */
	unsigned char reply[ECHO_STREAM]; /* then, all that goes */
	size_t reply_len;
	bool reply_ended;
	unsigned busy;              /* answers so many RESUMEs BUSY */
	unsigned sessions, resumes; /* how many there were */
};

void echo_begin(struct echo *echo, uint32_t seed);
void echo_end(struct echo *echo);

/* Does what can be done without waiting. */
void echo_serve(struct echo *echo);

/* Breaks the connection of the session, if it has one. */
void echo_break(struct echo *echo);

/* Fills in what is to be polled for; returns how many. */
size_t echo_poll(const struct echo *echo, struct pollfd *p);

uint32_t echo_random(struct echo *echo, uint32_t bound);

#endif
