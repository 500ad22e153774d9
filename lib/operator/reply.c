/* SPDX-License-Identifier: MIT */
/*
 * Replies. If there is no memory for a reply its connection is closed, and
 * nothing else happens.
 */
#include "operator/reply.h"

#include "control/control.h"

#include <stdlib.h>

char *
handoff__reply_text(struct handoff__buf *buf)
{
	if (buf->failed) {
		free(buf->data);
		buf->data = NULL;
	}
	return buf->data;
}

char *
handoff__reply_failure(const char *why)
{
	struct handoff__buf buf = {0};

	handoff__buf_add(&buf, "error %s\n", why);
	return handoff__reply_text(&buf);
}

void
handoff__reply(struct handoff__request *request, struct handoff__buf *buf)
{
	handoff__control_reply(request, handoff__reply_text(buf));
}

void
handoff__reply_error(struct handoff__request *request, const char *why)
{
	handoff__control_reply(request, handoff__reply_failure(why));
}
