/* SPDX-License-Identifier: MIT */
/* One batch on its way to the other host. */
#ifndef HANDOFF_FERRY_OUTBOUND_H
#define HANDOFF_FERRY_OUTBOUND_H

#include "ferry/freight.h"

/* Begins a batch of these entries, which are the server's or this ferry's;
 * `whole`: all of them go, or none.
 * -ENOSPC if no slot is free, -ENOTCONN, -ENOMEM. */
int handoff__outbound_begin(struct handoff__ferry *ferry,
	struct handoff__roster_entry **list, uint32_t count, bool whole);

/* `why` of entries that the other host has refused more than once. */
extern const char handoff__refused_there[];

/* A message of the other ferry about a batch of this one. */
void handoff__outbound_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter);

/* An entry has come from the server, or was accepted there. */
void handoff__outbound_on_moved(
	struct handoff__freight *load, struct handoff__roster_entry *entry);

/* An entry ends that was in that batch. */
void handoff__outbound_on_closing(
	struct handoff__freight *load, struct handoff__roster_entry *entry);

void handoff__outbound_on_held(struct handoff__freight *load, int err);
void handoff__outbound_on_link(struct handoff__freight *load, bool up);

/* Gives it up, unless it is committed. */
void handoff__outbound_give_up(struct handoff__freight *load);

/* Ends one that is committed, as if the other host had lost it. */
void handoff__outbound_drop(struct handoff__freight *load);

/* The link takes more. */
void handoff__outbound_drained(struct handoff__freight *load);

/* Whether nothing is left to do for it; then it can be freed. */
bool handoff__outbound_over(const struct handoff__freight *load);
void handoff__outbound_free(struct handoff__freight *load);

/* For the word of a batch that an earlier ferry has opened. */
int handoff__outbound_resume(
	struct handoff__ferry *ferry, const struct handoff__batch *batch);

/* Whether one has left this host that the other one does not serve yet, as far
 * as it has said. */
bool handoff__outbound_leaves(const struct handoff__ferry *ferry);

/* How many batches are on their way and not decided. */
uint32_t handoff__outbound_open(const struct handoff__ferry *ferry);

/* How many of them have not been sent yet. */
uint32_t handoff__outbound_here(const struct handoff__ferry *ferry);

/* Tells the other host what has become of a batch that is not in the table. */
void handoff__outbound_verdict(struct handoff__ferry *ferry, uint64_t batch);

#endif
