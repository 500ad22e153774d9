/* SPDX-License-Identifier: MIT */
/* The encoding of notices, their order and expiry. Pure: no I/O. */
#ifndef HANDOFF_NOTICE_NOTICE_H
#define HANDOFF_NOTICE_NOTICE_H

#include <handoff/notice.h>
#include <handoff/transport.h>

#include <stdbool.h>

/* maximum length of an encoded notice, and the message size of the queues */
#define HANDOFF__NOTICE_SIZE HANDOFF_TRANSPORT_MESSAGE_MAX

/* Names in the service directory: the retained notice, and the directory of the
 * subscribers. */
#define HANDOFF__NOTICE_FILE        "notice"
#define HANDOFF__NOTICE_SUBSCRIBERS "subscribers"

/* Returns the encoded length; -EMSGSIZE if `size` is too small, -EINVAL if a
 * field violates the public header. `data` is undefined on failure. */
int handoff__notice_encode(
	const struct handoff_notice *notice, void *data, size_t size);

/* Decodes untrusted bytes. Returns 0, or -EBADMSG and leaves `*notice` alone.
 * Ignores bytes after the known fields: they belong to later versions. */
int handoff__notice_decode(
	struct handoff_notice *notice, const void *data, size_t len);

/* Whether `a` is newer than `b`, by (generation, seq). */
bool handoff__notice_newer(
	const struct handoff_notice *a, const struct handoff_notice *b);

/* `now_ms` as of handoff__realtime_ms. */
bool handoff__notice_expired(
	const struct handoff_notice *notice, int64_t now_ms);

/* CLOCK_REALTIME in milliseconds since 1970: a clock that hosts share. */
int64_t handoff__realtime_ms(void);

#endif
