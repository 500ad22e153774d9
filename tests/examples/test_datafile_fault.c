/* SPDX-License-Identifier: MIT */
/*
 * Changes of the file of the timetable at whatever call they fail, also for
 * limits and permissions; and its lock, held by others or inherited by a child.
 */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The call that fails: the `left`-th of this name from now on. */
static struct {
	const char *name;
	int left, error;
} fault;

static bool no_waiting;
static int waits;
static size_t most_written = SIZE_MAX; /* by one write */

/* A child that is forked in the midst of a change if it is below 0. */
static int bystander, bystander_pipe[2];

static bool
fails(const char *name)
{
	if (!fault.name || strcmp(fault.name, name) != 0 || fault.left == 0 ||
		--fault.left > 0)
		return false;
	errno = fault.error;
	return true;
}

#define WRAP(type, name, failed, params, args)                                 \
	type __real_##name params;                                             \
	type __wrap_##name params;                                             \
	type __wrap_##name params                                              \
	{                                                                      \
		if (fails(#name))                                              \
			return failed;                                         \
		return __real_##name args;                                     \
	}

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(int, openat, -1, (int dir, const char *name, int flags, mode_t mode),
	(dir, name, flags, mode))
WRAP(int, flock, -1, (int fd, int operation), (fd, operation))
WRAP(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAP(int, renameat, -1, (int from, const char *old, int to, const char *name),
	(from, old, to, name))

int __real_fsync(int fd);
int __wrap_fsync(int fd);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);

/* A child that lives until the pipe is closed. */
static void
fork_bystander(void)
{
	char byte;

	bystander = fork();
	if (bystander != 0)
		return;
	close(bystander_pipe[1]);
	_exit(read(bystander_pipe[0], &byte, 1) != 0);
}

int
__wrap_fsync(int fd)
{
	if (fails("fsync"))
		return -1;
	if (bystander < 0)
		fork_bystander();
	return __real_fsync(fd);
}

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (fails("write"))
		return -1;
	return __real_write(fd, data, len < most_written ? len : most_written);
}

int
__wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	if (!no_waiting)
		return __real_poll(fds, n, timeout);
	waits++;
	return 0;
}

/* Whatever call fails: an error that says so, and nothing else has happened. */
static void
failures_change_nothing(void **state)
{
	static const struct {
		const char *name;
		int nth, error;
		const char *why;
	} faults[] = {
		{"openat", 1, EACCES, "Permission denied (plan.txt.lock)"},
		{"openat", 1, ENOSPC, "cannot save: No space left on device"},
		{"flock", 1, ENOLCK, "No locks available (plan.txt.lock)"},
		{"openat", 2, ENOSPC, "cannot save: No space left on device"},
		{"malloc", 1, ENOMEM, "cannot save: Cannot allocate memory"},
		{"write", 1, ENOSPC, "cannot save: No space left on device"},
		{"write", 2, EIO, "cannot save: Input/output error"},
		{"write", 3, EDQUOT, "cannot save: Disk quota exceeded"},
		{"fchmod", 1, EIO, "cannot save: Input/output error"},
		{"fsync", 1, ENOSPC, "cannot save: No space left on device"},
		{"renameat", 1, EIO, "cannot save: Input/output error"},
	};
	struct datafile file;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	most_written = 20;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		int err;

		fault.left = faults[i].nth;
		fault.error = faults[i].error;
		fault.name = faults[i].name;
		err = plan_add(&file, "anna monday 10:00 law r2");
		fault.name = NULL;
		assert_int_equal(err, -faults[i].error);
		assert_non_null(strstr(why, faults[i].why));
		assert_int_equal(fault.left, 0);
		assert_string_equal(plan_get(), PLAIN);
		plan_no_temp();
		assert_int_equal(plan_mondays(&file, "anna"), 1);
	}
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	most_written = SIZE_MAX;
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

