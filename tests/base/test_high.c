/* SPDX-License-Identifier: MIT */
/*
 * Descriptors move to high numbers if the limit allows it, and nothing is lost
 * if it does not.
 */
#include "support/support.h"

#include "base/high.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT 64

static struct rlimit before;
static int taken[LIMIT];
static int ntaken;

static void
limit_to(rlim_t soft)
{
	struct rlimit now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = soft;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	ntaken = 0;
}

static void
unlimit(void)
{
	while (ntaken > 0)
		close(taken[--ntaken]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Takes every number from `from` on but `but` of them. */
static void
take_from(int from, int but)
{
	int fd;

	while ((fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, from)) >= 0)
		taken[ntaken++] = fd;
	while (but-- > 0)
		close(taken[--ntaken]);
}

static int
lowest_free(void)
{
	int fd = dup(STDIN_FILENO);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void
floor_is_where_select_ends(void **state)
{
	(void)state;
	limit_to(LIMIT);
	assert_int_equal(handoff__high_floor(), LIMIT / 2);
	unlimit();
	if (before.rlim_max < 4096)
		skip();
	limit_to(4096);
	assert_int_equal(handoff__high_floor(), 1024);
	unlimit();
}

static bool
same_file(int a, int b)
{
	struct stat one, two;

	return fstat(a, &one) == 0 && fstat(b, &two) == 0 &&
	       one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

static void
raised_descriptor_leaves_its_number(void **state)
{
	int low = lowest_free(), pair[2], fd;

	(void)state;
	limit_to(LIMIT);
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(pair[0], low);
	fd = handoff__high_raise(pair[0]);
	assert_true(fd >= LIMIT / 2);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(same_file(fd, pair[1]));
	assert_int_equal(lowest_free(), low);
	/* Again: it is high already. */
	assert_int_equal(handoff__high_raise(fd), fd);
	close(fd);
	close(pair[1]);
	unlimit();
}

static void
failure_passes_through(void **state)
{
	(void)state;
	errno = ENOMEM;
	assert_int_equal(handoff__high_raise(-1), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(handoff__high_raise(-EIO), -EIO);
}

static void
without_room_it_stays(void **state)
{
	int fd;

	(void)state;
	limit_to(LIMIT);
	take_from(LIMIT / 2, 0);
	fd = dup(STDIN_FILENO);
	assert_int_equal(handoff__high_raise(fd), fd);
	close(fd);
	fd = handoff__high_dup(STDIN_FILENO);
	assert_true(fd >= 3 && fd < LIMIT / 2);
	close(fd);
	take_from(3, 0);
	assert_int_equal(handoff__high_dup(STDIN_FILENO), -1);
	assert_int_equal(errno, EMFILE);
	unlimit();
}

/* Numbers below the limit that no descriptor has. */
static int
free_numbers(void)
{
	int count = 0;

	for (int fd = 0; fd < LIMIT; fd++)
		count += fcntl(fd, F_GETFD) < 0;
	return count;
}

static void
room_is_counted(void **state)
{
	int all, hole;

	(void)state;
	limit_to(LIMIT);
	all = free_numbers();
	assert_int_equal(handoff__high_room(STDIN_FILENO), all);
	/* What lies above a hole is not free. */
	hole = dup(STDIN_FILENO);
	take_from(3, 10);
	close(hole);
	assert_int_equal(handoff__high_room(STDIN_FILENO), free_numbers());
	assert_in_range(free_numbers(), 1, all - 1);
	take_from(LIMIT / 2, 0);
	assert_int_equal(handoff__high_room(STDIN_FILENO), free_numbers());
	take_from(3, 2);
	assert_int_equal(handoff__high_room(STDIN_FILENO), 2);
	take_from(3, 0);
	assert_int_equal(handoff__high_room(STDIN_FILENO), 0);
	unlimit();
}

/* Holes count as what they are. */
static void
what_fits_is_tried(void **state)
{
	(void)state;
	limit_to(LIMIT);
	take_from(3, 0);
	close(taken[4]);
	close(taken[9]);
	assert_true(handoff__high_fits(STDIN_FILENO, 2));
	assert_false(handoff__high_fits(STDIN_FILENO, 3));
	assert_true(handoff__high_fits(STDIN_FILENO, 0));
	taken[4] = taken[9] = -1;
	unlimit();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(floor_is_where_select_ends),
		handoff_test(raised_descriptor_leaves_its_number),
		handoff_test(failure_passes_through),
		handoff_test(without_room_it_stays),
		handoff_test(room_is_counted),
		handoff_test(what_fits_is_tried),
	};

	return cmocka_run_group_tests_name("high", tests, NULL, NULL);
}
