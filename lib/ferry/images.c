/* SPDX-License-Identifier: MIT */
/*
 * A file of images. Its reader trusts neither the offsets nor the images,
 * only the seals, which the kernel keeps.
 */
#include "ferry/images.h"

#include "base/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD  8
#define ROW   24
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static uint64_t
size_of(const struct handoff__image *const *images, uint32_t count)
{
	uint64_t size = HEAD + (uint64_t)count * ROW;

	for (uint32_t i = 0; i < count; i++)
		size += images[i] ? handoff__image_size(images[i]) : 0;
	return size;
}

static int
write_all(unsigned char *data, uint64_t size,
	const struct handoff__image *const *images, const uint64_t *ids,
	uint32_t count, struct handoff__error *error)
{
	struct handoff__wire w = {.data = data, .size = (size_t)size};
	size_t at = HEAD + (size_t)count * ROW;

	handoff__put_u32(&w, count);
	handoff__put_u32(&w, 0);
	for (uint32_t i = 0; i < count; i++) {
		size_t len = images[i] ? handoff__image_size(images[i]) : 0;
		int err = len > 0 ? handoff__image_encode(
					    images[i], data + at, len, error)
				  : 0;

		if (err < 0)
			return err;
		handoff__put_u64(&w, at);
		handoff__put_u64(&w, len);
		handoff__put_u64(&w, ids ? ids[i] : 0);
		at += len;
	}
	return 0;
}

static int
fill(int fd, uint64_t size, const struct handoff__image *const *images,
	const uint64_t *ids, uint32_t count, struct handoff__error *error)
{
	void *data;
	int err;

	if (ftruncate(fd, (off_t)size) < 0)
		return handoff__fail(error, -errno,
			"images: a file of %llu bytes: %s",
			(unsigned long long)size, strerror(errno));
	data = mmap(
		NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return handoff__fail(
			error, -errno, "images: mapping: %s", strerror(errno));
	err = write_all(data, size, images, ids, count, error);
	munmap(data, (size_t)size);
	if (err == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return handoff__fail(
			error, -errno, "images: sealing: %s", strerror(errno));
	return err;
}

int
handoff__images_make(const struct handoff__image *const *images,
	const uint64_t *ids, uint32_t count, struct handoff__error *error)
{
	uint64_t size = size_of(images, count);
	int fd, err;

	if (size > HANDOFF__IMAGES_BYTES || count > HANDOFF__IMAGES_COUNT)
		return handoff__fail(error, -E2BIG,
			"images: %u of them with %llu bytes are too many",
			count, (unsigned long long)size);
	fd = memfd_create("handoff-images", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return handoff__fail(error, -errno, "images: memfd_create: %s",
			strerror(errno));
	err = fill(fd, size, images, ids, count, error);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

static int
check_file(int fd, uint64_t *size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	off_t end = lseek(fd, 0, SEEK_END);

	if (seals < 0 || (seals & SEALS) != SEALS || end < HEAD ||
		(uint64_t)end > HANDOFF__IMAGES_BYTES)
		return -EBADMSG;
	*size = (uint64_t)end;
	return 0;
}

int
handoff__images_map(struct handoff__images *images, int fd)
{
	struct handoff__wire w = {.size = HEAD};
	uint64_t size = 0;
	void *data;
	int err = check_file(fd, &size);

	if (err < 0)
		return err;
	data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	w.data = data;
	*images = (struct handoff__images){
		.data = data,
		.size = (size_t)size,
		.count = handoff__get_u32(&w),
	};
	if (images->count <= HANDOFF__IMAGES_COUNT &&
		HEAD + (uint64_t)images->count * ROW <= size)
		return 0;
	handoff__images_unmap(images);
	return -EBADMSG;
}

void
handoff__images_unmap(struct handoff__images *images)
{
	if (images->data)
		munmap(images->data, images->size);
	*images = (struct handoff__images){.data = NULL};
}

int
handoff__images_read(const struct handoff__images *images, uint32_t index,
	struct handoff__image *image, struct handoff__error *error)
{
	struct handoff__wire w = {
		.data = images->data,
		.size = images->size,
		.pos = HEAD + (size_t)index * ROW,
	};
	uint64_t at, len;

	if (index >= images->count)
		return handoff__fail(
			error, -ENOENT, "images: there is no number %u", index);
	at = handoff__get_u64(&w);
	len = handoff__get_u64(&w);
	if (len == 0)
		return handoff__fail(
			error, -ENOENT, "images: number %u is empty", index);
	if (w.bad || at > images->size || len > images->size - at)
		return handoff__fail(error, -EBADMSG,
			"images: number %u is outside of the file", index);
	return handoff__image_decode(image,
		(const unsigned char *)images->data + at, (size_t)len, error);
}

uint64_t
handoff__images_id(const struct handoff__images *images, uint32_t index)
{
	struct handoff__wire w = {
		.data = images->data,
		.size = images->size,
		.pos = HEAD + (size_t)index * ROW + 16,
	};

	return index < images->count ? handoff__get_u64(&w) : 0;
}

uint32_t
handoff__images_find(const struct handoff__images *images, uint64_t id)
{
	for (uint32_t i = 0; i < images->count; i++) {
		if (handoff__images_id(images, i) == id)
			return i;
	}
	return UINT32_MAX;
}
