/* SPDX-License-Identifier: MIT */
/*
 * Record marking (RFC 5531, section 11): a message in a stream is one or more
 * fragments, each behind four bytes that have its length and whether it is the
 * last. Knows nothing of what a message says, and does no input or output.
 */
#ifndef HANDOFF_RPC_RECORD_H
#define HANDOFF_RPC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOFF__RPC_MARK      4u
#define HANDOFF__RPC_LAST      0x80000000u
#define HANDOFF__RPC_FRAGMENTS 4096u

/* XDR's numbers: four bytes, the highest first. */
static inline uint32_t
handoff__rpc_get(const void *from)
{
	const uint8_t *b = from;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	       (uint32_t)b[2] << 8 | b[3];
}

static inline void
handoff__rpc_put(void *to, uint32_t v)
{
	uint8_t *b = to;

	b[0] = (uint8_t)(v >> 24);
	b[1] = (uint8_t)(v >> 16);
	b[2] = (uint8_t)(v >> 8);
	b[3] = (uint8_t)v;
}

/* Writes the mark of a message that is one fragment. */
void handoff__rpc_mark(void *to, size_t len);

struct handoff__rpc_record {
	size_t wire; /* bytes that it takes in the stream */
	size_t len;  /* bytes of the message */
	unsigned fragments;
};

/* Looks whether a whole record is in `len` bytes, of at most `max` with its
 * marks. 1: *record is filled; 0: more is needed; -EMSGSIZE: it will be longer
 * than `max`, -EBADMSG: a fragment is empty and not the last, or there are more
 * than HANDOFF__RPC_FRAGMENTS. */
int handoff__rpc_scan(const void *data, size_t len, size_t max,
	struct handoff__rpc_record *record);

/* Copies the message without its marks: record->len bytes. `data` is what it
 * was found in. */
void handoff__rpc_join(
	void *to, const void *data, const struct handoff__rpc_record *record);

/* What a reader of a stream has of its next record. Zeroed at first. */
struct handoff__rpc_stream {
	uint8_t *message; /* the first `len` bytes, up to `max` */
	size_t len, cap;
	size_t max;
	uint8_t mark[HANDOFF__RPC_MARK];
	uint8_t marked; /* bytes of the mark that have come */
	bool last;      /* this is the last fragment */
	bool whole;     /* the message has been given out */
	bool longer;    /* it has more than `max`, which are not kept */
	size_t left;    /* bytes of the fragment that are to come */
};

/* Takes bytes of the stream up to the end of a record, and stores in `*used`
 * how many these were. 1: stream->message is whole, until the next call; 0: all
 * was used; -EBADMSG as above, -ENOMEM: the stream is of no use any more, until
 * it is reset. */
int handoff__rpc_stream_feed(struct handoff__rpc_stream *stream,
	const void *data, size_t len, size_t *used);

/* Forgets a part of a record: another stream begins. */
void handoff__rpc_stream_reset(struct handoff__rpc_stream *stream);

void handoff__rpc_stream_fini(struct handoff__rpc_stream *stream);

#endif
