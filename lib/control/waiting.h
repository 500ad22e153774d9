/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait for the end of one piece of work. A request that asks for
 * the same again waits with the first and gets the same answer.
 */
#ifndef HANDOFF_CONTROL_WAITING_H
#define HANDOFF_CONTROL_WAITING_H

#include "control/control.h"

struct handoff__waiting {
	struct handoff__request *requests[HANDOFF__REQUESTS_MAX];
	unsigned count;
	char what[32]; /* they have asked for */
};

/* False if the work that is under way is another. */
bool handoff__waiting_add(struct handoff__waiting *waiting,
	struct handoff__request *request, const char *what);

/* Answers them all; the text is taken over. */
void handoff__waiting_reply(struct handoff__waiting *waiting, char *text);

#endif
