/* SPDX-License-Identifier: MIT */
/*
 * The report of one give.
 */
#ifndef HANDOFF_PEER_REPORT_H
#define HANDOFF_PEER_REPORT_H

#include "base/text.h"
#include "record/record.h"

struct handoff__pair;
struct handoff__ref;
struct handoff__report;

/* The kind and name of an entry that a reference names; the name is "" if it is
 * not known here (any longer). */
enum handoff__kind handoff__report_entry(const struct handoff__pair *pair,
	const struct handoff__ref *ref, char name[HANDOFF_ADDRESS_MAX]);

/* Adds a line for each named entry that was left behind. */
void handoff__left_text(const struct handoff__pair *pair,
	const struct handoff__report *report, const char *indent,
	struct handoff__buf *buf);

/* The same as members of a JSON array. */
void handoff__left_json(const struct handoff__pair *pair,
	const struct handoff__report *report, struct handoff__buf *buf);

/* `report` is of a give that was not refused. */
void handoff__report_text(struct handoff__pair *pair,
	const struct handoff__report *report, struct handoff__buf *buf);

/* Explains in a sentence why a give was refused. */
void handoff__report_refusal(struct handoff__pair *pair,
	const struct handoff__report *report, char *text, size_t size);

#endif
