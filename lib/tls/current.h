/* SPDX-License-Identifier: MIT */
/*
 * The connection whose inner handler runs in this thread, so that the handler
 * can ask about it.
 */
#ifndef HANDOFF_TLS_CURRENT_H
#define HANDOFF_TLS_CURRENT_H

#include "tls/state.h"

#include <handoff/wrap.h>

/* As handoff_wrap_run, for the connection whose head this is. */
int handoff__tls_call(struct handoff_conn *conn,
	const struct handoff__tls_head *head,
	const struct handoff_wrap_call *call,
	struct handoff_wrap_result *result);

#endif
