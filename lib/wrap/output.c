/* SPDX-License-Identifier: MIT */
/*
 * What an outer service does with the output of its transaction, and with input
 * that it holds. Output is a ring, and may be in two pieces.
 */
#include "wrap/wrap.h"

#include <errno.h>

int
handoff_wrap_output(struct handoff_conn *outer, uint64_t at, size_t len,
	struct iovec pieces[2])
{
	const struct handoff__commit *next;
	size_t size, offset, first;

	if (!outer || !pieces || at < handoff__wrap_begin(outer))
		return -EINVAL;
	next = outer->next;
	if (at > next->tx_head || len > next->tx_head - at)
		return -EINVAL;
	size = outer->view.seg->geo.tx_size;
	offset = (size_t)((at - next->tx_origin) & (size - 1));
	first = size - offset;
	pieces[0].iov_base = outer->view.tx + offset;
	pieces[0].iov_len = len < first ? len : first;
	pieces[1].iov_base = outer->view.tx;
	pieces[1].iov_len = len - pieces[0].iov_len;
	if (len == 0)
		return 0;
	return len <= first ? 1 : 2;
}

int
handoff_wrap_fill(
	struct handoff_conn *outer, uint64_t at, const void *data, size_t len)
{
	struct iovec pieces[2];
	int n = data || len == 0 ? handoff_wrap_output(outer, at, len, pieces)
				 : -EINVAL;

	for (int i = 0; i < n; i++) {
		memcpy(pieces[i].iov_base, data, pieces[i].iov_len);
		data = (const char *)data + pieces[i].iov_len;
	}
	return n < 0 ? n : 0;
}

void
handoff_wrap_held(struct handoff_conn *outer)
{
	outer->next->flags |= HANDOFF__HOLDS_INPUT;
}
