/* SPDX-License-Identifier: MIT */
/* One move to the other host, beside its batches. */
#ifndef HANDOFF_FERRY_MOVER_H
#define HANDOFF_FERRY_MOVER_H

#include "ferry/ferry.h"

/* BEGUN, REFUSED, FETCH, ADDRESSED. */
void handoff__mover_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter);

/* Takes the next steps that are possible now. */
void handoff__mover_proceed(struct handoff__ferry *ferry);

void handoff__mover_on_link(struct handoff__ferry *ferry, bool up);
void handoff__mover_on_ruled(
	struct handoff__ferry *ferry, bool on, int err, const char *text);
void handoff__mover_on_given(
	struct handoff__ferry *ferry, const struct handoff__report *report);

/* Breaks it off, if that is still possible: everything that is not committed
 * stays. */
void handoff__mover_break(struct handoff__ferry *ferry, const char *why);

#endif
