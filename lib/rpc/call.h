/* SPDX-License-Identifier: MIT */
/* One call, from its message to its reply in the connection's output. */
#ifndef HANDOFF_RPC_CALL_H
#define HANDOFF_RPC_CALL_H

#include "rpc/component.h"

/* Executes the call in a message, or refuses it, and writes at most one reply,
 * for which there is room. Consumes nothing. 0, or what the handler is to
 * return: -EBADMSG if it is not a call, or the error of handoff_rpc_fail. */
int handoff__rpc_execute(const struct handoff_rpc *rpc,
	struct handoff_conn *conn, const void *message, size_t len);

#endif
