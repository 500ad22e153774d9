/* SPDX-License-Identifier: MIT */
/*
 * The shared region of a service, read here and sent in parts. When that may be
 * is mover.c's: only while no handler runs. What the other host does with it is
 * taker.c's.
 */
#include "ferry/commons.h"

#include "ferry/letters.h"
#include "record/region.h"

#include <errno.h>
#include <stdlib.h>

uint32_t
handoff__commons_size(const struct handoff__ferry *ferry)
{
	const struct handoff__segment *commons =
		handoff__arena_commons(&ferry->pair.arena);

	return commons ? (uint32_t)handoff__region_size(commons) : 0;
}

int
handoff__commons_send(struct handoff__ferry *ferry)
{
	const struct handoff__segment *commons =
		handoff__arena_commons(&ferry->pair.arena);
	uint32_t size = handoff__commons_size(ferry);
	unsigned char *bytes = size > 0 ? malloc(size) : NULL;
	struct handoff__letter letter = {.type = HANDOFF__LETTER_REGION};
	int err = size == 0 ? 0 : bytes ? 0 : -ENOMEM;

	if (size == 0 || err < 0)
		return err;
	err = handoff__region_enter(commons);
	if (err == 0) {
		err = handoff__region_export(commons, 0, bytes, size);
		handoff__region_keep(commons);
	}
	for (uint32_t at = 0; err == 0 && at < size; at += letter.len) {
		letter.offset = at;
		letter.bytes = bytes + at;
		letter.len = size - at < HANDOFF__LETTER_REGION_MAX
				     ? size - at
				     : HANDOFF__LETTER_REGION_MAX;
		if (!handoff__letters_send(ferry, &letter))
			err = -ENOTCONN;
	}
	free(bytes);
	return err;
}
