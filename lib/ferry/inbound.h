/* SPDX-License-Identifier: MIT */
/* One batch on its way to this host. */
#ifndef HANDOFF_FERRY_INBOUND_H
#define HANDOFF_FERRY_INBOUND_H

#include "ferry/freight.h"

/* A message of the other ferry about a batch of its own. */
void handoff__inbound_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter);

/* COMMIT of a batch, which may not be in the table. */
void handoff__inbound_commit(struct handoff__ferry *ferry, uint64_t batch);

/* Free records are there, or not. */
void handoff__inbound_on_room(struct handoff__ferry *ferry, int err);

void handoff__inbound_on_held(struct handoff__freight *load, int err);
void handoff__inbound_on_link(struct handoff__freight *load, bool up);
void handoff__inbound_on_closing(
	struct handoff__freight *load, struct handoff__roster_entry *entry);

/* Looks whether the server has copies of what is prepared, and serves what is
 * committed. */
void handoff__inbound_proceed(struct handoff__freight *load);

/* Gives it up, unless PREPARED was sent. */
void handoff__inbound_give_up(struct handoff__freight *load);

/* What the gate still has of a batch of an earlier ferry. */
void handoff__inbound_found(
	struct handoff__freight *load, const struct handoff__gate_found *found);

/* The operator's word for one in doubt, as if it were the other host's. */
void handoff__inbound_settle(struct handoff__freight *load, bool here);

/* Asks again what has become of a batch in doubt; or whether the sender knows
 * that this host serves it: one that had only just started may have known and
 * not said so. */
void handoff__inbound_ask(struct handoff__freight *load);

/* For the word of a batch that an earlier ferry has opened. */
int handoff__inbound_resume(
	struct handoff__ferry *ferry, const struct handoff__batch *batch);

bool handoff__inbound_over(const struct handoff__freight *load);
void handoff__inbound_free(struct handoff__freight *load);

#endif
