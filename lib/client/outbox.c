/* SPDX-License-Identifier: MIT */
/*
 * Two rings: bytes and message sizes. They grow on demand up to the bound and
 * are then reused, so that a busy connection allocates nothing.
 */
#include "client/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 4096
#define FIRST_SIZES 32

void
handoff__outbox_init(struct handoff__outbox *box, size_t max)
{
	memset(box, 0, sizeof(*box));
	box->max = box->largest = max;
}

void
handoff__outbox_fini(struct handoff__outbox *box)
{
	free(box->bytes);
	free(box->sizes);
	handoff__outbox_init(box, box->max);
}

/* Copies the ring to the start of a larger one. */
static bool
grow_bytes(struct handoff__outbox *box, size_t need)
{
	size_t cap = box->cap ? box->cap : FIRST_BYTES, first;
	char *bytes;

	while (cap < need)
		cap *= 2;
	bytes = malloc(cap);
	if (!bytes)
		return false;
	first = box->cap - box->head;
	if (first > box->len)
		first = box->len;
	if (box->len > 0) {
		memcpy(bytes, box->bytes + box->head, first);
		memcpy(bytes + first, box->bytes, box->len - first);
	}
	free(box->bytes);
	box->bytes = bytes;
	box->cap = cap;
	box->head = 0;
	return true;
}

static bool
grow_sizes(struct handoff__outbox *box)
{
	size_t cap = box->sizes_cap ? 2 * box->sizes_cap : FIRST_SIZES;
	size_t *sizes = calloc(cap, sizeof(*sizes));

	if (!sizes)
		return false;
	for (size_t i = 0; i < box->count; i++)
		sizes[i] = box->sizes[(box->sizes_head + i) % box->sizes_cap];
	free(box->sizes);
	box->sizes = sizes;
	box->sizes_cap = cap;
	box->sizes_head = 0;
	return true;
}

int
handoff__outbox_add(struct handoff__outbox *box, const void *data, size_t len)
{
	size_t tail, first;

	assert(len > 0);
	if (len > box->largest)
		return -EMSGSIZE;
	if (len > box->max - box->len)
		return -ENOBUFS;
	if (box->cap - box->len < len && !grow_bytes(box, box->len + len))
		return -ENOMEM;
	if (box->count == box->sizes_cap && !grow_sizes(box))
		return -ENOMEM;
	tail = (box->head + box->len) % box->cap;
	first = box->cap - tail < len ? box->cap - tail : len;
	memcpy(box->bytes + tail, data, first);
	memcpy(box->bytes, (const char *)data + first, len - first);
	box->len += len;
	box->sizes[(box->sizes_head + box->count) % box->sizes_cap] = len;
	box->count++;
	return 0;
}

size_t
handoff__outbox_room(const struct handoff__outbox *box)
{
	size_t room = box->max - box->len;

	return room < box->largest ? room : box->largest;
}

size_t
handoff__outbox_unsent(const struct handoff__outbox *box)
{
	return box->len - box->sent;
}

int
handoff__outbox_peek_behind(const struct handoff__outbox *box, size_t skip,
	size_t limit, struct iovec iov[2])
{
	size_t len = handoff__outbox_unsent(box) - skip, at, first;

	if (len > limit)
		len = limit;
	if (len == 0)
		return 0;
	at = (box->head + box->sent + skip) % box->cap;
	first = box->cap - at < len ? box->cap - at : len;
	iov[0] = (struct iovec){box->bytes + at, first};
	iov[1] = (struct iovec){box->bytes, len - first};
	return len > first ? 2 : 1;
}

int
handoff__outbox_peek(
	const struct handoff__outbox *box, size_t limit, struct iovec iov[2])
{
	return handoff__outbox_peek_behind(box, 0, limit, iov);
}

/* The first `n` bytes of the first message leave, and it with the last. */
static void
cut_first(struct handoff__outbox *box, size_t n)
{
	size_t *size = &box->sizes[box->sizes_head];

	box->len -= n;
	box->head = (box->head + n) % box->cap;
	*size -= n;
	box->torn = *size > 0;
	if (*size > 0)
		return;
	box->sizes_head = (box->sizes_head + 1) % box->sizes_cap;
	box->count--;
}

void
handoff__outbox_sent(struct handoff__outbox *box, size_t n)
{
	assert(n <= handoff__outbox_unsent(box));
	box->sent += n;
	while (box->count > 0 && box->sent >= box->sizes[box->sizes_head]) {
		size_t size = box->sizes[box->sizes_head];

		box->sent -= size;
		cut_first(box, size);
	}
}

/* A message of which bytes are still to be passed stays whole: it may have to
 * be sent again as one, in another session. */
static void
drop_acked(struct handoff__outbox *box)
{
	while (box->acked > 0 && box->sent >= box->sizes[box->sizes_head]) {
		size_t size = box->sizes[box->sizes_head];
		size_t n = size < box->acked ? size : box->acked;

		box->sent -= n;
		box->acked -= n;
		cut_first(box, n);
	}
}

void
handoff__outbox_passed(struct handoff__outbox *box, size_t n)
{
	assert(n <= handoff__outbox_unsent(box));
	box->sent += n;
	drop_acked(box);
}

void
handoff__outbox_acked(struct handoff__outbox *box, size_t n)
{
	assert(n <= box->sent - box->acked);
	box->acked += n;
	drop_acked(box);
}

void
handoff__outbox_seek(struct handoff__outbox *box, size_t n)
{
	assert(n <= box->sent - box->acked);
	box->sent = box->acked + n;
}

size_t
handoff__outbox_forget(struct handoff__outbox *box, bool begun)
{
	size_t unknown = 0;

	while (box->count > 0 &&
		(box->torn || box->sent >= box->sizes[box->sizes_head] ||
			(begun && box->sent > 0))) {
		size_t size = box->sizes[box->sizes_head];

		unknown += size - box->acked;
		box->acked = 0;
		box->sent = box->sent > size ? box->sent - size : 0;
		cut_first(box, size);
	}
	box->sent = box->acked = 0;
	return unknown;
}

void
handoff__outbox_rewind(struct handoff__outbox *box)
{
	box->sent = 0;
}
