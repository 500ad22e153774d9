/* SPDX-License-Identifier: MIT */
/*
 * What a batch keeps: read by another process that has the arena, replaced,
 * given back; and what another batch, or a process that writes anything there,
 * has made of it.
 */
#include "record/batches.h"

#include "record/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEN ((size_t)700000)

static int
make_file(size_t len, unsigned seed)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	unsigned char *bytes = test_malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 251 + seed);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	test_free(bytes);
	return fd;
}

static void
assert_same(int fd, int other)
{
	struct stat a, b;
	void *x, *y;

	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstat(other, &b), 0);
	assert_int_equal(a.st_size, b.st_size);
	if (a.st_size == 0)
		return;
	x = mmap(NULL, (size_t)a.st_size, PROT_READ, MAP_SHARED, fd, 0);
	y = mmap(NULL, (size_t)a.st_size, PROT_READ, MAP_SHARED, other, 0);
	assert_memory_equal(x, y, (size_t)a.st_size);
	munmap(x, (size_t)a.st_size);
	munmap(y, (size_t)a.st_size);
}

static blkcnt_t
blocks(const struct table *t)
{
	struct stat st;

	assert_int_equal(fstat(t->arena.segments[0]->fd, &st), 0);
	return st.st_blocks;
}

static void
bytes_outlive_the_process(void **state)
{
	int first = make_file(LEN, 1), second = make_file(10, 2), fd;
	blkcnt_t before;
	struct table t;

	(void)state;
	open_table(&t);
	before = blocks(&t);
	assert_int_equal(handoff__keep_put(&t.arena, 0, 7, first), 0);
	assert_int_equal(handoff__keep_put(&t.arena, 63, 8, second), 0);
	fd = handoff__keep_get(&t.arena, 0, 7);
	assert_true(fd >= 0);
	assert_same(fd, first);
	assert_int_equal(fcntl(fd, F_GET_SEALS),
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	close(fd);
	fd = handoff__keep_get(&t.arena, 63, 8);
	assert_same(fd, second);
	close(fd);
	handoff__keep_drop(&t.arena, 0);
	handoff__keep_drop(&t.arena, 63);
	assert_int_equal(blocks(&t), before);
	assert_int_equal(handoff__keep_get(&t.arena, 0, 7), -ENOENT);
	close(first);
	close(second);
	close_table(&t);
}

static void
another_batch_has_its_own(void **state)
{
	int first = make_file(LEN, 1), second = make_file(10, 2), fd;
	int empty = make_file(0, 0);
	struct table t;

	(void)state;
	open_table(&t);
	assert_int_equal(handoff__keep_get(&t.arena, 3, 7), -ENOENT);
	assert_int_equal(handoff__keep_put(&t.arena, 3, 7, first), 0);
	assert_int_equal(handoff__keep_get(&t.arena, 3, 8), -ENOENT);
	assert_int_equal(handoff__keep_get(&t.arena, 4, 7), -ENOENT);
	assert_int_equal(handoff__keep_put(&t.arena, 3, 8, second), 0);
	assert_int_equal(handoff__keep_get(&t.arena, 3, 7), -ENOENT);
	fd = handoff__keep_get(&t.arena, 3, 8);
	assert_same(fd, second);
	close(fd);
	assert_int_equal(handoff__keep_put(&t.arena, 3, 9, empty), 0);
	fd = handoff__keep_get(&t.arena, 3, 9);
	assert_same(fd, empty);
	close(fd);
	assert_int_equal(
		handoff__keep_put(&t.arena, HANDOFF__BATCHES, 9, empty),
		-EINVAL);
	close(empty);
	close(first);
	close(second);
	close_table(&t);
}

static void
wrong_lengths_are_refused(void **state)
{
	uint64_t head[2] = {7, HANDOFF__KEEP_MAX + 1};
	int big = memfd_create("test", MFD_CLOEXEC);
	struct table t;
	off_t at;
	int fd;

	(void)state;
	open_table(&t);
	at = (off_t)(t.arena.segments[0]->geo.size + 5 * HANDOFF__KEEP_SIZE);
	fd = t.arena.segments[0]->fd;
	assert_int_equal(pwrite(fd, head, sizeof(head), at), sizeof(head));
	assert_int_equal(handoff__keep_get(&t.arena, 5, 7), -EBADMSG);
	head[1] = UINT64_MAX;
	assert_int_equal(pwrite(fd, head, sizeof(head), at), sizeof(head));
	assert_int_equal(handoff__keep_get(&t.arena, 5, 7), -EBADMSG);
	head[1] = HANDOFF__KEEP_MAX; /* of which there are no pages */
	assert_int_equal(pwrite(fd, head, sizeof(head), at), sizeof(head));
	assert_int_equal(handoff__keep_get(&t.arena, 5, 7), -EBADMSG);
	assert_int_equal(ftruncate(big, (off_t)HANDOFF__KEEP_MAX + 1), 0);
	assert_int_equal(handoff__keep_put(&t.arena, 5, 7, big), -E2BIG);
	close(big);
	close_table(&t);
}

/* Its arena is as good as any, but for this. */
static void
short_files_keep_nothing(void **state)
{
	struct rlimit before, most;
	int file = make_file(10, 2);
	struct handoff__error error;
	struct handoff__arena other;
	struct table t;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	most = before;
	most.rlim_cur = (rlim_t)1 << 30;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &most), 0);
	open_table(&t);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(handoff__keep_put(&t.arena, 0, 7, file), -ENOTSUP);
	assert_int_equal(handoff__keep_get(&t.arena, 0, 7), -ENOTSUP);
	handoff__arena_init(&other);
	assert_int_equal(
		handoff__arena_add(&other, 0, dup(t.arena.segments[0]->fd),
			t.arena.segments[0]->geo.state_size, &error),
		0);
	handoff__arena_fini(&other);
	close(file);
	close_table(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(bytes_outlive_the_process),
		handoff_test(another_batch_has_its_own),
		handoff_test(wrong_lengths_are_refused),
		handoff_test(short_files_keep_nothing),
	};

	return cmocka_run_group_tests_name("keep", tests, NULL, NULL);
}
