/* SPDX-License-Identifier: MIT */
/*
 * The connection that an inner service sees, for the files of this folder: a
 * transaction on the outer one's record with private copies of its commit and
 * of the sizes of its segment. It lives on the stack of one call.
 */
#ifndef HANDOFF_WRAP_WRAP_H
#define HANDOFF_WRAP_WRAP_H

#include "record/record.h"

#include <handoff/wrap.h>

#include <stddef.h>

struct handoff__inner {
	struct handoff_conn conn;
	struct handoff__commit next;
	struct handoff__segment seg;
	uint64_t begin; /* of its output */
	bool last;      /* its state is the end of the outer one */
};

/* Where the output of this transaction begins. A connection whose commit is not
 * in its record is that of an inner service, which wraps a third one. */
static inline uint64_t
handoff__wrap_begin(const struct handoff_conn *conn)
{
	const struct handoff__record *rec = conn->view.rec;

	if (conn->next == &rec->commit[0] || conn->next == &rec->commit[1])
		return handoff__record_commit(rec)->tx_head;
	return ((const struct handoff__inner *)(const void
				*)((const char *)conn -
				   offsetof(struct handoff__inner, conn)))
		->begin;
}

#endif
