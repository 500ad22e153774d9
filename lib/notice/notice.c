/* SPDX-License-Identifier: MIT */
/*
 * The codec of notices, their order and expiry. Pure, and safe on any bytes: a
 * queue or a file may hold anything.
 *
 * A later version may append fields and raise `version`; a change that an older
 * reader would misread takes a new magic.
 */
#include "notice/notice.h"

#include "base/text.h"
#include "base/wire.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define MAGIC   0x31544f4eu /* "NOT1" */
#define VERSION 1

const char *
handoff_notice_kind_name(enum handoff_notice_kind k)
{
	switch (k) {
	case HANDOFF_NOTICE_MAINTENANCE:
		return "MAINTENANCE";
	case HANDOFF_NOTICE_READY:
		return "READY";
	case HANDOFF_NOTICE_FAILOVER:
		return "FAILOVER";
	case HANDOFF_NOTICE_GOODBYE:
		return "GOODBYE";
	}
	return "?";
}

static bool
name_ok(const char *name)
{
	return name[0] == '\0' || handoff__name_ok(name);
}

/* no control characters: endpoints are printed on terminals and in logs */
static bool
endpoint_ok(const char *text)
{
	size_t len = strnlen(text, HANDOFF_ADDRESS_MAX);

	if (len == 0 || len == HANDOFF_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static bool
notice_ok(const struct handoff_notice *notice)
{
	if ((int)notice->kind < 1 || (int)notice->kind > UINT16_MAX ||
		notice->nendpoints > HANDOFF_NOTICE_ENDPOINTS)
		return false;
	for (uint32_t i = 0; i < notice->nendpoints; i++) {
		if (!endpoint_ok(notice->endpoints[i]))
			return false;
	}
	return name_ok(notice->service) && name_ok(notice->serving);
}

int
handoff__notice_encode(
	const struct handoff_notice *notice, void *data, size_t size)
{
	struct handoff__wire w = {.data = data, .size = size};

	if (!notice_ok(notice))
		return -EINVAL;
	handoff__put_u32(&w, MAGIC);
	handoff__put_u16(&w, VERSION);
	handoff__put_u16(&w, (uint16_t)notice->kind);
	handoff__put_u64(&w, notice->generation);
	handoff__put_u64(&w, notice->seq);
	handoff__put_u32(&w, notice->grace_ms);
	handoff__put_u32(&w, notice->spread_ms);
	handoff__put_u64(&w, (uint64_t)notice->expires_ms);
	handoff__put_text(&w, notice->service, HANDOFF_NAME_MAX);
	handoff__put_text(&w, notice->serving, HANDOFF_NAME_MAX);
	handoff__put_u32(&w, notice->nendpoints);
	for (uint32_t i = 0; i < notice->nendpoints; i++)
		handoff__put_text(
			&w, notice->endpoints[i], HANDOFF_ADDRESS_MAX);
	return w.bad ? -EMSGSIZE : (int)w.pos;
}

int
handoff__notice_decode(
	struct handoff_notice *notice, const void *data, size_t len)
{
	/* the getters do not write through the pointer */
	struct handoff__wire w = {.data = (unsigned char *)data, .size = len};
	struct handoff_notice n = {0};

	if (handoff__get_u32(&w) != MAGIC || handoff__get_u16(&w) < VERSION)
		return -EBADMSG;
	n.kind = (enum handoff_notice_kind)handoff__get_u16(&w);
	n.generation = handoff__get_u64(&w);
	n.seq = handoff__get_u64(&w);
	n.grace_ms = handoff__get_u32(&w);
	n.spread_ms = handoff__get_u32(&w);
	n.expires_ms = (int64_t)handoff__get_u64(&w);
	handoff__get_text(&w, n.service, HANDOFF_NAME_MAX);
	handoff__get_text(&w, n.serving, HANDOFF_NAME_MAX);
	n.nendpoints = handoff__get_u32(&w);
	if (w.bad || n.nendpoints > HANDOFF_NOTICE_ENDPOINTS)
		return -EBADMSG;
	for (uint32_t i = 0; i < n.nendpoints; i++)
		handoff__get_text(&w, n.endpoints[i], HANDOFF_ADDRESS_MAX);
	if (w.bad || !notice_ok(&n))
		return -EBADMSG;
	*notice = n;
	return 0;
}

bool
handoff__notice_newer(
	const struct handoff_notice *a, const struct handoff_notice *b)
{
	if (a->generation != b->generation)
		return a->generation > b->generation;
	return a->seq > b->seq;
}

bool
handoff__notice_expired(const struct handoff_notice *notice, int64_t now_ms)
{
	return notice->expires_ms != 0 && now_ms >= notice->expires_ms;
}

int64_t
handoff__realtime_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
