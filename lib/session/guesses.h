/* SPDX-License-Identifier: MIT */
/*
 * How many wrong tokens have come from an address lately: a table of fixed size
 * in the caller's memory. Knows no sessions.
 */
#ifndef HANDOFF_SESSION_GUESSES_H
#define HANDOFF_SESSION_GUESSES_H

#include "record/record.h"

/* Wrong ones that an address may send. Clients of a service that is lost and
 * made anew ask for numbers that others may have there: many may be behind one
 * address, and are no guessers. */
#define HANDOFF__GUESSES        1000
#define HANDOFF__GUESSES_MS     60000 /* within that time */
#define HANDOFF__GUESSES_PLACES 128

/* All zero: nothing was counted. One thread at a time. */
struct handoff__guesses {
	struct handoff__guesser {
		uint64_t key;
		int64_t since_ms; /* 0: not used */
		uint32_t family, count;
	} places[HANDOFF__GUESSES_PLACES];
};

/* Whether this client may try once more, at `now_ms` of any clock but 0. */
bool handoff__guesses_allow(const struct handoff__guesses *guesses,
	const struct handoff__client *client, int64_t now_ms);

/* It was wrong. With all places in use the one that is used longest is
 * forgotten. */
void handoff__guesses_count(struct handoff__guesses *guesses,
	const struct handoff__client *client, int64_t now_ms);

#endif
