/* SPDX-License-Identifier: MIT */
/*
 * Codecs of little-endian fixed-size fields in a bounded buffer, for all data
 * that leaves the process. A put or get past the end sets `bad` and does
 * nothing else; check it once at the end.
 */
#ifndef HANDOFF_BASE_WIRE_H
#define HANDOFF_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handoff__wire {
	unsigned char *data;
	size_t size; /* of the buffer when writing, of the message when reading
		      */
	size_t pos;
	bool bad;
};

void handoff__put_u16(struct handoff__wire *w, uint16_t v);
void handoff__put_u32(struct handoff__wire *w, uint32_t v);
void handoff__put_u64(struct handoff__wire *w, uint64_t v);
/* A text field of fixed width, padded with zeros; `width` bytes. */
void handoff__put_text(struct handoff__wire *w, const char *text, size_t width);
/* As they are, without a length. */
void handoff__put_bytes(struct handoff__wire *w, const void *bytes, size_t len);

uint16_t handoff__get_u16(struct handoff__wire *w);
uint32_t handoff__get_u32(struct handoff__wire *w);
uint64_t handoff__get_u64(struct handoff__wire *w);
/* `text` has room for `width` bytes. A field without a terminating zero sets
 * `bad`. */
void handoff__get_text(struct handoff__wire *w, char *text, size_t width);
void handoff__get_bytes(struct handoff__wire *w, void *bytes, size_t len);

#endif
