/* SPDX-License-Identifier: MIT */
/*
 * A record's `desk` word says where its bytes are. They have the same offsets
 * on the desk as in the record's own buffers: so copying them changes no
 * commit, and one store of `desk` switches over.
 */
#include "record/desk.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

/* up to here, overwriting is faster than returning the pages */
#define SMALL 4096u

static_assert(HANDOFF__DESKS <= HANDOFF__DESK_NUMBER, "a desk has a number");

bool
handoff__desk_view(struct handoff__view *at, uint32_t word)
{
	uint32_t number = word & HANDOFF__DESK_NUMBER;

	if (number == 0)
		return true;
	if (number > HANDOFF__DESKS)
		return false;
	handoff__desk_buffers(at, number);
	return true;
}

/* The pieces of the output have the same offsets in both buffers. */
static void
move_output(const struct handoff__view *view, const struct handoff__view *at)
{
	struct iovec iov[2];
	int pieces = handoff__record_tx_pieces(at, iov);

	for (int i = 0; i < pieces; i++)
		memcpy(view->tx + ((unsigned char *)iov[i].iov_base - at->tx),
			iov[i].iov_base, iov[i].iov_len);
}

void
handoff__desk_clear(const struct handoff__view *view)
{
	struct handoff__record *rec = view->rec;
	const struct handoff__commit *c = handoff__record_commit(rec);
	uint64_t unread = handoff__record_unread(rec);
	struct handoff__view at = *view;

	if (handoff__desk_of(rec) == 0 ||
		!handoff__desk_view(&at, handoff__desk_word(rec)))
		return;
	if (unread > 0 || handoff__record_unsent(rec) > 0) {
		memcpy(view->rx + (c->rx_tail - c->rx_origin),
			at.rx + (c->rx_tail - c->rx_origin), (size_t)unread);
		move_output(view, &at);
		rec->touched |= HANDOFF__PAGES;
	}
	handoff__desk_set(rec, 0);
}

static size_t
least(uint64_t a, size_t b)
{
	return a < b ? (size_t)a : b;
}

/* A turn begins at the start of both buffers: the desk holds no more of this
 * connection than it has ever transferred, and a longer rest of others is wiped
 * when the next of them ends. */
void
handoff__desk_wipe(const struct handoff__view *at)
{
	const struct handoff__geometry *geo = &at->seg->geo;
	size_t in = least(handoff__rx_head(at->rec), 2 * (size_t)geo->rx_size);
	size_t out =
		least(handoff__record_commit(at->rec)->tx_head, geo->tx_size);

	if ((in > SMALL || out > SMALL) && !at->seg->arena->secret &&
		madvise(at->rx, geo->buffer_stride, MADV_REMOVE) == 0)
		return;
	memset(at->rx, 0, in);
	memset(at->tx, 0, out);
}
