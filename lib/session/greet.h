/* SPDX-License-Identifier: MIT */
/*
 * A connection before it has a session, and one that never has: each of these
 * is one transaction of it. `conn` has a sound head in its state, whose mode is
 * not ON.
 */
#ifndef HANDOFF_SESSION_GREET_H
#define HANDOFF_SESSION_GREET_H

#include "session/state.h"
#include "session/wrapper.h"

#include <handoff/wrap.h>

/* Finds out what the client is, begins a session, or leaves a wish. Of a plain
 * one: the inner service's `handle`, on its bytes as they are. */
int handoff__greet_handle(
	struct handoff_conn *conn, const struct handoff__wrapper *w);

/* The client is plain: the inner service's `open`. */
int handoff__greet_plain(
	struct handoff_conn *conn, const struct handoff__wrapper *w);

/* Of a plain client: the hook with its bytes as they are; of any other nothing
 * happens: posts before the first bytes are not for it. */
int handoff__greet_hook(struct handoff_conn *conn,
	const struct handoff__wrapper *w, enum handoff_wrap_hook hook);

#endif
