/* SPDX-License-Identifier: MIT */
/*
 * The status of a peer, for people and for programs. Replies on the control
 * socket begin with the header, which the client parses.
 */
#ifndef HANDOFF_PEER_STATUS_H
#define HANDOFF_PEER_STATUS_H

#include "base/text.h"
#include "peer/last.h"
#include "peer/report.h"

struct handoff__pair;

/* "ok SERVICE NAME ROLE PID"; the service is "-" if it is not known yet */
void handoff__status_header(
	struct handoff__pair *pair, struct handoff__buf *buf);

/* A line "KEY VALUE" for each item, from which the client formats a table of
 * all peers; lines with the prefix "| " are shown as they are, "! " marks a
 * remark of this peer. */
void handoff__status_text(struct handoff__pair *pair, struct handoff__buf *buf);
/* The same as a JSON object, which the caller closes. */
void handoff__status_json(struct handoff__pair *pair, struct handoff__buf *buf);

/* The service model, "own" for a program with a loop of its own, "ferry". */
const char *handoff__status_model(const struct handoff__pair *pair);

/* Logs what is not promised because of missing kernel features. */
void handoff__status_lacks(const struct handoff__pair *pair);

#endif
