/* SPDX-License-Identifier: MIT */
/*
 * The turns of an open connection. Each is one transaction: it opens TLS
 * records of the input, gives their plain text to the inner service, and seals
 * what that has written. If it is undone, or its process dies, nothing of it
 * has left the process, and the next one opens the same TLS records again.
 */
#ifndef HANDOFF_TLS_SERVE_H
#define HANDOFF_TLS_SERVE_H

#include "tls/component.h"
#include "tls/state.h"

#include <handoff/wrap.h>

/* `conn` has a sound head in its state that is OPEN or behind that. Return as
 * the hooks of a service do. */
int handoff__tls_serve_open(struct handoff_conn *conn, struct handoff__tls *w);
int handoff__tls_serve_handle(
	struct handoff_conn *conn, struct handoff__tls *w);
int handoff__tls_serve_posted(
	struct handoff_conn *conn, struct handoff__tls *w);
int handoff__tls_serve_farewell(
	struct handoff_conn *conn, struct handoff__tls *w);

#endif
