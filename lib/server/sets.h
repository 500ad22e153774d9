/* SPDX-License-Identifier: MIT */
/*
 * Two epoll sets: one for this peer's entries, one for the other's. Every
 * descriptor is in one of them from its arrival on, so that a whole give only
 * changes which set is waited on, whatever the number of entries.
 */
#ifndef HANDOFF_SERVER_SETS_H
#define HANDOFF_SERVER_SETS_H

#include <stdbool.h>
#include <stdint.h>

struct handoff__sets {
	int ep[2];
	bool stale; /* the outer set is not updated yet */
	int outer;  /* contains the two, for outer loops; -1 until requested */
	int mine;   /* the one that this peer waits on */
	/* members[set][owner]: 1 for mine, 0 for the other peer's */
	uint32_t members[2][2];
};

/* `inner` is an epoll descriptor that is readable when anything but a member
 * needs attention; its events have data.ptr NULL. */
int handoff__sets_init(struct handoff__sets *sets, int inner);
void handoff__sets_fini(struct handoff__sets *sets);

/* Adds a descriptor to the set of its owner; returns the set. */
int handoff__sets_add(struct handoff__sets *sets, int fd, uint32_t events,
	void *data, bool mine);
void handoff__sets_del(struct handoff__sets *sets, int set, int fd, bool mine);
int handoff__sets_arm(struct handoff__sets *sets, int set, int fd,
	uint32_t events, void *data);

/* Changes a member's owner; it stays in its set until it is moved. */
void handoff__sets_own(struct handoff__sets *sets, int set, bool mine);

/* Exchanges the two sets if that leaves fewer members in the wrong one. Returns
 * how many are: the caller moves each of them. */
uint32_t handoff__sets_exchange(struct handoff__sets *sets);
int handoff__sets_move(struct handoff__sets *sets, int set, int fd,
	uint32_t events, void *data, bool mine);

/* Retries updates for which the kernel had no memory. True once none is
 * left. */
bool handoff__sets_mend(struct handoff__sets *sets);

/* The set that a member belongs in. */
static inline int
handoff__sets_home(const struct handoff__sets *sets, bool mine)
{
	return mine ? sets->mine : 1 - sets->mine;
}

/* A descriptor that is readable when this peer's set has events. */
int handoff__sets_outer(struct handoff__sets *sets);

#endif
