/* SPDX-License-Identifier: MIT */
/*
 * The file of images: read back, found by the id of a connection; one that is
 * not sealed, or whose table is wrong.
 */
#include "support/support.h"

#include "ferry/images.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct handoff__image
image_of(uint16_t port, const char *out)
{
	struct handoff__image image = {
		.family = AF_INET,
		.local = {10, 0, 0, 1},
		.peer = {10, 0, 0, 2},
		.local_port = 7000,
		.peer_port = port,
		.in_seq = 1000,
		.out_seq = 2000,
		.mss = 1000,
		.out = (const unsigned char *)out,
		.out_len = (uint32_t)strlen(out),
		.unsent = (uint32_t)strlen(out),
	};

	image.window.rcv_wup = image.in_seq;
	return image;
}

static void
test_read_back(void **state)
{
	struct handoff__image one = image_of(10, "abc"), two = image_of(11, "");
	const struct handoff__image *list[3] = {&one, NULL, &two};
	const uint64_t ids[3] = {70, 71, 1};
	struct handoff__images images = {.data = NULL};
	struct handoff__error error = {""};
	struct handoff__image got;
	int fd = handoff__images_make(list, ids, 3, &error);

	(void)state;
	if (fd < 0)
		fail_msg("%s", error.text);
	assert_int_equal(handoff__images_map(&images, fd), 0);
	close(fd);
	assert_int_equal(images.count, 3);
	assert_int_equal(handoff__images_find(&images, 70), 0);
	assert_int_equal(handoff__images_find(&images, 1), 2);
	assert_int_equal(handoff__images_find(&images, 72), UINT32_MAX);
	assert_int_equal(handoff__images_id(&images, 1), 71);
	assert_int_equal(handoff__images_id(&images, 3), 0);
	if (handoff__images_read(&images, 0, &got, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(got.peer_port, 10);
	assert_memory_equal(got.out, "abc", 3);
	assert_int_equal(
		handoff__images_read(&images, 1, &got, &error), -ENOENT);
	assert_int_equal(
		handoff__images_read(&images, 3, &got, &error), -ENOENT);
	handoff__images_unmap(&images);
	/* nothing is mapped: nothing is found */
	assert_int_equal(handoff__images_find(&images, 70), UINT32_MAX);
}

static int
file_of(const void *data, size_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
test_wrong(void **state)
{
	const int seals =
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	/* one row, whose image would be behind the end */
	uint32_t words[8] = {1, 0, 31, 0, 2, 0, 5, 0};
	struct handoff__images images = {.data = NULL};
	struct handoff__error error = {""};
	struct handoff__image got;
	int fd = file_of(words, sizeof(words), F_SEAL_SHRINK | F_SEAL_GROW);

	(void)state;
	assert_int_equal(handoff__images_map(&images, fd), -EBADMSG);
	close(fd);
	fd = file_of(words, sizeof(words) - 1, seals);
	assert_int_equal(handoff__images_map(&images, fd), -EBADMSG);
	close(fd);
	fd = file_of(words, sizeof(words), seals);
	assert_int_equal(handoff__images_map(&images, fd), 0);
	assert_int_equal(handoff__images_find(&images, 5), 0);
	assert_int_equal(
		handoff__images_read(&images, 0, &got, &error), -EBADMSG);
	handoff__images_unmap(&images);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_read_back),
		handoff_test(test_wrong),
	};

	return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}
