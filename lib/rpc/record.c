/* SPDX-License-Identifier: MIT */
/*
 * Record marking, for a server that has all of its input in one place, and for
 * a client that gets it in pieces. What a length says is believed only up to
 * the reader's limit, and no memory is taken for bytes that have not come.
 */
#include "rpc/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 4096u

void
handoff__rpc_mark(void *to, size_t len)
{
	handoff__rpc_put(to, HANDOFF__RPC_LAST | (uint32_t)len);
}

int
handoff__rpc_scan(const void *data, size_t len, size_t max,
	struct handoff__rpc_record *record)
{
	struct handoff__rpc_record r = {0};
	uint32_t mark, part;

	do {
		if (len - r.wire < HANDOFF__RPC_MARK)
			return 0;
		mark = handoff__rpc_get((const uint8_t *)data + r.wire);
		part = mark & ~HANDOFF__RPC_LAST;
		if (mark == 0 || r.fragments == HANDOFF__RPC_FRAGMENTS)
			return -EBADMSG;
		r.fragments++;
		r.wire += HANDOFF__RPC_MARK;
		if (r.wire > max || part > max - r.wire)
			return -EMSGSIZE;
		if (part > len - r.wire)
			return 0;
		r.wire += part;
		r.len += part;
	} while (!(mark & HANDOFF__RPC_LAST));
	*record = r;
	return 1;
}

void
handoff__rpc_join(
	void *to, const void *data, const struct handoff__rpc_record *record)
{
	const uint8_t *from = data;
	uint8_t *at = to;

	for (unsigned i = 0; i < record->fragments; i++) {
		uint32_t part = handoff__rpc_get(from) & ~HANDOFF__RPC_LAST;

		memcpy(at, from + HANDOFF__RPC_MARK, part);
		at += part;
		from += HANDOFF__RPC_MARK + part;
	}
}

static int
grow(struct handoff__rpc_stream *stream, size_t need)
{
	size_t cap = stream->cap ? stream->cap : FIRST_BYTES;
	uint8_t *message;

	while (cap < need)
		cap *= 2;
	if (cap == stream->cap)
		return 0;
	message = realloc(stream->message, cap);
	if (!message)
		return -ENOMEM;
	stream->message = message;
	stream->cap = cap;
	return 0;
}

/* Takes bytes of a mark; negative if it is none. */
static int
take_mark(struct handoff__rpc_stream *stream, const uint8_t *data, size_t len,
	size_t *used)
{
	uint32_t mark;

	while (stream->marked < HANDOFF__RPC_MARK && *used < len)
		stream->mark[stream->marked++] = data[(*used)++];
	if (stream->marked < HANDOFF__RPC_MARK)
		return 0;
	mark = handoff__rpc_get(stream->mark);
	if (mark == 0)
		return -EBADMSG;
	stream->last = (mark & HANDOFF__RPC_LAST) != 0;
	stream->left = mark & ~HANDOFF__RPC_LAST;
	return 0;
}

/* Takes bytes of a fragment, and keeps what the limit allows. */
static int
take_part(struct handoff__rpc_stream *stream, const uint8_t *data, size_t len,
	size_t *used)
{
	size_t n = len - *used < stream->left ? len - *used : stream->left;
	size_t keep = stream->max - stream->len;

	if (keep > n)
		keep = n;
	if (keep > 0) {
		if (grow(stream, stream->len + keep) < 0)
			return -ENOMEM;
		memcpy(stream->message + stream->len, data + *used, keep);
	}
	stream->longer |= keep < n;
	stream->len += keep;
	stream->left -= n;
	*used += n;
	return 0;
}

int
handoff__rpc_stream_feed(struct handoff__rpc_stream *stream, const void *data,
	size_t len, size_t *used)
{
	int err = 0;

	*used = 0;
	if (stream->whole)
		handoff__rpc_stream_reset(stream);
	while (err == 0) {
		if (stream->marked < HANDOFF__RPC_MARK)
			err = take_mark(stream, data, len, used);
		if (err < 0 || stream->marked < HANDOFF__RPC_MARK)
			return err;
		err = take_part(stream, data, len, used);
		if (err < 0 || stream->left > 0)
			return err;
		stream->marked = 0;
		if (stream->last)
			break;
	}
	stream->whole = true;
	return 1;
}

void
handoff__rpc_stream_reset(struct handoff__rpc_stream *stream)
{
	stream->len = stream->left = 0;
	stream->marked = 0;
	stream->last = stream->whole = stream->longer = false;
}

void
handoff__rpc_stream_fini(struct handoff__rpc_stream *stream)
{
	free(stream->message);
	stream->message = NULL;
	stream->cap = 0;
	handoff__rpc_stream_reset(stream);
}
