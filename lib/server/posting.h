/* SPDX-License-Identifier: MIT */
/*
 * The posts of a transaction: staged by its handler, published with its commit.
 */
#ifndef HANDOFF_SERVER_POSTING_H
#define HANDOFF_SERVER_POSTING_H

#include "record/record.h"

/* Checks a post of a program and translates it. */
int handoff__posting_check(const struct handoff__posts *posts,
	const struct handoff_post *from, struct handoff__post *post,
	const void **data);

/* Before the commit, if the transaction is POSTING: takes the lock of the ring.
 * On an error nothing is posted. */
int handoff__posting_prepare(struct handoff_conn *txn);
/* After the commit. */
void handoff__posting_publish(struct handoff_conn *txn);
/* Instead of both. */
void handoff__posting_discard(struct handoff_conn *txn);

#endif
