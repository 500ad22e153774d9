/* SPDX-License-Identifier: MIT */
/*
 * Whether a peer may be stopped now, in one sentence, and how well the service
 * stands: both by the statuses of the peers alone.
 */
#ifndef HANDOFF_CONTROL_VERDICT_H
#define HANDOFF_CONTROL_VERDICT_H

#include "base/text.h"
#include "control/contact.h"

/* As monitoring plugins exit. */
enum handoff__grade {
	HANDOFF__GRADE_OK = 0,
	HANDOFF__GRADE_WARNING = 1,
	HANDOFF__GRADE_CRITICAL = 2,
	HANDOFF__GRADE_UNKNOWN = 3,
};

/* Adds the sentence, without a newline, for one or two peers whose `body` is
 * the answer to "status"; those that have not answered have no role. Returns
 * its grade. */
enum handoff__grade handoff__verdict(const struct handoff__contact *peers,
	size_t npeers, struct handoff__buf *buf);

/* The same as one line for a monitor, with what else is worth a warning and
 * numbers: "HANDOFF OK - echo: ... | connections=3 ...". Returns the worst
 * grade. */
enum handoff__grade handoff__verdict_line(const struct handoff__contact *peers,
	size_t npeers, struct handoff__buf *buf);

/* The word of a grade: "OK". */
const char *handoff__grade_word(enum handoff__grade grade);

#endif
