/* SPDX-License-Identifier: MIT */
/*
 * Two peers in one process, each with a loop of its own, and the calls that
 * they make into the layer above. Both are the same process, so neither sees
 * the other die: a closed link leaves its partner APART.
 */
#ifndef TESTS_PEER_FIXTURE_H
#define TESTS_PEER_FIXTURE_H

#include "support/support.h"

#include "peer/pair.h"

/* A peer, what it is opened with, and what its layer above has heard. */
struct side {
	struct handoff__pair pair;
	struct handoff__loop loop;
	struct handoff_service service;
	struct handoff__pair_config config;
	struct handoff__log log; /* none unless the test sets it */

	int refuse_entered; /* a negative errno */
	bool busy;          /* no connection may move yet */
	const struct handoff__roster_entry *busy_one; /* this one may not */
	unsigned asked;   /* how often one that may not was asked */
	unsigned resumed; /* and those that are served again */

	uint64_t order[8]; /* ids, as they moved: the last are overwritten */
	unsigned entered, closing, moved, settled, given, failovers, discarded,
		orphans, healths;
	unsigned roles;
	enum handoff__cause role; /* the last */
	unsigned partners, partings;
	unsigned pauses;
	bool paused;
	struct handoff__report report; /* the last */
	enum handoff__way way;         /* of it */
	unsigned aparts, expulsions;
	unsigned refusals;
	char refused[HANDOFF_TEXT_MAX]; /* the last */
	enum handoff__reason why;       /* of it */

	/* of a carrier */
	bool owns;                  /* once it knows the service */
	bool yields;                /* when it is asked to */
	enum handoff__reason holds; /* refuses to give the service */
	unsigned known, accepted, rooms, yielded;
	int room; /* the last answer */
};

/* The two peers of most tests, called "one" and "two". */
extern struct side one, two;

/* A test before which both are open, `one` owns and `two` is its standby; and
 * one before which they are only initialised, in a new directory. Either way
 * what is open after it is closed, also if the test fails. */
#define pair_test(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_finish)
#define side_test(f) cmocka_unit_test_setup_teardown(f, side_setup, pair_finish)
int pair_setup(void **state);
int side_setup(void **state);
int pair_finish(void **state);

/* Fills in what a peer of that name is opened with. */
void side_init(struct side *side, const char *dir, const char *name);

/* It has no service, and learns it. */
void side_carries(struct side *side);

/* Opens; `other`, if there is one, does its part in a thread meanwhile. */
int side_open(struct side *side, struct side *other);

/* Closes what is open of it. */
void side_close(struct side *side);

/* The first peer owns the service, generation 1. */
void pair_own(struct side *a);

/* The second opens beside the first, and can serve. */
void pair_join(struct side *a, struct side *b);

/* Both: `a` owns, `b` is its standby. */
void pair_open_in(const char *dir, struct side *a, struct side *b);
void pair_close(struct side *a, struct side *b);

/* A turn of its loop, and what follows from it. */
void pair_turn(struct side *side);

/* Dispatches both (either may be NULL) until neither has anything to do. */
void pair_run(struct side *a, struct side *b);

/* Dispatches one of them until `*what` is as wanted. */
void pair_wait(struct side *side, const unsigned *what, unsigned wanted);

/* A new entry of this peer; its descriptor is a file of its own. */
struct handoff__roster_entry *pair_enter(
	struct side *side, enum handoff__kind kind);
/* The same, moving together with a leader. */
struct handoff__roster_entry *pair_enter_with(struct side *side,
	enum handoff__kind kind, struct handoff__roster_entry *leader);
void pair_enter_many(struct side *side, unsigned count);

/* The same entry in the other peer, or NULL. */
struct handoff__roster_entry *pair_find(
	struct side *side, const struct handoff__roster_entry *e);

/* The n-th connection that this peer knows, counted from 0. */
struct handoff__roster_entry *pair_connection(struct side *side, unsigned n);

/* A listener, an extra descriptor and some connections, all covered; returns
 * the listener. */
struct handoff__roster_entry *pair_fill(
	struct side *a, struct side *b, unsigned connections);

/* A give to the other, for maintenance, has begun and done nothing yet. */
void pair_begin(struct side *from);

/* A give has come so far that the other has answered, all that is owned is
 * offered to it, and it has taken none of it. */
void pair_offer(struct side *from, struct side *to);

/* The time for the give that is under way is over. */
void pair_expire(struct side *from);

/* A whole give, which must end well. */
void pair_give(struct side *from, struct side *to, enum handoff__cause cause);

/* Each entry has one owner: the owner word, both rosters and the counts say
 * the same. */
void pair_assert_one_owner(struct side *a, struct side *b);

/* A peer in a child process, which serves nothing and lives until it is
 * killed. `*told` becomes readable when it is open. */
pid_t pair_child(const char *dir, int *told);
/* The same, a carrier. */
pid_t pair_child_carrier(const char *dir, int *told);
void pair_kill(pid_t pid, int told);

/* Are these two descriptors of the same file? */
bool pair_same_file(int a, int b);

#endif
