/* SPDX-License-Identifier: MIT */
/*
 * Replies to requests: text that was put together, or "error" and a sentence.
 */
#ifndef HANDOFF_OPERATOR_REPLY_H
#define HANDOFF_OPERATOR_REPLY_H

#include "base/text.h"

struct handoff__request;

/* The text, for others to free; NULL if there was no memory for all of it. */
char *handoff__reply_text(struct handoff__buf *buf);

/* "error SENTENCE": such a text. */
char *handoff__reply_failure(const char *why);

void handoff__reply(struct handoff__request *request, struct handoff__buf *buf);
void handoff__reply_error(struct handoff__request *request, const char *why);

#endif
