/* SPDX-License-Identifier: MIT */
/*
 * Input that a program has read and its state may not have yet. It is read to
 * the record's input buffer, which these programs do not use otherwise, so it
 * outlives the process. The kernel's counters say how much of it there is, so
 * nothing is to be noted after the read: only the position of its beginning,
 * before the first read after a commit. Changes no state.
 */
#include "embed/embed.h"

#include "base/progress.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The name of an entry comes first. */
static unsigned char *
bytes_of(const struct handoff_entry *e)
{
	return e->entry.view.rx + HANDOFF_ADDRESS_MAX;
}

static size_t
capacity(const struct handoff_entry *e)
{
	return 2 * (size_t)e->entry.view.seg->geo.rx_size - HANDOFF_ADDRESS_MAX;
}

/* Begins anew after a commit. False if `read` does not follow what is there. */
static bool
open_inbox(struct handoff__record *rec, uint64_t read)
{
	struct handoff__extra *x = &rec->extra;

	if (x->inbox != 0 && x->inbox_sequence == handoff__record_sequence(rec))
		return x->inbox - 1 + x->inbox_len == read;
	x->inbox_len = 0;
	x->inbox_sequence = handoff__record_sequence(rec);
	/* before any byte in the buffer is overwritten */
	atomic_store_explicit(&x->inbox, read + 1, memory_order_release);
	handoff__overwriting_follows();
	rec->touched |= HANDOFF__PAGES;
	return true;
}

int
handoff_entry_read(struct handoff_entry *e, uint64_t read, void *buf,
	size_t size, size_t *len)
{
	struct handoff__extra *x;
	unsigned char *at;
	size_t room;
	ssize_t n;

	if (!handoff__embed_serves(e) || e->entry.kind != HANDOFF__CONNECTION ||
		!buf || !len || !open_inbox(e->entry.view.rec, read))
		return -EINVAL;
	x = &e->entry.view.rec->extra;
	at = bytes_of(e) + x->inbox_len;
	room = capacity(e) - x->inbox_len;
	if (size == 0)
		return 0; /* would look like the end of the input */
	if (room == 0)
		return -ENOBUFS;
	n = recv(e->entry.fd, at, size < room ? size : room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	memcpy(buf, at, (size_t)n);
	x->inbox_len += (uint32_t)n;
	*len = (size_t)n;
	return 1;
}

int
handoff_entry_recover(
	struct handoff_entry *e, uint64_t read, const void **data, size_t *len)
{
	struct handoff__progress kernel;
	struct handoff__extra *x;
	int err;

	if (!handoff__embed_serves(e) || !data || !len)
		return -EINVAL;
	err = handoff__embed_progress(e, &kernel);
	if (err < 0)
		return err;
	x = &e->entry.view.rec->extra;
	if (kernel.read <= read)
		return 0;
	if (x->inbox != read + 1 || kernel.read - read > capacity(e))
		return -ENODATA;
	/* the owner may have died before it set these */
	x->inbox_len = (uint32_t)(kernel.read - read);
	x->inbox_sequence = handoff__record_sequence(e->entry.view.rec);
	*data = bytes_of(e);
	*len = x->inbox_len;
	return 1;
}
