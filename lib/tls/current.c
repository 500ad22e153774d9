/* SPDX-License-Identifier: MIT */
/*
 * Notes the connection around a call of the inner service. A handler does not
 * call another connection's, but a service may be wrapped twice.
 */
#include "tls/current.h"

#include <handoff/tls.h>
#include <string.h>

struct current {
	const struct handoff__tls_head *head;
	uint64_t id;
};

static _Thread_local struct current current;

int
handoff__tls_call(struct handoff_conn *conn,
	const struct handoff__tls_head *head,
	const struct handoff_wrap_call *call,
	struct handoff_wrap_result *result)
{
	struct current outer = current;
	int rc;

	current = (struct current){.head = head, .id = handoff_conn_id(conn)};
	rc = handoff_wrap_run(conn, call, result);
	current = outer;
	return rc;
}

/* The number of a text, which are as in state.h; NULL: no handler runs. */
static const char *
text_of(const struct handoff_conn *conn, unsigned number)
{
	const char *text;

	if (!conn || !current.head || current.id != handoff_conn_id(conn))
		return NULL;
	if (current.head->texts_len == 0)
		return "";
	text = handoff__tls_texts(current.head);
	while (number-- > 0)
		text += strlen(text) + 1;
	return text;
}

const char *
handoff_tls_alpn(const struct handoff_conn *conn)
{
	return text_of(conn, 0);
}

const char *
handoff_tls_server_name(const struct handoff_conn *conn)
{
	return text_of(conn, 1);
}

const char *
handoff_tls_peer(const struct handoff_conn *conn)
{
	return text_of(conn, 2);
}

bool
handoff_tls_peer_cut(const struct handoff_conn *conn)
{
	return text_of(conn, 2) &&
	       (current.head->flags & HANDOFF__TLS_PEER_CUT);
}
