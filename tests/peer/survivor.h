/* SPDX-License-Identifier: MIT */
/*
 * `one` survives a child of the test. The child gets all entries and is killed;
 * before that the test writes into the records what a dying child might have
 * left there. For a side_test.
 */
#ifndef TESTS_PEER_SURVIVOR_H
#define TESTS_PEER_SURVIVOR_H

#include "peer/fixture.h"

#define DEAD 2u /* the child's place */

/* `one` owns the service, a listener and some connections. */
void survivor_open(unsigned connections);

/* A connection of the test's making. */
struct handoff__roster_entry *survivor_enter(int fd);

/* The n-th connection, counted from 0. */
struct handoff__roster_entry *survivor_connection(unsigned n);

/* The child is there, in a process of its own; and is killed. */
void survivor_fork(void);
void survivor_fork_carrier(void);
void survivor_kill(void);

/* Forks: `one` holds copies of what it had, the child owns all of it and
 * serves. */
void survivor_give(void);

/* The child is killed, and `one` has taken what it left. */
void survivor_inherit(void);

#endif
