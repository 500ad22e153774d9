/* SPDX-License-Identifier: MIT */
/*
 * Two peers for servers with a loop of their own, by public calls only: both in
 * this process, or one of them in a child that can die.
 */
#ifndef TESTS_EMBED_SIDES_H
#define TESTS_EMBED_SIDES_H

#include "support/support.h"

#include <handoff/peer.h>

#include <sys/types.h>

#define STATE_SIZE 1000u

struct side {
	struct handoff_peer *peer;
	struct handoff_peer_opts opts;
	struct handoff_peer_event event; /* the last that was expected */
	struct handoff_outcome outcome;  /* of it; else zero */
	char why[HANDOFF_TEXT_MAX];
	char logged[HANDOFF_TEXT_MAX]; /* the last warning */
};

struct pair {
	struct side a, b;
};

/* Fills in what a peer of that name is opened with. */
void side_init(struct side *side, const char *dir, const char *name);

/* Opens it while the other does its part. */
int side_join(struct side *side, struct side *other);

/* `a` owns, `b` is its standby, and both have said so. */
void pair_open(struct pair *p);
void pair_close(struct pair *p);

/* Dispatches both until this one has such an event, which is then in
 * side->event. What comes before is dropped, but a TAKEN must not be. */
struct handoff_entry *pair_expect(
	struct pair *p, struct side *side, enum handoff_peer_event_type type);

/* The next event, in side->event; false: none. */
bool side_next(struct side *side);

/* Dispatches both until neither has anything to do. */
void pair_settle(struct pair *p);

/* Deposits a connection with the client's end in *client and the server's in
 * *fd. */
struct handoff_entry *side_deposit(struct side *side, int *fd, int *client,
	const char *name, const char *state);

void assert_state(const struct handoff_entry *entry, const char *wanted);

/* What is written to `fd` comes out at `client`. */
void assert_speaks(int fd, int client);

/* A child process that runs `fn` and leaves by _exit(0) if that returns 0;
 * it is killed when this process ends. Returns once the child has said, by
 * writing a byte to `told`, that it is ready. */
typedef int child_fn(const char *dir, int told, void *arg);
pid_t side_child(child_fn *fn, const char *dir, void *arg);
void side_kill(pid_t pid);

#endif
