/* SPDX-License-Identifier: MIT */
/*
 * The turns of a handshake. What the client has sent stays in the connection's
 * input until all is done, and what it was sent is known by its hash: so a
 * handshake whose process is gone is run again from its seed, and goes on.
 */
#ifndef HANDOFF_TLS_BEGIN_H
#define HANDOFF_TLS_BEGIN_H

#include "tls/component.h"

/* `conn` has a sound head in its state that is NEW or HANDSHAKE_ON. Return as
 * the hooks of a service do. */
int handoff__tls_begin_open(struct handoff_conn *conn, struct handoff__tls *w);
int handoff__tls_begin_handle(
	struct handoff_conn *conn, struct handoff__tls *w);

#endif
