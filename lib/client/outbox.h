/* SPDX-License-Identifier: MIT */
/*
 * Messages waiting to be sent, in order, with their boundaries. One call passes
 * bytes of several messages to the kernel. A message leaves the outbox once the
 * kernel has taken all of it; in a session once the server has acknowledged
 * it: the caller uses _passed, _acked and _seek instead of _sent and _rewind.
 */
#ifndef HANDOFF_CLIENT_OUTBOX_H
#define HANDOFF_CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct handoff__outbox {
	size_t max;     /* upper bound in bytes */
	size_t largest; /* of one message */
	char *bytes;    /* a ring */
	size_t cap, head, len;
	size_t sent;   /* bytes of the first message already sent; in a session
			* of any messages */
	size_t acked;  /* of them, in a session */
	bool torn;     /* the first message has lost its beginning, which is
			* acknowledged */
	size_t *sizes; /* of the messages; a ring */
	size_t sizes_cap, sizes_head, count;
};

void handoff__outbox_init(struct handoff__outbox *box, size_t max);
void handoff__outbox_fini(struct handoff__outbox *box);

/* Appends a message of 1 or more bytes. -ENOBUFS if it does not fit now,
 * -EMSGSIZE if it never will, -ENOMEM; on failure nothing is added. */
int handoff__outbox_add(
	struct handoff__outbox *box, const void *data, size_t len);

/* The longest message that would be taken now. */
size_t handoff__outbox_room(const struct handoff__outbox *box);

/* Bytes not yet passed to the kernel. */
size_t handoff__outbox_unsent(const struct handoff__outbox *box);

/* Fills in up to two pieces with the next unsent bytes, at most `limit`.
 * Returns the number of pieces. */
int handoff__outbox_peek(
	const struct handoff__outbox *box, size_t limit, struct iovec iov[2]);

/* The same of what is `skip` bytes behind the next unsent ones. */
int handoff__outbox_peek_behind(const struct handoff__outbox *box, size_t skip,
	size_t limit, struct iovec iov[2]);

/* Removes `n` bytes that the kernel has taken. */
void handoff__outbox_sent(struct handoff__outbox *box, size_t n);

/* In a session: `n` bytes more were passed to the kernel; are acknowledged by
 * the server, of those that were passed. Of a message that is passed whole,
 * what is acknowledged leaves. */
void handoff__outbox_passed(struct handoff__outbox *box, size_t n);
void handoff__outbox_acked(struct handoff__outbox *box, size_t n);

/* In a session: goes on `n` bytes behind the acknowledged ones, at most where
 * it is. */
void handoff__outbox_seek(struct handoff__outbox *box, size_t n);

/* The session is gone: the messages that were passed whole leave, and with
 * `begun` the one of which a part was; the others wait as a whole. Returns how
 * many of the bytes that left were not acknowledged. A message that cannot be
 * sent whole any more leaves too. */
size_t handoff__outbox_forget(struct handoff__outbox *box, bool begun);

/* The connection is gone: a partly sent first message is sent again from its
 * start. */
void handoff__outbox_rewind(struct handoff__outbox *box);

#endif
