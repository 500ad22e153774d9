/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the NATS component run in: a nats-server on loopback, which
 * they kill, stop and start again, and a publisher with a service directory. A
 * test is skipped with the reason where there is no nats-server.
 */
#ifndef TESTS_NATS_PLACE_H
#define TESTS_NATS_PLACE_H

#include "support/support.h"

#include "base/dir.h"
#include "notice/publisher.h"

#include <handoff/nats.h>

#include <stdbool.h>
#include <sys/types.h>

#define PLACE_MS 14000 /* patience */

/* Skips the test if there is no server, before it makes something. */
void place_needs_server(void);

/* Starts a server with JetStream; `extra` is more of its configuration. */
void place_begin(const char *extra);
/* Until the descriptors that threads still have are closed, too. */
void place_end(void);

void place_kill(void);
void place_restart(void);
void place_signal(int sig);
int place_port(void);

/* "PREFIX//127.0.0.1:PORT/echoREST" (static memory, of the last call) */
const char *place_address(const char *prefix, const char *rest);

/* A file in the test's directory, and its path (static memory, four of them).
 */
const char *place_file(const char *name, const char *text, unsigned mode);

/* A publisher on that address. */
struct publishing {
	struct handoff__dir dir;
	struct handoff__publisher pub;
};

void publishing_open(struct publishing *p, const char *address);
void publishing_close(struct publishing *p);
/* Begins to publish; `*_done` waits until it is done, and fails if that takes
 * too long. */
void publishing_begin(struct publishing *p, uint64_t generation, uint64_t seq);
void publishing_done(struct publishing *p);
void publishing_publish(
	struct publishing *p, uint64_t generation, uint64_t seq);
/* Waits until its state contains that. */
void publishing_says(struct publishing *p, const char *text);

struct handoff_subscriber *place_subscribe(const char *address);
/* Opening that fails, with this in the sentence. */
void place_refuses(const char *address, int err, const char *text);
/* Waits for this notice; older ones may come before. */
void place_hears(
	struct handoff_subscriber *sub, uint64_t generation, uint64_t seq);
/* Waits until its error says that. */
void place_says(struct handoff_subscriber *sub, const char *text);

#endif
