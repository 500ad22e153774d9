/* SPDX-License-Identifier: MIT */
/*
 * The messages that wait to be sent, in order, with their boundaries. Bytes of
 * several messages are given to the kernel in one call; a message leaves the
 * outbox when all of it was taken.
 */
#ifndef HANDOFF_CLIENT_OUTBOX_H
#define HANDOFF_CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct handoff__outbox {
	size_t max;  /* bytes held at most */
	char *bytes; /* a ring */
	size_t cap, head, len;
	size_t sent;   /* of the message at the head */
	size_t *sizes; /* of the messages: a ring */
	size_t sizes_cap, sizes_head, count;
};

void handoff__outbox_init(struct handoff__outbox *box, size_t max);
void handoff__outbox_fini(struct handoff__outbox *box);

/* Appends a message of 1 or more bytes. -ENOBUFS if it does not fit now,
 * -EMSGSIZE if it never will, -ENOMEM; then nothing was taken. */
int handoff__outbox_add(
	struct handoff__outbox *box, const void *data, size_t len);

/* Bytes not yet given to the kernel. */
size_t handoff__outbox_unsent(const struct handoff__outbox *box);

/* Up to two pieces that hold the next unsent bytes, `limit` at most. Returns
 * how many pieces. */
int handoff__outbox_peek(
	const struct handoff__outbox *box, size_t limit, struct iovec iov[2]);

/* The kernel took `n` bytes. */
void handoff__outbox_sent(struct handoff__outbox *box, size_t n);

/* The connection is gone: what of the first message was sent is sent again. */
void handoff__outbox_rewind(struct handoff__outbox *box);

#endif
