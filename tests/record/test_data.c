/* SPDX-License-Identifier: MIT */
/*
 * The memory of data: its size and seals, and descriptors of other processes
 * that must not be mapped.
 */
#include "support/support.h"

#include "record/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static size_t
half_of(uint64_t capacity)
{
	size_t half = 0;
	int fd = handoff__data_create(capacity);

	assert_true(fd >= 0);
	assert_int_equal(handoff__data_check(fd, &half), 0);
	close(fd);
	return half;
}

static void
capacity_is_in_whole_pages(void **state)
{
	(void)state;
	assert_int_equal(half_of(0), PAGE);
	assert_int_equal(half_of(1), PAGE);
	assert_int_equal(half_of(PAGE), PAGE);
	assert_int_equal(half_of(PAGE + 1), 2 * PAGE);
	assert_int_equal(half_of(HANDOFF__DATA_MAX), HANDOFF__DATA_MAX);
	assert_int_equal(
		handoff__data_create(HANDOFF__DATA_MAX + 1), -EMSGSIZE);
	assert_int_equal(handoff__data_create(UINT64_MAX), -EMSGSIZE);
}

static void
halves_are_apart_and_have_pages_where_written(void **state)
{
	struct handoff__data data, again;
	struct stat st;
	int fd = handoff__data_create(64u << 20);

	(void)state;
	assert_int_equal(handoff__data_map(&data, fd), 0);
	assert_int_equal(handoff__data_map(&again, fd), 0);
	assert_int_equal(data.half, 64u << 20);
	memset(handoff__data_half(&data, 0) + data.half - PAGE, 'a', PAGE);
	memset(handoff__data_half(&data, 1), 'b', PAGE);
	assert_int_equal(handoff__data_half(&again, 0)[again.half - 1], 'a');
	assert_int_equal(handoff__data_half(&again, 1)[0], 'b');
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_blocks, 2 * PAGE / 512);
	handoff__data_unmap(&again);
	assert_null(again.base);
	handoff__data_unmap(&again);
	handoff__data_unmap(&data);
	close(fd);
}

/* A memfd of that size and with these seals; -1 for a size: as it is. */
static int
make(off_t size, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
assert_refused(int fd)
{
	struct handoff__data data = {.base = NULL};
	size_t half = 4711;

	assert_true(fd >= 0);
	assert_int_equal(handoff__data_check(fd, &half), -EBADMSG);
	assert_int_equal(half, 4711);
	assert_int_equal(handoff__data_map(&data, fd), -EBADMSG);
	assert_null(data.base);
	close(fd);
}

static void
what_could_kill_is_refused(void **state)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW, fd;
	char path[64];

	(void)state;
	assert_refused(make((off_t)(2 * PAGE), F_SEAL_GROW));
	assert_refused(make((off_t)(2 * PAGE), seals | F_SEAL_WRITE));
	assert_refused(make(0, seals));
	assert_refused(make((off_t)PAGE, seals));
	assert_refused(make((off_t)(2 * PAGE) + 1, seals));
	assert_refused(make((off_t)(3 * PAGE), seals));
	assert_refused(make((off_t)(2 * HANDOFF__DATA_MAX + 2 * PAGE), seals));
	assert_refused(open("/dev/null", O_RDWR | O_CLOEXEC));
	assert_refused(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	/* of pages that there may be none of; some kernels have none at all */
	fd = memfd_create(
		"huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	if (fd >= 0) {
		assert_int_equal(ftruncate(fd, 4 << 20), 0);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
		assert_refused(fd);
	}
	/* good, but it cannot be written to */
	fd = make((off_t)(2 * PAGE), seals);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_refused(open(path, O_RDONLY | O_CLOEXEC));
	assert_refused(open(path, O_PATH | O_CLOEXEC));
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(capacity_is_in_whole_pages),
		handoff_test(halves_are_apart_and_have_pages_where_written),
		handoff_test(what_could_kill_is_refused),
	};

	return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
