/* SPDX-License-Identifier: MIT */
/*
 * Checks around every unit test: descriptors, children, time, directories.
 */
#include "support/support.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALARM_SECONDS      60
#define ALARM_SECONDS_SLOW 240
#define PATIENCE_US        20000000
#define PATIENCE_US_SLOW   60000000
#define SLOWNESS           3

static char dir_path[64];
static int fds_before;
static struct rlimit limit_before;

bool
support_in_valgrind(void)
{
	return getenv("HANDOFF_VALGRIND") != NULL;
}

void
support_not_in_valgrind(void)
{
	if (support_in_valgrind())
		skip();
}

/* A build that counts what is executed is not optimised. */
static bool
counts(void)
{
#ifdef HANDOFF_COVERAGE
	return true;
#else
	return false;
#endif
}

int64_t
support_patience_us(void)
{
	return support_in_valgrind() || counts() ? PATIENCE_US_SLOW
						 : PATIENCE_US;
}

int
support_slowness(void)
{
	return support_in_valgrind() || counts() ? SLOWNESS : 1;
}

static bool
emulated(void)
{
	return getenv("HANDOFF_EMULATED") != NULL;
}

void
support_not_emulated(const char *why)
{
	if (emulated()) {
		print_message("SKIP: under qemu-user: %s\n", why);
		skip();
	}
}

void
support_need_descriptors(unsigned count)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < count) {
		print_message("SKIP: needs %u descriptors, the hard limit "
			      "(ulimit -Hn) is %llu\n",
			count, (unsigned long long)limit.rlim_max);
		skip();
	}
	if (limit.rlim_cur < count) {
		limit.rlim_cur = count;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
}

void
support_limit_descriptors(int room)
{
	int next = dup(STDIN_FILENO);
	struct rlimit now;

	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
	now = limit_before;
	now.rlim_cur = (rlim_t)(next + room);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
}

void
support_unlimit_descriptors(void)
{
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

int
support_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = -3; /* ".", ".." and the descriptor of this loop */

	if (!dir)
		return -1;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int
support_setup(void **state)
{
	(void)state;
	alarm(support_in_valgrind() || emulated() || counts()
			? ALARM_SECONDS_SLOW
			: ALARM_SECONDS);
	fds_before = support_open_fds();
	return 0;
}

int
support_teardown(void **state)
{
	int fds_after = support_open_fds();
	bool child = waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD;

	(void)state;
	alarm(0);
	if (dir_path[0])
		nftw(dir_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	dir_path[0] = '\0';
	if (fds_after != fds_before) {
		fprintf(stderr, "descriptors: %d before, %d after\n",
			fds_before, fds_after);
		return -1;
	}
	if (child) {
		fprintf(stderr, "a child was left behind\n");
		return -1;
	}
	return 0;
}

const char *
support_dir(void)
{
	strcpy(dir_path, "/tmp/handoff-test.XXXXXX");
	assert_non_null(mkdtemp(dir_path));
	return dir_path;
}

void
support_reap(int pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int
support_poll(int fd, int events)
{
	struct pollfd p = {.fd = fd, .events = (short)events};

	return poll(&p, 1, PATIENCE_US / 1000) > 0 ? p.revents : 0;
}
