/* SPDX-License-Identifier: MIT */
/*
 * Lines from a named pipe: created, found or refused; writers that come and go;
 * lines in pieces, many at once and too long.
 */
#include "support/support.h"

#include <handoff/fifo.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[128], why[HANDOFF_TEXT_MAX];

static void
new_path(void)
{
	snprintf(path, sizeof(path), "%s/fifo", support_dir());
}

static int
try_open(struct handoff_fifo **fifo, bool keep)
{
	struct handoff_fifo_opts opts = {.size = sizeof(opts),
		.path = path,
		.keep = keep,
		.errbuf = why,
		.errbuf_size = sizeof(why)};

	why[0] = '\0';
	return handoff_fifo_open(fifo, &opts);
}

static struct handoff_fifo *
new_fifo(void)
{
	struct handoff_fifo *fifo;

	new_path();
	assert_int_equal(try_open(&fifo, false), 0);
	return fifo;
}

/* A writer comes, writes and goes. */
static void
put(const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void
put_text(const char *text)
{
	put(text, strlen(text));
}

static void
assert_line(struct handoff_fifo *fifo, const char *expected)
{
	const char *line;
	size_t len;

	assert_int_equal(handoff_fifo_next(fifo, &line, &len), 1);
	assert_string_equal(line, expected);
	assert_int_equal(len, strlen(expected));
}

static void
assert_none(struct handoff_fifo *fifo)
{
	const char *line;
	size_t len;

	assert_int_equal(handoff_fifo_next(fifo, &line, &len), 0);
}

static bool
exists(void)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void
is_made_and_removed(void **state)
{
	struct handoff_fifo *fifo = new_fifo();
	struct stat st;

	(void)state;
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(
		fcntl(handoff_fifo_fd(fifo), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	handoff_fifo_free(fifo);
	assert_false(exists());
}

static void
one_that_was_there_stays(void **state)
{
	struct handoff_fifo *fifo;

	(void)state;
	new_path();
	assert_int_equal(mkfifo(path, 0620), 0);
	assert_int_equal(try_open(&fifo, false), 0);
	put_text("hello\n");
	assert_line(fifo, "hello");
	handoff_fifo_free(fifo);
	assert_true(exists());
}

/* Two processes may have it open: what one leaves the other reads. */
static void
is_kept_for_another(void **state)
{
	struct handoff_fifo *first, *second;

	(void)state;
	new_path();
	assert_int_equal(try_open(&first, true), 0);
	assert_int_equal(try_open(&second, true), 0);
	put_text("one\n");
	assert_line(first, "one");
	put_text("two\n");
	handoff_fifo_free(first);
	assert_line(second, "two");
	handoff_fifo_free(second);
	assert_true(exists());
}

static void
another_in_its_place_stays(void **state)
{
	struct handoff_fifo *fifo = new_fifo();

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	handoff_fifo_free(fifo);
	assert_true(exists());
}

static void
is_removed_from_another_directory(void **state)
{
	struct handoff_fifo *fifo;
	char absolute[sizeof(path)];
	int here = open(".", O_PATH | O_CLOEXEC);

	(void)state;
	new_path();
	memcpy(absolute, path, sizeof(path));
	*strrchr(path, '/') = '\0';
	assert_int_equal(chdir(path), 0);
	strcpy(path, "fifo");
	assert_int_equal(try_open(&fifo, false), 0);
	assert_int_equal(fchdir(here), 0);
	close(here);
	memcpy(path, absolute, sizeof(path));
	assert_true(exists());
	handoff_fifo_free(fifo);
	assert_false(exists());
}

static void
assert_refused(int err, const char *sentence)
{
	struct handoff_fifo *fifo = NULL;

	assert_int_equal(try_open(&fifo, false), err);
	assert_null(fifo);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, sentence));
}

static void
other_files_are_refused(void **state)
{
	char target[sizeof(path)];
	int fd;

	(void)state;
	new_path();
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_refused(-EEXIST, "is not a named pipe");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(-EEXIST, "is not a named pipe");
	assert_int_equal(rmdir(path), 0);
	/* A link is not followed, even to a pipe. */
	snprintf(target, sizeof(target), "%.120s.real", path);
	assert_int_equal(mkfifo(target, 0600), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_refused(-EEXIST, "is not a named pipe");
	assert_true(exists());
}

static void
no_directory_is_said(void **state)
{
	(void)state;
	new_path();
	strcat(path, "/deeper");
	assert_refused(-ENOENT, "cannot create it");
}

static void
of_another_user_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	new_path();
	assert_int_equal(mkfifo(path, 0666), 0);
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_refused(-EACCES, "belongs to uid 65534");
}

static void
absurd_arguments(void **state)
{
	struct handoff_fifo_opts opts = {.size = sizeof(opts)};
	struct handoff_fifo *fifo;
	const char *line;
	size_t len;

	(void)state;
	assert_int_equal(handoff_fifo_open(&fifo, NULL), -EINVAL);
	assert_int_equal(handoff_fifo_open(NULL, &opts), -EINVAL);
	assert_int_equal(handoff_fifo_open(&fifo, &opts), -EINVAL);
	opts.size = 0;
	assert_int_equal(handoff_fifo_open(&fifo, &opts), -EINVAL);
	assert_int_equal(handoff_fifo_fd(NULL), -EINVAL);
	assert_int_equal(handoff_fifo_wait(NULL, 0), -EINVAL);
	assert_int_equal(handoff_fifo_next(NULL, &line, &len), -EINVAL);
	assert_string_equal(handoff_fifo_errmsg(NULL), "");
	handoff_fifo_free(NULL);
}

static void
writers_come_and_go(void **state)
{
	struct handoff_fifo *fifo = new_fifo();

	(void)state;
	assert_none(fifo);
	for (int i = 0; i < 3; i++) {
		put_text("hello\n");
		assert_int_equal(
			support_poll(handoff_fifo_fd(fifo), POLLIN), POLLIN);
		assert_line(fifo, "hello");
		assert_none(fifo);
	}
	/* With nobody there it is silent: no POLLHUP either. */
	struct pollfd p = {.fd = handoff_fifo_fd(fifo), .events = POLLIN};

	assert_int_equal(poll(&p, 1, 0), 0);
	handoff_fifo_free(fifo);
}

/* The way it is used: a shell's echo, which waits for a reader. */
static void
from_another_process(void **state)
{
	struct handoff_fifo *fifo = new_fifo();
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		_exit(fd < 0 || write(fd, "from afar\n", 10) != 10);
	}
	support_reap(pid);
	assert_line(fifo, "from afar");
	handoff_fifo_free(fifo);
}

