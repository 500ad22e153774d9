/* SPDX-License-Identifier: MIT */
/*
 * What is told about a peer, for people and for programs. Replies of the
 * control socket begin with the header, which the asking side reads.
 */
#ifndef HANDOFF_PEER_STATUS_H
#define HANDOFF_PEER_STATUS_H

#include "base/text.h"
#include "peer/last.h"
#include "peer/report.h"

struct handoff__pair;

/* "ok SERVICE NAME ROLE PID" */
void handoff__status_header(
	struct handoff__pair *pair, struct handoff__buf *buf);

/* A line "KEY VALUE" for each thing, from which the asking side makes a table
 * of all peers; what is to be shown as it is has "| " before it,
 * what this peer alone tells "! ". */
void handoff__status_text(struct handoff__pair *pair, struct handoff__buf *buf);
/* The same as a JSON object, whose end is left to the caller. */
void handoff__status_json(struct handoff__pair *pair, struct handoff__buf *buf);

/* Logs what is not promised for lack of something in the kernel. */
void handoff__status_lacks(const struct handoff__pair *pair);

#endif
