/* SPDX-License-Identifier: MIT */
/*
 * The images of a batch in a sealed memfd, which a ferry gives its helper, and
 * keeps in the arena (record/keep.h). Its format: u32 count, u32 0, then for
 * each u64 offset, u64 length (0: it has none) and u64 id of the connection,
 * all little endian; then the images, as migrate/image.h has them.
 */
#ifndef HANDOFF_FERRY_IMAGES_H
#define HANDOFF_FERRY_IMAGES_H

#include "migrate/image.h"

#include <stddef.h>
#include <stdint.h>

/* The most bytes, and images. */
#define HANDOFF__IMAGES_BYTES (UINT64_C(1) << 30)
#define HANDOFF__IMAGES_COUNT 65536

/* Makes the memfd of these images; NULL: that connection has none. `ids` may be
 * NULL: all 0. Returns the descriptor; -E2BIG, -EBADMSG for what is no image,
 * or what memfd_create(2) or writing gave. */
int handoff__images_make(const struct handoff__image *const *images,
	const uint64_t *ids, uint32_t count, struct handoff__error *error);

struct handoff__images {
	void *data; /* NULL: not mapped */
	size_t size;
	uint32_t count;
};

/* Maps it to read it; the descriptor stays the caller's. -EBADMSG if it is not
 * sealed against every change, since a process that has it could then take the
 * memory away or write on; or if its table is wrong. */
int handoff__images_map(struct handoff__images *images, int fd);
void handoff__images_unmap(struct handoff__images *images);

/* Reads one; its queues point into the mapping. -ENOENT if there is none of
 * that number, -EBADMSG, -EPROTO. */
int handoff__images_read(const struct handoff__images *images, uint32_t index,
	struct handoff__image *image, struct handoff__error *error);

/* The id of that connection, and the number of the first one that has it;
 * UINT32_MAX: none. */
uint64_t handoff__images_id(
	const struct handoff__images *images, uint32_t index);
uint32_t handoff__images_find(
	const struct handoff__images *images, uint64_t id);

#endif
