/* SPDX-License-Identifier: MIT */
/*
 * The memory of an entry that is data: created, checked, mapped.
 */
#include "record/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PAGE  4096u
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#define HUGETLBFS 0x958458f6u /* linux/magic.h */

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

int
handoff__data_create(uint64_t capacity)
{
	uint64_t half = (capacity + PAGE - 1) / PAGE * PAGE;
	int err, fd;

	if (capacity > HANDOFF__DATA_MAX)
		return -EMSGSIZE;
	if (half == 0)
		half = PAGE;
	fd = memfd_create("handoff-data", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)(2 * half)) < 0 ||
		fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Whether the kernel will have a page for every byte, and it can be written to.
 * Otherwise the other peer could kill this one with SIGBUS: if it shrinks, or
 * if it is of huge pages of which there are none. */
static bool
is_safe(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 &&
	       (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0 &&
	       fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type != HUGETLBFS;
}

int
handoff__data_check(int fd, size_t *half)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (!is_safe(fd))
		return -EBADMSG;
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fstat(fd, &st) < 0 ||
		!S_ISREG(st.st_mode) || st.st_size <= 0 ||
		(uint64_t)st.st_size > 2 * HANDOFF__DATA_MAX ||
		st.st_size % (off_t)(2 * PAGE) != 0)
		return -EBADMSG;
	*half = (size_t)st.st_size / 2;
	return 0;
}

int
handoff__data_map(struct handoff__data *data, int fd)
{
	size_t half;
	void *base;
	int err = handoff__data_check(fd, &half);

	if (err < 0)
		return err;
	base = mmap(NULL, 2 * half, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	/* as the arena: no data of clients in core dumps */
	madvise(base, 2 * half, MADV_DONTDUMP);
	data->base = base;
	data->half = half;
	return 0;
}

void
handoff__data_unmap(struct handoff__data *data)
{
	if (data->base)
		munmap(data->base, 2 * data->half);
	data->base = NULL;
}
