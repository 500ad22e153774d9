/* SPDX-License-Identifier: MIT */
/*
 * Datagram sockets: failing calls, limits, a name that is taken away while it
 * is made, and a service directory with a path too long for a socket.
 */
#include "notice/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_socket, fail_bind, fail_rename, fail_epoll, renames;

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *sun, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *sun, socklen_t len);
int __real_renameat(int from, const char *old, int to, const char *new);
int __wrap_renameat(int from, const char *old, int to, const char *new);
int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags);

int
__wrap_socket(int domain, int type, int protocol)
{
	errno = fail_socket;
	return fail_socket ? -1 : __real_socket(domain, type, protocol);
}

int
__wrap_bind(int fd, const struct sockaddr *sun, socklen_t len)
{
	errno = fail_bind;
	return fail_bind ? -1 : __real_bind(fd, sun, len);
}

/* A publisher removes the name, which is no socket yet, as often as
 * `renames`. */
int
__wrap_renameat(int from, const char *old, int to, const char *new)
{
	if (renames > 0 && renames--)
		unlinkat(from, old, 0);
	errno = fail_rename;
	return fail_rename ? -1 : __real_renameat(from, old, to, new);
}

int
__wrap_epoll_create1(int flags)
{
	errno = fail_epoll;
	return fail_epoll ? -1 : __real_epoll_create1(flags);
}

static void
begin(void)
{
	fail_socket = fail_bind = fail_rename = fail_epoll = renames = 0;
	board_begin_on("unix:", "subscribers.unix");
}

static void
publish(uint64_t seq)
{
	struct handoff_notice n = board_notice(HANDOFF_NOTICE_READY, 1, seq);

	board_publish(&n);
}

static void
expect(struct handoff_subscriber *sub, uint64_t seq)
{
	const struct handoff_notice *n;

	assert_int_equal(handoff_subscriber_next(sub, &n), 1);
	assert_int_equal(n->seq, seq);
}

static void
test_every_failure_is_named(void **state)
{
	static const struct {
		int *call, err, want;
		const char *words;
	} cases[] = {
		{&fail_socket, EMFILE, -EMFILE, "ulimit -n"},
		{&fail_socket, ENFILE, -ENFILE, "/proc/sys/fs/file-max"},
		{&fail_epoll, EMFILE, -EMFILE, "ulimit -n"},
		{&fail_bind, EACCES, -EACCES, "Permission denied"},
		{&fail_bind, EADDRINUSE, -EAGAIN, "cannot create its socket"},
		{&fail_rename, EIO, -EIO, "Input/output"},
	};
	struct handoff_subscriber *sub = NULL;

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		*cases[i].call = cases[i].err;
		assert_int_equal(board_subscribe(&sub), cases[i].want);
		*cases[i].call = 0;
		assert_non_null(strstr(board.sentence, cases[i].words));
		assert_null(sub);
		assert_int_equal(board_files(NULL), 0);
	}
	board_end();
}

static void
test_a_name_that_is_taken_away(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin();
	renames = 3;
	assert_int_equal(board_subscribe(&sub), 0);
	publish(1);
	assert_int_equal(board.pub.told.reached, 1);
	expect(sub, 1);
	handoff_subscriber_free(sub);
	board_end();
}

/* The publisher has no descriptor left: nobody is taken for dead. */
static void
test_no_socket_to_send_from(void **state)
{
	struct handoff_subscriber *sub;

	(void)state;
	begin();
	assert_int_equal(board_subscribe(&sub), 0);
	fail_socket = EMFILE;
	publish(1);
	assert_int_equal(board.pub.told.failed, 1);
	assert_int_equal(board.pub.told.pruned, 0);
	assert_false(handoff__publisher_done(&board.pub));
	fail_socket = 0;
	assert_int_equal(handoff__publisher_retry(&board.pub), 0);
	while (handoff__publisher_step(&board.pub, 16) > 0)
		;
	assert_true(handoff__publisher_done(&board.pub));
	expect(sub, 1);
	handoff_subscriber_free(sub);
	board_end();
}

static void
test_a_long_path(void **state)
{
	char path[300], address[320];
	const char *only = address;
	struct handoff_subscriber_opts opts = {
		.size = sizeof(opts),
		.address = address,
	};
	struct handoff_subscriber *sub;
	struct handoff__error error;
	struct handoff__dir dir;

	(void)state;
	begin();
	snprintf(path, sizeof(path), "%s/%0100d", board.path, 0);
	snprintf(address, sizeof(address), "unix:%s", path);
	handoff__publisher_close(&board.pub);
	assert_int_equal(handoff__dir_open(&dir, path, true, 0, &error), 0);
	assert_int_equal(
		handoff__publisher_open(&board.pub, &dir, &only, 1, 0, NULL),
		0);
	assert_int_equal(handoff_subscriber_open(&sub, &opts), 0);
	publish(1);
	assert_int_equal(board.pub.told.reached, 1);
	expect(sub, 1);
	handoff_subscriber_free(sub);
	handoff__dir_close(&dir);
	board_end();
}

static void
test_mode(void **state)
{
	char name[HANDOFF__SUBSCRIBER_MAX + 1];
	struct handoff_subscriber *sub;
	int folder;
	struct stat st;

	(void)state;
	begin();
	assert_int_equal(board_subscribe(&sub), 0);
	assert_int_equal(board_files(name), 1);
	folder = board_folder();
	assert_int_equal(fstatat(folder, name, &st, 0), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	close(folder);
	handoff_subscriber_free(sub);
	board_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(test_every_failure_is_named),
		handoff_test(test_a_name_that_is_taken_away),
		handoff_test(test_no_socket_to_send_from),
		handoff_test(test_a_long_path),
		handoff_test(test_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
