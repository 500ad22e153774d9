/* SPDX-License-Identifier: MIT */
/*
 * A session in course: each of these is one transaction of its connection.
 * `conn` has a sound head in its state, whose mode is ON.
 */
#ifndef HANDOFF_SESSION_SERVE_H
#define HANDOFF_SESSION_SERVE_H

#include "session/state.h"
#include "session/wrapper.h"

/* Bytes of the output that frames without data can count on. */
#define HANDOFF__SESSION_SPARE 256u

/* Takes what has come, calls the inner service's `handle` if there is anything
 * for it, and frames what that has written. Returns what it has returned. */
int handoff__serve_handle(
	struct handoff_conn *conn, const struct handoff__wrapper *w);

/* The same for a post, which is part of this transaction. */
int handoff__serve_posted(
	struct handoff_conn *conn, const struct handoff__wrapper *w);

/* The session has just begun: the inner service's `open`. */
int handoff__serve_open(
	struct handoff_conn *conn, const struct handoff__wrapper *w);

/* Last words, and the end of the stream. */
int handoff__serve_farewell(
	struct handoff_conn *conn, const struct handoff__wrapper *w);

/* Ends the session with ABORT, as far as there is room. */
void handoff__serve_abort(struct handoff_conn *conn, enum handoff__abort reason,
	const char *text, enum handoff_end_reason end);

#endif
