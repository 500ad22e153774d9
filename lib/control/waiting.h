/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait for the end of one operation. A request for the same
 * operation joins the first and gets the same reply.
 */
#ifndef HANDOFF_CONTROL_WAITING_H
#define HANDOFF_CONTROL_WAITING_H

#include "control/control.h"

struct handoff__waiting {
	struct handoff__request *requests[HANDOFF__REQUESTS_MAX];
	unsigned count;
	char what[96]; /* the operation requested */
};

/* False if a different operation is in progress. */
bool handoff__waiting_add(struct handoff__waiting *waiting,
	struct handoff__request *request, const char *what);

/* Replies to them all; takes the text over. */
void handoff__waiting_reply(struct handoff__waiting *waiting, char *text);

#endif
