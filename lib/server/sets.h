/* SPDX-License-Identifier: MIT */
/*
 * Two epoll sets: one for what this peer owns, one for what the other owns.
 * Every descriptor is in one of them from its arrival on, so that a whole
 * give changes only which set is waited on, whatever the number in it.
 */
#ifndef HANDOFF_SERVER_SETS_H
#define HANDOFF_SERVER_SETS_H

#include <stdbool.h>
#include <stdint.h>

struct handoff__sets {
	int ep[2];
	bool stale; /* the outer one does not say yet which counts */
	int outer;  /* for those with a loop of their own; -1 until asked for */
	int mine;   /* which of the two this peer waits on */
	/* members[set][owner]: 1 for what is mine, 0 for the other's */
	uint32_t members[2][2];
};

/* `inner` is an epoll descriptor of the library's that is readable when
 * anything but a member wants attention; its events have data.ptr NULL. */
int handoff__sets_init(struct handoff__sets *sets, int inner);
void handoff__sets_fini(struct handoff__sets *sets);

/* Puts a descriptor into the set of its owner; returns the set. */
int handoff__sets_add(struct handoff__sets *sets, int fd, uint32_t events,
	void *data, bool mine);
void handoff__sets_del(struct handoff__sets *sets, int set, int fd, bool mine);
int handoff__sets_arm(struct handoff__sets *sets, int set, int fd,
	uint32_t events, void *data);

/* A member changes hands; it stays where it is until it is moved. */
void handoff__sets_own(struct handoff__sets *sets, int set, bool mine);

/* Exchanges the two sets if fewer members are then in the wrong one. Returns
 * how many are: the caller moves each of them. */
uint32_t handoff__sets_turn(struct handoff__sets *sets);
int handoff__sets_move(struct handoff__sets *sets, int set, int fd,
	uint32_t events, void *data, bool mine);

/* Tries again what the kernel had no memory for. True once nothing is stale. */
bool handoff__sets_mend(struct handoff__sets *sets);

/* The set that a member belongs in. */
static inline int
handoff__sets_home(const struct handoff__sets *sets, bool mine)
{
	return mine ? sets->mine : 1 - sets->mine;
}

/* A descriptor that is readable when the set of this peer's has events. */
int handoff__sets_outer(struct handoff__sets *sets);

#endif