static void
interrupted_writes_go_on(void **state)
{
	struct datafile file;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	most_written = 3;
	fault.left = 4;
	fault.error = EINTR;
	fault.name = "write";
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	fault.name = NULL;
	most_written = SIZE_MAX;
	assert_int_equal(fault.left, 0);
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

/* The new file is there, but whether it outlives the machine is not known: no
 * acknowledgement, and memory is as the file. Once more is enough. */
static void
directory_that_is_not_synced(void **state)
{
	struct datafile file;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	for (int turn = 0; turn < 2; turn++) {
		fault.left = turn == 0 ? 2 : 1;
		fault.error = EIO;
		fault.name = "fsync";
		assert_int_equal(
			plan_add(&file, "anna monday 10:00 law r2"), -EIO);
		fault.name = NULL;
		assert_int_equal(plan_mondays(&file, "anna"), 2);
		assert_string_equal(
			plan_get(), PLAIN "anna monday 10:00 law r2\n");
	}
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_string_equal(plan_get(), PLAIN "anna monday 10:00 law r2\n");
	datafile_close(&file);
}

static void
limit_of_file_size(void **state)
{
	struct rlimit old, small;
	struct datafile file;
	int err;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = sizeof(PLAIN) + 10;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = plan_add(&file, "anna monday 10:00 law r2");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(err, -EFBIG);
	assert_string_equal(why, "cannot save: File too large");
	assert_string_equal(plan_get(), PLAIN);
	plan_no_temp();
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	datafile_close(&file);
}

/* rename(2) would replace it all the same. */
static void
file_that_is_closed_to_writing(void **state)
{
	struct datafile file;
	bool root = geteuid() == 0;
	int err;

	(void)state;
	plan_new(PLAIN);
	assert_int_equal(chmod(path, 0444), 0);
	/* Root may write to any file, and so becomes somebody else. */
	if (root) {
		*strrchr(path, '/') = '\0';
		assert_int_equal(chown(path, 65534, 65534), 0);
		path[strlen(path)] = '/';
		assert_int_equal(seteuid(65534), 0);
	}
	file = plan_open();
	err = plan_add(&file, "anna monday 10:00 law r2");
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(err, -EACCES);
	assert_string_equal(why, "cannot save: Permission denied");
	assert_string_equal(plan_get(), PLAIN);
	plan_no_temp();
	datafile_close(&file);
}

/* By a process that was stopped, say. The first waits, the others no more. */
static void
lock_that_is_held(void **state)
{
	struct datafile file;
	int fd, waited;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	fd = open(plan_beside(".lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	no_waiting = true;
	waits = 0;
	assert_int_equal(
		plan_add(&file, "anna monday 10:00 law r2"), -EWOULDBLOCK);
	assert_non_null(strstr(why, "another process holds the lock"));
	waited = waits;
	assert_int_equal(
		plan_add(&file, "anna monday 10:00 law r2"), -EWOULDBLOCK);
	no_waiting = false;
	assert_in_range(waited, 1000, 5000);
	assert_int_equal(waits, waited);
	assert_int_equal(plan_mondays(&file, "anna"), 1);
	assert_string_equal(plan_get(), PLAIN);
	flock(fd, LOCK_UN);
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	close(fd);
	datafile_close(&file);
}

/* A child that another thread forks while the lock is held has a copy of its
 * descriptor, and does not keep the lock. */
static void
lock_ends_with_the_change(void **state)
{
	struct datafile file;
	int err;

	(void)state;
	plan_new(PLAIN);
	file = plan_open();
	assert_int_equal(pipe2(bystander_pipe, O_CLOEXEC), 0);
	bystander = -1;
	assert_int_equal(plan_add(&file, "anna monday 10:00 law r2"), 0);
	assert_true(bystander > 0);
	no_waiting = true;
	err = plan_add(&file, "anna monday 11:00 maths r3");
	no_waiting = false;
	close(bystander_pipe[0]);
	close(bystander_pipe[1]);
	support_reap(bystander);
	assert_int_equal(err, 0);
	datafile_close(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(failures_change_nothing),
		handoff_test(interrupted_writes_go_on),
		handoff_test(directory_that_is_not_synced),
		handoff_test(limit_of_file_size),
		handoff_test(file_that_is_closed_to_writing),
		handoff_test(lock_that_is_held),
		handoff_test(lock_ends_with_the_change),
	};

	return cmocka_run_group_tests_name("datafile_fault", tests, NULL, NULL);
}
