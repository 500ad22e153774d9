/* SPDX-License-Identifier: MIT */
/*
 * What is told about a peer, for people and for programs. Replies of the
 * control socket begin with the header, which the asking side reads.
 */
#ifndef HANDOFF_PEER_STATUS_H
#define HANDOFF_PEER_STATUS_H

#include "base/text.h"

struct handoff__peer;
struct handoff__report;

/* "ok SERVICE NAME ROLE PID" */
void handoff__status_header(
	struct handoff__peer *peer, struct handoff__buf *buf);

/* A line "KEY VALUE" for each thing, from which the asking side makes a table
 * of all peers; what is to be shown as it is has "| " before it,
 * what this peer alone tells "! ". */
void handoff__status_text(struct handoff__peer *peer, struct handoff__buf *buf);
void handoff__status_json(struct handoff__peer *peer, struct handoff__buf *buf);

/* Logs what is not promised for lack of something in the kernel. */
void handoff__status_lacks(const struct handoff__peer *peer);

/* The last handoff, "last MS" (since 1970) and lines to be shown. Nothing, or
 * null, if there was none. */
void handoff__last_text(
	const struct handoff__peer *peer, struct handoff__buf *buf);
void handoff__last_json(
	const struct handoff__peer *peer, struct handoff__buf *buf);

/* A line for each entry that was left behind, of those that are known. */
void handoff__left_text(const struct handoff__peer *peer,
	const struct handoff__report *report, const char *indent,
	struct handoff__buf *buf);

/* The same as members of a JSON array. */
void handoff__left_json(const struct handoff__peer *peer,
	const struct handoff__report *report, struct handoff__buf *buf);

/* `report` is of a give that was not refused. */
void handoff__report_text(struct handoff__peer *peer,
	const struct handoff__report *report, struct handoff__buf *buf);

/* Why a give was refused: a sentence. */
void handoff__report_refusal(struct handoff__peer *peer,
	const struct handoff__report *report, char *text, size_t size);

#endif
