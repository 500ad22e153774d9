/* SPDX-License-Identifier: MIT */
/*
 * The ferry as a peer of its service directory: it serves nothing and runs no
 * handler, so everything that it owns is at rest.
 */
#ifndef HANDOFF_FERRY_CARRIER_H
#define HANDOFF_FERRY_CARRIER_H

#include "ferry/ferry.h"

/* What the ferry knows of an entry beside its roster entry. */
struct handoff__cargo {
	struct handoff__roster_entry entry; /* first */
	uint32_t tries;                     /* batches that it came back from */
	int32_t load;     /* index among the moves' batches; -1: in none */
	int32_t index;    /* in that batch */
	const char *why;  /* why it stays, in a few words; NULL: it may move */
	int64_t again_us; /* may be tried again from then on; 0: now */
	bool checked;     /* it has an address of the service */
	bool leads;       /* others than its pair move with it */
	bool frozen;      /* an earlier ferry has left its socket so */
	uint32_t chosen;  /* the number of the choice that has it */
};

static inline struct handoff__cargo *
handoff__cargo(struct handoff__roster_entry *e)
{
	return (struct handoff__cargo *)(void *)e;
}

/* Joins the service directory as a carrier. */
int handoff__carrier_open(struct handoff__ferry *ferry);
void handoff__carrier_close(struct handoff__ferry *ferry);

/* Whether a server is here that can be given entries. */
bool handoff__carrier_has_server(const struct handoff__ferry *ferry);

/* Owns the service, if its addresses are not on this host, it is known, and
 * nobody else owns it: a server that joins is the standby then. */
void handoff__carrier_own(struct handoff__ferry *ferry);

/* Gives the service and everything that nobody serves to a server that is
 * ready, without notices to clients. True if that has begun. */
bool handoff__carrier_give(struct handoff__ferry *ferry);

/* The connections that this ferry owns, in no batch: nobody serves them. */
uint32_t handoff__carrier_holding(struct handoff__ferry *ferry);

#endif
