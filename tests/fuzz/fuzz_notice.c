/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a notice, as a queue or a file may hold them: it is refused
 * and nothing is changed, or every field is what the header says.
 */
#include "fuzz.h"

#include "notice/notice.h"

#include "base/text.h"

#include <errno.h>

static void
check_fields(const struct handoff_notice *n)
{
	check(n->service[0] == '\0' || handoff__name_ok(n->service));
	check(n->serving[0] == '\0' || handoff__name_ok(n->serving));
	check(n->nendpoints <= HANDOFF_NOTICE_ENDPOINTS);
	for (uint32_t i = 0; i < n->nendpoints; i++) {
		const char *text = n->endpoints[i];
		size_t len = strnlen(text, HANDOFF_ADDRESS_MAX);

		check(len > 0 && len < HANDOFF_ADDRESS_MAX);
		for (size_t at = 0; at < len; at++)
			check((unsigned char)text[at] >= 0x20 &&
				text[at] != 0x7f);
	}
	check(handoff_notice_kind_name(n->kind));
}

static int
decode(struct handoff_notice *notice, const unsigned char *data, size_t size)
{
	unsigned char *copy = exact_copy(data, size);
	int err;

	err = handoff__notice_decode(notice, copy, size);
	free(copy);
	return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char encoded[HANDOFF__NOTICE_SIZE];
	struct handoff_notice notice, before, again;
	int len;

	memset(&notice, 0xee, sizeof(notice));
	memset(&again, 0, sizeof(again));
	before = notice;
	if (decode(&notice, data, size) < 0) {
		check(memcmp(&notice, &before, sizeof(notice)) == 0);
		return 0;
	}
	check_fields(&notice);
	len = handoff__notice_encode(&notice, encoded, sizeof(encoded));
	check(len > 0 && (size_t)len <= size);
	check(decode(&again, encoded, (size_t)len) == 0);
	check(memcmp(&notice, &again, sizeof(notice)) == 0);
	check(!handoff__notice_newer(&notice, &again));
	check(handoff__notice_encode(&notice, encoded, (size_t)len - 1) ==
		-EMSGSIZE);
	(void)handoff__notice_expired(&notice, INT64_MAX);
	(void)handoff__notice_expired(&notice, INT64_MIN);
	return 0;
}
