/* SPDX-License-Identifier: MIT */
/*
 * How much of a connection's state is in use, and its deadline. A transaction
 * copies that much, and a snapshot too; the rest of the memory may have no page
 * yet. Writes what takes effect with the commit only.
 */
#include "base/loop.h"
#include "record/record.h"

#include <errno.h>

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

int
handoff_conn_deadline(struct handoff_conn *conn, int64_t ms)
{
	struct handoff__record *rec = conn->view.rec;
	uint32_t spare = handoff__record_commit(rec)->deadline == 1 ? 2 : 1;

	if (ms < 0 || ms > INT64_MAX / 2)
		return -EINVAL;
	conn->next->deadline = ms > 0 ? spare : 0;
	if (ms == 0)
		return 0;
	/* never before: the clock's reading is rounded down */
	atomic_store_explicit(&rec->extra.deadline_ms[spare - 1],
		handoff__boot_ms() + (uint64_t)ms + 1, memory_order_relaxed);
	rec->touched |= HANDOFF__TIMED;
	return 0;
}
