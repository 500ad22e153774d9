/* SPDX-License-Identifier: MIT */
/*
 * Which segments from another process are refused, and what no process can do
 * to a segment (seals).
 */
#include "record/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the fields of a segment's header lie; only this file knows it beside
 * arena.c, to damage them. */
enum header_field {
	AT_MAGIC = 0,
	AT_LAYOUT = 8,
	AT_SLOTS = 12,
	AT_STATE_SIZE = 16,
	AT_RX_SIZE = 20,
	AT_TX_SIZE = 24,
};

/* Nobody who maps it need fear SIGBUS, whatever the other does. */
static void
segment_cannot_change_its_size(void **state)
{
	struct handoff__arena arena;
	struct stat st;
	int fd;

	(void)state;
	record_arena(&arena, 0);
	fd = arena.segments[0]->fd;
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size + 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	handoff__arena_fini(&arena);
}

/* The first page of a good segment in a file of the test's making. */
static int
forge(off_t size, bool sealable, int seals)
{
	struct handoff__arena arena;
	char page[SIZE];
	int fd = memfd_create(
		"forged", MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0));

	assert_true(fd >= 0);
	record_arena(&arena, 32);
	if (size < 0)
		size = (off_t)arena.segments[0]->geo.size + size + 1;
	assert_int_equal(
		pread(arena.segments[0]->fd, page, sizeof(page), 0), SIZE);
	assert_int_equal(ftruncate(fd, size), 0);
	if (size >= (off_t)sizeof(page))
		assert_int_equal(pwrite(fd, page, sizeof(page), 0), SIZE);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	handoff__arena_fini(&arena);
	return fd;
}

#define ALL_SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define RIGHT_SIZE(n) (-1 + (off_t)(n))

/* Is refused, with a sentence that has `why` in it, and closed. */
static void
refused(int fd, uint32_t index, uint32_t state_size, const char *why)
{
	struct handoff__error error = {.text = ""};
	struct handoff__arena arena;
	uint32_t count;

	record_arena(&arena, 32);
	count = arena.count;
	assert_int_equal(
		handoff__arena_add(&arena, index, fd, state_size, &error),
		-EBADMSG);
	assert_non_null(strstr(error.text, why));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(arena.count, count);
	handoff__arena_fini(&arena);
}

static void
good_segment_is_added(void **state)
{
	struct handoff__arena arena;

	(void)state;
	record_arena(&arena, 32);
	/* The forger forges well: else the refusals would prove nothing. */
	assert_int_equal(
		handoff__arena_add(&arena, 1,
			forge(RIGHT_SIZE(0), true, ALL_SEALS), 32, NULL),
		0);
	assert_int_equal(arena.count, 2);
	assert_non_null(handoff__arena_record(&arena, 1, 0));
	handoff__arena_fini(&arena);
}

static void
segment_out_of_turn_is_refused(void **state)
{
	(void)state;
	refused(forge(RIGHT_SIZE(0), true, ALL_SEALS), 0, 32,
		"number 0 where 1 is next");
	refused(forge(RIGHT_SIZE(0), true, ALL_SEALS), 2, 32,
		"number 2 where 1 is next");
	refused(forge(RIGHT_SIZE(0), true, ALL_SEALS), UINT32_MAX, 32,
		"where 1 is next");
}

static void
segment_that_could_shrink_is_refused(void **state)
{
	static const int too_few[] = {0, F_SEAL_SHRINK,
		F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_GROW,
		F_SEAL_SHRINK | F_SEAL_SEAL};
	int sv[2];

	(void)state;
	for (size_t i = 0; i < sizeof(too_few) / sizeof(too_few[0]); i++)
		refused(forge(RIGHT_SIZE(0), true, too_few[i]), 1, 32,
			"not sealed");
	refused(forge(RIGHT_SIZE(0), false, 0), 1, 32, "not sealed");
	/* What is no memfd has no seals. */
	assert_int_equal(pipe2(sv, O_CLOEXEC), 0);
	refused(sv[0], 1, 32, "not sealed");
	close(sv[1]);
	refused(open("/dev/zero", O_RDWR | O_CLOEXEC), 1, 32, "not sealed");
}

