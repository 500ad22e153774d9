/* SPDX-License-Identifier: MIT */
/* Messages to the other ferry. */
#ifndef HANDOFF_FERRY_LETTERS_H
#define HANDOFF_FERRY_LETTERS_H

#include "ferry/ferry.h"

/* Sends it, if the link is up; a link that fails ends by itself. False if it
 * was not sent. */
bool handoff__letters_send(
	struct handoff__ferry *ferry, const struct handoff__letter *letter);

/* One that has no fields but its batch. */
void handoff__letters_plain(struct handoff__ferry *ferry,
	enum handoff__letter_type type, uint64_t batch);

/* One with a sentence. */
void handoff__letters_text(struct handoff__ferry *ferry,
	enum handoff__letter_type type, uint64_t batch, const char *text);

/* Says what this ferry is; `always`: also if nothing has changed since. */
void handoff__letters_hello(struct handoff__ferry *ferry, bool always);

/* Whether the other ferry's service can be this one's; -EPROTO with a sentence
 * in `error`. */
int handoff__letters_judge(struct handoff__ferry *ferry,
	const struct handoff__letter_hello *hello);

/* 0 if the server of the other host understands the states of this one's;
 * -EPERM with a sentence in the ferry's error. */
int handoff__letters_fits(struct handoff__ferry *ferry);

#endif