static void
lines_in_pieces(void **state)
{
	struct handoff_fifo *fifo = new_fifo();

	(void)state;
	put_text("ab");
	assert_none(fifo);
	put_text("cd\n\nef");
	assert_line(fifo, "abcd");
	assert_line(fifo, "");
	assert_none(fifo);
	put_text("gh\n");
	assert_line(fifo, "efgh");
	assert_none(fifo);
	handoff_fifo_free(fifo);
}

static void
many_lines_at_once(void **state)
{
	struct handoff_fifo *fifo = new_fifo();
	char text[2000 * 8] = "", line[16];

	(void)state;
	for (int i = 0, at = 0; i < 2000; i++)
		at += sprintf(text + at, "l%d\n", i);
	put_text(text);
	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), "l%d", i);
		assert_line(fifo, line);
	}
	assert_none(fifo);
	handoff_fifo_free(fifo);
}

/* For ever: the second line was read with the first, the third was not. */
static void
what_was_read_is_not_waited_for(void **state)
{
	struct handoff_fifo *fifo = new_fifo();

	(void)state;
	assert_int_equal(handoff_fifo_wait(fifo, 0), 0);
	put_text("one\ntwo\n");
	assert_int_equal(handoff_fifo_wait(fifo, -1), 0);
	assert_line(fifo, "one");
	assert_int_equal(handoff_fifo_wait(fifo, -1), 0);
	assert_line(fifo, "two");
	assert_none(fifo);
	put_text("three\n");
	assert_int_equal(handoff_fifo_wait(fifo, -1), 0);
	assert_line(fifo, "three");
	handoff_fifo_free(fifo);
}

static void
zero_bytes_are_bytes(void **state)
{
	struct handoff_fifo *fifo = new_fifo();
	const char *line;
	size_t len;

	(void)state;
	put("a\0b\n", 4);
	assert_int_equal(handoff_fifo_next(fifo, &line, &len), 1);
	assert_int_equal(len, 3);
	assert_memory_equal(line, "a\0b", 4);
	handoff_fifo_free(fifo);
}

static void
too_long_is_told_and_dropped(void **state)
{
	static char text[3 * HANDOFF_FIFO_LINE_MAX];
	struct handoff_fifo *fifo = new_fifo();
	const char *line;
	size_t len;

	(void)state;
	memset(text, 'x', sizeof(text));
	/* The longest that fits, between others. */
	text[HANDOFF_FIFO_LINE_MAX - 1] = '\n';
	put_text("before\n");
	put(text, HANDOFF_FIFO_LINE_MAX);
	assert_line(fifo, "before");
	assert_int_equal(handoff_fifo_next(fifo, &line, &len), 1);
	assert_int_equal(len, HANDOFF_FIFO_LINE_MAX - 1);
	/* One more, and many more. */
	text[HANDOFF_FIFO_LINE_MAX - 1] = 'x';
	for (size_t size = HANDOFF_FIFO_LINE_MAX + 1; size <= sizeof(text);
		size += HANDOFF_FIFO_LINE_MAX - 1) {
		put(text, size - 1);
		assert_none(fifo);
		put_text("\nafter\n");
		assert_int_equal(
			handoff_fifo_next(fifo, &line, &len), -EMSGSIZE);
		assert_non_null(strstr(handoff_fifo_errmsg(fifo), "4096"));
		assert_line(fifo, "after");
		assert_none(fifo);
	}
	handoff_fifo_free(fifo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(is_made_and_removed),
		handoff_test(one_that_was_there_stays),
		handoff_test(is_kept_for_another),
		handoff_test(another_in_its_place_stays),
		handoff_test(is_removed_from_another_directory),
		handoff_test(other_files_are_refused),
		handoff_test(no_directory_is_said),
		handoff_test(of_another_user_is_refused),
		handoff_test(absurd_arguments),
		handoff_test(writers_come_and_go),
		handoff_test(from_another_process),
		handoff_test(lines_in_pieces),
		handoff_test(many_lines_at_once),
		handoff_test(what_was_read_is_not_waited_for),
		handoff_test(zero_bytes_are_bytes),
		handoff_test(too_long_is_told_and_dropped),
	};

	return cmocka_run_group_tests_name("fifo", tests, NULL, NULL);
}
