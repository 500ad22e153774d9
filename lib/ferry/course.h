/* SPDX-License-Identifier: MIT */
/* The report of the move in progress. */
#ifndef HANDOFF_FERRY_COURSE_H
#define HANDOFF_FERRY_COURSE_H

#include "ferry/ferry.h"

/* Whether a move is under way, in either direction. */
bool handoff__course_runs(const struct handoff__ferry *ferry);

void handoff__course_begin(struct handoff__ferry *ferry,
	enum handoff__ferry_way way, enum handoff__ferry_step step);

/* It has ended; `text` NULL: well, otherwise why not. Reports it. */
void handoff__course_end(struct handoff__ferry *ferry, const char *text);

/* Counts connections that stay where they are, by a reason of a few words. */
void handoff__course_count(
	struct handoff__ferry *ferry, const char *word, uint32_t count);

/* Sends what it has come to so far to the other ferry, or fills it in from
 * there. */
void handoff__course_send(struct handoff__ferry *ferry);
void handoff__course_receive(struct handoff__ferry *ferry,
	const struct handoff__letter_report *report);

#endif
