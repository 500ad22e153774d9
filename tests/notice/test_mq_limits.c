/* SPDX-License-Identifier: MIT */
/*
 * Subscribers that died, and limits on queues: the dead are pruned, a limit
 * that is hit is named.
 */
#include "notice/board.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

static bool
queue_exists(const char *name)
{
	char queue[HANDOFF__SUBSCRIBER_MAX + 2];
	mqd_t q;

	snprintf(queue, sizeof(queue), "/%s", name);
	q = mq_open(queue, O_RDONLY | O_NONBLOCK);
	if (q != (mqd_t)-1)
		mq_close(q);
	return q != (mqd_t)-1;
}

/* A child subscribes and dies without a word. */
static void
leave_dead_subscriber(void)
{
	int pid = fork();

	if (pid == 0) {
		struct handoff_subscriber *sub;

		_exit(board_subscribe(&sub) == 0 ? 0 : 1);
	}
	support_reap(pid);
}

static void
test_dead_is_pruned(void **state)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 1, 1);
	char name[HANDOFF__SUBSCRIBER_MAX + 1];
	struct handoff_subscriber *sub;

	(void)state;
	board_begin();
	leave_dead_subscriber();
	assert_int_equal(board_files(name), 1);
	assert_true(queue_exists(name));
	assert_int_equal(board_subscribe(&sub), 0);
	board_publish(&n);
	assert_int_equal(board.pub.told.reached, 1);
	assert_int_equal(board.pub.told.pruned, 1);
	assert_int_equal(board_files(NULL), 1);
	assert_false(queue_exists(name));
	handoff_subscriber_free(sub);
	board_end();
}

/* Dead between making its file and its final name: with and without a queue.
 * One that is about to come, and files of others, are left alone. */
static void
test_half_registered(void **state)
{
	static const char dead[] = "handoff-1-0123456789abcdef";
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 1, 1);
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
	int subs, fd, coming;
	mqd_t q;

	(void)state;
	board_begin();
	subs = board_folder();
	assert_true(subs >= 0);
	fd = openat(
		subs, ".handoff-1-0123456789abcdef", O_RDWR | O_CREAT, 0600);
	close(fd);
	fd = openat(
		subs, ".handoff-1-fedcba9876543210", O_RDWR | O_CREAT, 0600);
	close(fd);
	fd = openat(subs, "handoff-of-mine", O_RDWR | O_CREAT, 0600);
	close(fd);
	coming = openat(
		subs, ".handoff-1-00000000000000ff", O_RDWR | O_CREAT, 0600);
	assert_int_equal(flock(coming, LOCK_EX), 0);
	q = mq_open(
		"/handoff-1-0123456789abcdef", O_RDWR | O_CREAT, 0600, &attr);
	assert_true(q != (mqd_t)-1);
	mq_close(q);
	board_publish(&n);
	assert_int_equal(board.pub.told.pruned, 2);
	assert_int_equal(board.pub.told.reached, 0);
	assert_int_equal(board.pub.told.failed, 0);
	assert_int_equal(board_files(NULL), 2);
	assert_false(queue_exists(dead));
	close(coming);
	close(subs);
	board_end();
}

static int
lower(int which, rlim_t to)
{
	struct rlimit limit = {to, to};

	return setrlimit((__rlimit_resource_t)which, &limit);
}

/* Runs in a child, where limits may be lowered: what open says and means. */
static void
in_child(int which, rlim_t to, int want, const char *words)
{
	int pid = fork();

	if (pid == 0) {
		struct handoff_subscriber *sub;

		close_range(3, UINT_MAX, 0);
		if (lower(which, to) < 0)
			_exit(2);
		if (board_subscribe(&sub) != want)
			_exit(3);
		_exit(strstr(board.sentence, words) ? 0 : 4);
	}
	support_reap(pid);
}

static void
test_limits_are_named(void **state)
{
	(void)state;
	support_not_in_valgrind();
	board_begin();
	in_child(RLIMIT_MSGQUEUE, 1000, -EMFILE, "RLIMIT_MSGQUEUE");
	assert_int_equal(board_files(NULL), 0);
	/* 3 to 5 are the directory, its subscribers and the file. */
	in_child(RLIMIT_NOFILE, 6, -EMFILE, "ulimit -n");
	assert_int_equal(board_files(NULL), 0);
	board_end();
}

/* mq_open(3) itself, or failing as a limit would make it fail: as long as more
 * than `room` subscribers are registered or about to be. */
static int fail_with, room;

mqd_t __real_mq_open(const char *name, int flags, ...);
mqd_t __wrap_mq_open(const char *name, int flags, ...);

mqd_t
__wrap_mq_open(const char *name, int flags, ...)
{
	struct mq_attr *attr;
	va_list ap;
	mode_t mode;

	if (!(flags & O_CREAT))
		return __real_mq_open(name, flags);
	if (fail_with && board_files(NULL) > room) {
		errno = fail_with;
		return (mqd_t)-1;
	}
	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	attr = va_arg(ap, struct mq_attr *);
	va_end(ap);
	return __real_mq_open(name, flags, mode, attr);
}

static void
test_every_failure_is_named(void **state)
{
	static const struct {
		int err;
		const char *words;
	} cases[] = {
		{EMFILE, "ulimit -q"},
		{ENFILE, "/proc/sys/fs/file-max"},
		{ENOSPC, "/proc/sys/fs/mqueue/queues_max"},
		{EINVAL, "msgsize_max"},
		{ENOSYS, "no POSIX message queues"},
		{EACCES, "no permission"},
		{ENOMEM, "Cannot allocate memory"},
	};
	struct handoff_subscriber *sub = NULL;

	(void)state;
	board_begin();
	room = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fail_with = cases[i].err;
		assert_int_equal(board_subscribe(&sub), -fail_with);
		assert_non_null(strstr(board.sentence, cases[i].words));
		assert_null(sub);
		assert_int_equal(board_files(NULL), 0);
	}
	/* A name that is taken: others are tried, not for ever. */
	fail_with = EEXIST;
	assert_int_equal(board_subscribe(&sub), -EAGAIN);
	fail_with = 0;
	board_end();
}

/* The dead do not use up a limit: they give way when it is hit. */
static void
test_limit_prunes_the_dead(void **state)
{
	struct handoff_subscriber *sub;
	char name[HANDOFF__SUBSCRIBER_MAX + 1];

	(void)state;
	board_begin();
	for (int i = 0; i < 3; i++)
		leave_dead_subscriber();
	assert_int_equal(board_files(name), 3);
	fail_with = ENOSPC;
	room = 1;
	assert_int_equal(board_subscribe(&sub), 0);
	fail_with = 0;
	assert_int_equal(board_files(NULL), 1);
	assert_false(queue_exists(name));
	handoff_subscriber_free(sub);
	board_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_dead_is_pruned),
		handoff_test(test_half_registered),
		handoff_test(test_limits_are_named),
		handoff_test(test_every_failure_is_named),
		handoff_test(test_limit_prunes_the_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
