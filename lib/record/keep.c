/* SPDX-License-Identifier: MIT */
/*
 * The head of a slot's bytes says whose they are and how many, and is written
 * last: so half of them are never read. Any process of the service may have
 * written anything.
 */
#include "record/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

struct head {
	uint64_t id;
	uint64_t len;
};

static int
locate(const struct handoff__arena *arena, uint32_t slot, int *fd, off_t *at)
{
	const struct handoff__segment *commons = handoff__arena_commons(arena);
	struct stat st;

	if (!commons)
		return -ENOTSUP;
	if (slot >= HANDOFF__BATCHES)
		return -EINVAL;
	*fd = commons->fd;
	*at = (off_t)(commons->geo.size + slot * HANDOFF__KEEP_SIZE);
	return fstat(*fd, &st) == 0 && (uint64_t)st.st_size == commons->geo.file
		       ? 0
		       : -ENOTSUP;
}

static int
copy(int to, off_t to_at, int from, off_t from_at, uint64_t len)
{
	unsigned char *piece = malloc(PIECE);
	int err = piece ? 0 : -ENOMEM;

	while (err == 0 && len > 0) {
		size_t most = len < PIECE ? (size_t)len : PIECE;
		ssize_t n = pread(from, piece, most, from_at);

		if (n > 0)
			n = pwrite(to, piece, (size_t)n, to_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n < 0 ? -errno : -EBADMSG;
			break;
		}
		to_at += n;
		from_at += n;
		len -= (uint64_t)n;
	}
	free(piece);
	return err;
}

int
handoff__keep_put(const struct handoff__arena *arena, uint32_t slot,
	uint64_t id, int from)
{
	struct stat st;
	struct head head = {.id = id};
	int fd, err;
	off_t at;

	err = locate(arena, slot, &fd, &at);
	if (err < 0)
		return err;
	if (fstat(from, &st) < 0)
		return -errno;
	head.len = (uint64_t)st.st_size;
	if (head.len > HANDOFF__KEEP_MAX)
		return -E2BIG;
	handoff__keep_drop(arena, slot);
	err = copy(fd, at + (off_t)HANDOFF__SEGMENT_PAGE, from, 0, head.len);
	if (err == 0 &&
		pwrite(fd, &head, sizeof(head), at) != (ssize_t)sizeof(head))
		err = -EIO;
	if (err < 0)
		handoff__keep_drop(arena, slot);
	return err;
}

static int
take_copy(int fd, off_t at, uint64_t len)
{
	int to = memfd_create("handoff-kept", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (to < 0)
		return -errno;
	err = copy(to, 0, fd, at, len);
	if (err == 0 && fcntl(to, F_ADD_SEALS, SEALS) < 0)
		err = -errno;
	if (err == 0)
		return to;
	close(to);
	return err;
}

int
handoff__keep_get(
	const struct handoff__arena *arena, uint32_t slot, uint64_t id)
{
	struct head head;
	struct stat st;
	int fd, err;
	off_t at;

	err = locate(arena, slot, &fd, &at);
	if (err < 0)
		return err;
	if (pread(fd, &head, sizeof(head), at) != (ssize_t)sizeof(head))
		return -EIO;
	if (head.id != id)
		return -ENOENT;
	/* nor more than there are pages of: a copy has them */
	if (head.len > HANDOFF__KEEP_MAX || fstat(fd, &st) < 0 ||
		head.len / 512 > (uint64_t)st.st_blocks)
		return -EBADMSG;
	return take_copy(fd, at + (off_t)HANDOFF__SEGMENT_PAGE, head.len);
}

void
handoff__keep_drop(const struct handoff__arena *arena, uint32_t slot)
{
	const struct head none = {.id = 0};
	int fd;
	off_t at;

	if (locate(arena, slot, &fd, &at) < 0)
		return;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
		    (off_t)HANDOFF__KEEP_SIZE) < 0)
		(void)!pwrite(fd, &none, sizeof(none), at);
}
