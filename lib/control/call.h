/* SPDX-License-Identifier: MIT */
/*
 * One call of the control tool: the live peers of a directory, which of them it
 * is for, and the sentence or text that it returns.
 */
#ifndef HANDOFF_CONTROL_CALL_H
#define HANDOFF_CONTROL_CALL_H

#include "base/text.h"
#include "control/contact.h"

#define HANDOFF__STATUS_MS  2000 /* for all peers to report their status */
#define HANDOFF__RETRY_MS   20   /* between attempts */
#define HANDOFF__CALL_PEERS 2

struct handoff__call {
	struct handoff__dir dir;
	struct handoff__contact peers[HANDOFF__CALL_PEERS];
	size_t npeers;
	char **reply;     /* the caller's; a text to be freed, or NULL */
	uint32_t wait_ms; /* what a request may take beyond the usual time */
	/* Called about every HANDOFF__IDLE_MS while a command is carried out;
	 * NULL: nothing is. */
	void (*look)(void *arg);
	void *look_arg;
	int64_t deadline_us; /* no status is waited for longer; 0: the usual
			      * time alone counts */
};

/* Opens the directory and finds its live peers; an error if there is none. The
 * caller closes it even after an error. */
int handoff__call_open(
	struct handoff__call *call, const char *dir, char **reply);

/* Returns `err`. */
int handoff__call_close(struct handoff__call *call, int err);

/* Stores the sentence for the caller and returns `err`. */
int handoff__call_fail(const struct handoff__call *call, int err,
	const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Passes the text to the caller and returns `err`; -ENOMEM if it is
 * incomplete. */
int handoff__call_finish(
	const struct handoff__call *call, int err, struct handoff__buf *buf);

/* Explains why a request was not answered with "ok"; returns `err`. */
int handoff__call_explain(const struct handoff__call *call,
	const struct handoff__contact *peer, int err, int timeout_ms);

/* Adds names and process IDs of all peers. */
void handoff__call_names(
	const struct handoff__call *call, struct handoff__buf *buf);

/* Queries all peers. A peer that has left meanwhile is dropped, one that does
 * not answer has no role, and the owner is moved to the front. */
int handoff__call_ask(struct handoff__call *call, const char *request);

/* Sends a command to the peer, with the descriptor `fd` (-1: none), waits for
 * the end of it, and composes the reply. -EAGAIN for a refusal that begins with
 * "not ready: ". */
int handoff__call_send(const struct handoff__call *call,
	struct handoff__contact *peer, const char *request, int fd);

/* Finds the peer of that role. As long as there is none and `may_come` says
 * that one may come (NULL: no), asks again, up to HANDOFF__STATUS_MS. If there
 * is none, but a peer has not answered, returns an error about that peer,
 * otherwise 0, and `*found` is NULL. */
int handoff__call_find_role(struct handoff__call *call, const char *role,
	bool (*may_come)(const struct handoff__call *call),
	struct handoff__contact **found);

#endif
