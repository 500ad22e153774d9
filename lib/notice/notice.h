/* SPDX-License-Identifier: MIT */
/* Notices as bytes, their order and their expiry. Pure: no I/O. */
#ifndef HANDOFF_NOTICE_NOTICE_H
#define HANDOFF_NOTICE_NOTICE_H

#include <handoff/notice.h>

#include <stdbool.h>

/* The longest encoded notice; the message size of queues. */
#define HANDOFF__NOTICE_SIZE 768

/* Where the retained notice lies in the service directory, and those who are
 * to be told of the next one. */
#define HANDOFF__NOTICE_FILE        "notice"
#define HANDOFF__NOTICE_SUBSCRIBERS "subscribers"

/* Encodes. Returns the length; -EMSGSIZE if `size` bytes are too few, -EINVAL
 * if a field is not what the header says (then nothing is of use). */
int handoff__notice_encode(
	const struct handoff_notice *notice, void *data, size_t size);

/* Decodes any bytes. Returns 0, or -EBADMSG and leaves `*notice` alone. What
 * follows the fields known here belongs to later versions and is ignored. */
int handoff__notice_decode(
	struct handoff_notice *notice, const void *data, size_t len);

/* Is `a` newer than `b`, by (generation, seq)? */
bool handoff__notice_newer(
	const struct handoff_notice *a, const struct handoff_notice *b);

/* `now_ms` as of handoff__realtime_ms. */
bool handoff__notice_expired(
	const struct handoff_notice *notice, int64_t now_ms);

/* CLOCK_REALTIME in milliseconds since 1970: the clock that hosts share. */
int64_t handoff__realtime_ms(void);

#endif
