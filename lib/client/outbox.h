/* SPDX-License-Identifier: MIT */
/*
 * Messages waiting to be sent, in order, with their boundaries. One call passes
 * bytes of several messages to the kernel; a message leaves the outbox once the
 * kernel has taken all of it.
 */
#ifndef HANDOFF_CLIENT_OUTBOX_H
#define HANDOFF_CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct handoff__outbox {
	size_t max;  /* upper bound in bytes */
	char *bytes; /* a ring */
	size_t cap, head, len;
	size_t sent;   /* bytes of the first message already sent */
	size_t *sizes; /* of the messages; a ring */
	size_t sizes_cap, sizes_head, count;
};

void handoff__outbox_init(struct handoff__outbox *box, size_t max);
void handoff__outbox_fini(struct handoff__outbox *box);

/* Appends a message of 1 or more bytes. -ENOBUFS if it does not fit now,
 * -EMSGSIZE if it never will, -ENOMEM; on failure nothing is added. */
int handoff__outbox_add(
	struct handoff__outbox *box, const void *data, size_t len);

/* Bytes not yet passed to the kernel. */
size_t handoff__outbox_unsent(const struct handoff__outbox *box);

/* Fills in up to two pieces with the next unsent bytes, at most `limit`.
 * Returns the number of pieces. */
int handoff__outbox_peek(
	const struct handoff__outbox *box, size_t limit, struct iovec iov[2]);

/* Removes `n` bytes that the kernel has taken. */
void handoff__outbox_sent(struct handoff__outbox *box, size_t n);

/* The connection is gone: a partly sent first message is sent again from its
 * start. */
void handoff__outbox_rewind(struct handoff__outbox *box);

#endif