static void
segment_of_another_size_is_refused(void **state)
{
	(void)state;
	refused(forge(0, true, ALL_SEALS), 1, 32, "not an arena");
	refused(forge(16, true, ALL_SEALS), 1, 32, "not an arena");
	refused(forge(SIZE, true, ALL_SEALS), 1, 32, "4096 bytes where");
	refused(forge(RIGHT_SIZE(-1), true, ALL_SEALS), 1, 32, "bytes where");
	refused(forge(RIGHT_SIZE(-(off_t)SIZE), true, ALL_SEALS), 1, 32,
		"bytes where");
	refused(forge((off_t)1 << 30, true, ALL_SEALS), 1, 32, "bytes where");
}

static int
damage(enum header_field at, uint32_t value)
{
	int fd = forge(RIGHT_SIZE(0), true, ALL_SEALS);

	assert_int_equal(
		pwrite(fd, &value, sizeof(value), (off_t)at), sizeof(value));
	return fd;
}

static void
segment_with_a_strange_header_is_refused(void **state)
{
	(void)state;
	refused(damage(AT_MAGIC, 0x12345678), 1, 32, "not an arena");
	refused(damage(AT_LAYOUT, HANDOFF__LAYOUT + 1), 1, 32, "not an arena");
	refused(damage(AT_LAYOUT, 0), 1, 32, "not an arena");
	refused(damage(AT_LAYOUT, 4), 1, 32, "not an arena");
	refused(damage(AT_SLOTS, 0), 1, 32, "invalid");
	refused(damage(AT_SLOTS, 65537), 1, 32, "invalid");
	refused(damage(AT_SLOTS, UINT32_MAX), 1, 32, "invalid");
	refused(damage(AT_SLOTS, HANDOFF__SLOTS + 1), 1, 32, "bytes where");
	refused(damage(AT_RX_SIZE, 0), 1, 32, "invalid");
	refused(damage(AT_RX_SIZE, SIZE + 1), 1, 32, "invalid");
	refused(damage(AT_RX_SIZE, UINT32_MAX), 1, 32, "invalid");
	refused(damage(AT_RX_SIZE, 2 * SIZE), 1, 32, "bytes where");
	refused(damage(AT_TX_SIZE, 512), 1, 32, "invalid");
	refused(damage(AT_TX_SIZE, 1u << 31), 1, 32, "invalid");
	refused(damage(AT_STATE_SIZE, 33), 1, 32, "state of 33 bytes, here 32");
	refused(damage(AT_STATE_SIZE, UINT32_MAX), 1, UINT32_MAX, "invalid");
}

static void
segment_that_cannot_be_written_is_refused(void **state)
{
	struct handoff__error error = {.text = ""};
	struct handoff__arena arena;
	int fd = forge(RIGHT_SIZE(0), true, ALL_SEALS | F_SEAL_WRITE);

	(void)state;
	record_arena(&arena, 32);
	assert_int_equal(handoff__arena_add(&arena, 1, fd, 32, &error), -EPERM);
	assert_non_null(strstr(error.text, "cannot map it"));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(arena.count, 1);
	handoff__arena_fini(&arena);
}

static void
segment_of_another_service_is_refused(void **state)
{
	(void)state;
	refused(forge(RIGHT_SIZE(0), true, ALL_SEALS), 1, 31,
		"state of 32 bytes, here 31");
	refused(forge(RIGHT_SIZE(0), true, ALL_SEALS), 1, 0,
		"state of 32 bytes, here 0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(segment_cannot_change_its_size),
		handoff_test(good_segment_is_added),
		handoff_test(segment_out_of_turn_is_refused),
		handoff_test(segment_that_could_shrink_is_refused),
		handoff_test(segment_of_another_size_is_refused),
		handoff_test(segment_with_a_strange_header_is_refused),
		handoff_test(segment_that_cannot_be_written_is_refused),
		handoff_test(segment_of_another_service_is_refused),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
