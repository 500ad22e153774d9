/* SPDX-License-Identifier: MIT */
/*
 * Clients can do wrong as often as they like, and must not fill the log: it
 * gets so many lines in a time, and each says how many were left out before it.
 * The metrics count all of them.
 */
#include "server/complaints.h"

#include "server/internal.h"

#include <stdio.h>

#define LINES   10
#define TIME_US 10000000

/* Whether there is a line for this one. */
static bool
may_log(struct handoff__complaints *c)
{
	int64_t now = handoff__now_us();

	if (c->since_us == 0 || now - c->since_us >= TIME_US) {
		c->since_us = now;
		c->lines = 0;
	}
	if (c->lines < LINES) {
		c->lines++;
		return true;
	}
	c->left_out++;
	return false;
}

void
handoff__complain(
	const struct handoff__member *member, const char *what, const char *why)
{
	struct handoff_server *server = member->server;
	struct handoff__complaints *c = &server->complaints;
	char address[HANDOFF_ADDRESS_MAX] = "?", more[64] = "";

	if (!may_log(c))
		return;
	handoff__client_text(&member->entry.view, member->entry.fd, address,
		sizeof(address));
	if (c->left_out > 0)
		snprintf(more, sizeof(more),
			" (and %llu more since the last such line)",
			(unsigned long long)c->left_out);
	c->left_out = 0;
	handoff__log(&server->log, HANDOFF_LOG_INFO,
		"connection %llu of %s: %s: %s%s",
		(unsigned long long)member->entry.id, address, what, why, more);
}
