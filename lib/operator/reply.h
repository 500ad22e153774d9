/* SPDX-License-Identifier: MIT */
/*
 * Replies to requests: a text, or "error" and a sentence.
 */
#ifndef HANDOFF_OPERATOR_REPLY_H
#define HANDOFF_OPERATOR_REPLY_H

#include "base/text.h"

struct handoff__request;

/* Returns the text, to be freed with free(3); NULL if an allocation failed. */
char *handoff__reply_text(struct handoff__buf *buf);

/* Returns "error SENTENCE" as such a text. */
char *handoff__reply_failure(const char *why);

void handoff__reply(struct handoff__request *request, struct handoff__buf *buf);
void handoff__reply_error(struct handoff__request *request, const char *why);

#endif
