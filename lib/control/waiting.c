/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait for the same reply.
 */
#include "control/waiting.h"

#include <stdlib.h>
#include <string.h>

bool
handoff__waiting_add(struct handoff__waiting *waiting,
	struct handoff__request *request, const char *what)
{
	if (waiting->count == HANDOFF__REQUESTS_MAX)
		return false;
	if (waiting->count == 0)
		handoff__copy(waiting->what, sizeof(waiting->what), what);
	if (strcmp(waiting->what, what) != 0)
		return false;
	waiting->requests[waiting->count++] = request;
	return true;
}

void
handoff__waiting_reply(struct handoff__waiting *waiting, char *text)
{
	unsigned count = waiting->count;

	waiting->count = 0;
	for (unsigned i = 0; i < count; i++)
		handoff__control_reply(
			waiting->requests[i], text ? strdup(text) : NULL);
	free(text);
}
