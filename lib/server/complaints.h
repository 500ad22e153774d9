/* SPDX-License-Identifier: MIT */
/*
 * Lines in the log about what single clients do wrong.
 */
#ifndef HANDOFF_SERVER_COMPLAINTS_H
#define HANDOFF_SERVER_COMPLAINTS_H

#include <stdint.h>

struct handoff__member;

struct handoff__complaints {
	int64_t since_us;  /* when the present time began */
	uint32_t lines;    /* in it */
	uint64_t left_out; /* since the last line */
};

/* Logs that about the client of a connection, with its address: "MEMBER: WHAT:
 * WHY". In the server's thread. */
void handoff__complain(const struct handoff__member *member, const char *what,
	const char *why);

#endif
