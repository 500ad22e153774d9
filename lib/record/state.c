/* SPDX-License-Identifier: MIT */
/*
 * How much of a connection's state is in use. A transaction copies that much,
 * and a snapshot too; the rest of the memory may have no page yet. Writes the
 * spare state only.
 */
#include "record/record.h"

size_t
handoff_conn_state_len(const struct handoff_conn *conn)
{
	return conn->next->state_len;
}

/* What is behind the length in use may be of any earlier transaction. */
void *
handoff_conn_state_resize(struct handoff_conn *conn, size_t len)
{
	size_t now = conn->next->state_len;

	if (len > conn->view.seg->geo.state_size)
		return NULL;
	if (len > now)
		memset((char *)conn->state + now, 0, len - now);
	conn->next->state_len = (uint32_t)len;
	return conn->state;
}
