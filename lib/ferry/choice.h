/* SPDX-License-Identifier: MIT */
/* Which connections go next. */
#ifndef HANDOFF_FERRY_CHOICE_H
#define HANDOFF_FERRY_CHOICE_H

#include "ferry/carrier.h"

struct handoff__choice {
	struct handoff__roster_entry **list; /* room for `most` */
	uint32_t most, count;
	uint32_t later; /* such as have to wait a little */
	uint32_t last;  /* absent sessions, whose turn has not come */
	uint32_t stay;  /* such as never go */
};

/* Chooses up to `most` connections that can go now, those that move together
 * all or none, from where the last choice has ended. Says of the others, if
 * there are none, whether they may go later. Sessions without a connection go
 * last, when no client can come to this host any more that asks for one; or
 * when all go together. */
void handoff__choose(
	struct handoff__ferry *ferry, struct handoff__choice *choice);

/* Why a connection cannot go, by its socket and its address, in a few words;
 * NULL if it can. */
const char *handoff__choice_objection(const struct handoff__ferry *ferry,
	const struct handoff__roster_entry *entry);

/* How many stay for that reason; compared by address. */
uint32_t handoff__choice_stuck(struct handoff__ferry *ferry, const char *why);

/* The connections here, of the server and of this ferry. */
uint32_t handoff__choice_count(const struct handoff__ferry *ferry);

/* How many connections are on this host and in no batch, and `cut`: how many
 * of them have an address that moves. */
uint32_t handoff__choice_stays(struct handoff__ferry *ferry, uint32_t *cut);

/* Counts those that stay in the report, by reason; with `dry` also by what
 * their sockets say. */
void handoff__choice_report(struct handoff__ferry *ferry, bool dry);

#endif
