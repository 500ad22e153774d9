/* SPDX-License-Identifier: MIT */
/* One move to this host, beside its batches. */
#ifndef HANDOFF_FERRY_TAKER_H
#define HANDOFF_FERRY_TAKER_H

#include "ferry/ferry.h"

/* BEGIN, ADDRESS, REPORT, and what the other ferry says of a fetch. */
void handoff__taker_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter);

/* After a HELLO: a move whose last step was lost with a ferry is finished. */
void handoff__taker_on_hello(struct handoff__ferry *ferry,
	const struct handoff__letter_hello *hello);

/* Takes the next step, if there is one. */
void handoff__taker_proceed(struct handoff__ferry *ferry);

void handoff__taker_on_link(struct handoff__ferry *ferry, bool up);

#endif
