/* SPDX-License-Identifier: MIT */
/*
 * The memory of an entry that is data: a memfd, which is the entry's
 * descriptor, of two equal halves. One of them holds the state, and the other
 * is written to next; which, and how long the state is, is in the entry's
 * record and changes with its commit. Pages are allocated when first touched.
 * Trusts no descriptor that comes from another process, and knows no records.
 */
#ifndef HANDOFF_RECORD_DATA_H
#define HANDOFF_RECORD_DATA_H

#include <stddef.h>
#include <stdint.h>

/* of a half */
#define HANDOFF__DATA_MAX (UINT64_C(1) << 30)

/* The state of the entry's record is one word: the length, and this bit if the
 * second half is the valid one. */
#define HANDOFF__DATA_SECOND (UINT64_C(1) << 63)

struct handoff__data {
	unsigned char *base; /* NULL: not mapped */
	size_t half;         /* bytes */
};

/* Creates it with room for so many bytes, in whole pages: a descriptor, or a
 * negative errno. */
int handoff__data_create(uint64_t capacity);

/* The bytes of a half; -EBADMSG unless it can be mapped and written to, and
 * will never be smaller. */
int handoff__data_check(int fd, size_t *half);

/* Maps it, after that check. */
int handoff__data_map(struct handoff__data *data, int fd);

/* Fine if it is not mapped. */
void handoff__data_unmap(struct handoff__data *data);

static inline unsigned char *
handoff__data_half(const struct handoff__data *data, unsigned which)
{
	return data->base + which * data->half;
}

#endif
