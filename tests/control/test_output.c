/* SPDX-License-Identifier: MIT */
/*
 * Files that appear complete or not at all, also on file systems without
 * O_TMPFILE, and files that cannot be replaced. open and fsync are wrapped:
 * they fail as on such file systems.
 */
#include "support/support.h"

#include "control/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool no_tmpfile; /* as on NFS */
static int fsync_error;
static const char *dir;
static char path[128];
static struct handoff__output output;
static struct handoff__error error;

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, mode_t mode);
int __wrap_fsync(int fd);

int
__wrap_open(const char *name, int flags, mode_t mode)
{
	if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_open(name, flags, mode);
}

int
__wrap_fsync(int fd)
{
	(void)fd;
	errno = fsync_error;
	return fsync_error ? -1 : 0;
}

static int
setup(void **state)
{
	int err = support_setup(state);

	dir = support_dir();
	no_tmpfile = false;
	fsync_error = 0;
	snprintf(path, sizeof(path), "%s/picture", dir);
	return err;
}

static void
put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void
assert_file(const char *name, const char *text)
{
	char data[64] = "";
	int fd = __real_open(name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, data, sizeof(data) - 1), strlen(text));
	assert_string_equal(data, text);
	close(fd);
}

/* How many names are in the directory. */
static int
names(void)
{
	DIR *open_dir = opendir(dir);
	int count = -2;

	assert_non_null(open_dir);
	while (readdir(open_dir))
		count++;
	closedir(open_dir);
	return count;
}

static void
open_output(const char *name)
{
	if (handoff__output_open(&output, name, &error) < 0)
		fail_msg("%s", error.text);
}

static void
write_file(const char *name, const char *text)
{
	open_output(name);
	put(output.fd, text);
	assert_int_equal(handoff__output_finish(&output, &error), 0);
}

static void
file_appears_when_it_is_whole(void **state)
{
	struct stat st;

	(void)state;
	for (int i = 0; i < 2; i++) {
		no_tmpfile = i > 0;
		open_output(path);
		assert_int_equal(fcntl(output.fd, F_GETFD), FD_CLOEXEC);
		put(output.fd, "new");
		assert_int_equal(access(path, F_OK), -1);
		/* Ended by a signal, it leaves nothing, where that can be. */
		assert_int_equal(names(), no_tmpfile);
		assert_int_equal(handoff__output_finish(&output, &error), 0);
		assert_file(path, "new");
		assert_int_equal(names(), 1);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(unlink(path), 0);
	}
}

static void
file_replaces_another(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		no_tmpfile = i > 0;
		write_file(path, "old");
		open_output(path);
		put(output.fd, "ne");
		assert_file(path, "old");
		put(output.fd, "w");
		assert_int_equal(handoff__output_finish(&output, &error), 0);
		assert_file(path, "new");
		assert_int_equal(names(), 1);
	}
}

static void
dropped_file_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		no_tmpfile = i > 0;
		open_output(path);
		put(output.fd, "half");
		handoff__output_drop(&output);
		handoff__output_drop(&output);
		assert_int_equal(names(), 0);
	}
}

/* A disc may be full only now (fsync(2), ENOSPC). */
static void
file_that_is_not_on_the_disc_is_none(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		no_tmpfile = i > 0;
		open_output(path);
		fsync_error = ENOSPC;
		assert_int_equal(
			handoff__output_finish(&output, &error), -ENOSPC);
		assert_non_null(strstr(error.text, "No space left on device"));
		assert_int_equal(names(), 0);
		assert_int_equal(output.fd, -1);
		fsync_error = 0;
	}
}

/* As a process with this number left it that was killed. */
static void
leftovers_are_replaced(void **state)
{
	char left[160];

	(void)state;
	snprintf(left, sizeof(left), "%s/.picture.%d", dir, (int)getpid());
	for (int i = 0; i < 2; i++) {
		no_tmpfile = i > 0;
		close(__real_open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		write_file(path, "new");
		assert_int_equal(names(), 1);
	}
}

static void
link_is_followed(void **state)
{
	char name[160];
	struct stat st;

	(void)state;
	write_file(path, "old");
	snprintf(name, sizeof(name), "%s/link", dir);
	assert_int_equal(symlink("picture", name), 0);
	write_file(name, "new");
	assert_file(path, "new");
	assert_int_equal(lstat(name, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
}

static void
name_without_a_directory_is_here(void **state)
{
	char before[512];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(dir), 0);
	for (int i = 0; i < 2; i++) {
		no_tmpfile = i > 0;
		write_file("picture", "new");
		assert_file(path, "new");
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(chdir(before), 0);
}

static void
device_is_written_to(void **state)
{
	(void)state;
	open_output("/dev/null");
	put(output.fd, "gone");
	fsync_error = EINVAL; /* it knows no fsync */
	assert_int_equal(handoff__output_finish(&output, &error), 0);
	assert_int_equal(output.fd, -1);
}

static void
pipe_needs_a_reader(void **state)
{
	char text[8] = "";
	int reader;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(handoff__output_open(&output, path, &error), -ENXIO);
	reader = __real_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	write_file(path, "new");
	assert_int_equal(read(reader, text, sizeof(text)), 3);
	assert_string_equal(text, "new");
	close(reader);
}

static void
dash_is_standard_output(void **state)
{
	char text[8] = "";
	int ends[2], saved;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	assert_true(saved >= 0);
	assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	write_file("-", "new");
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(read(ends[0], text, sizeof(text)), 3);
	assert_string_equal(text, "new");
	close(saved);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(names(), 0);
}

static void
what_cannot_be_is_told(void **state)
{
	char name[160];

	(void)state;
	assert_int_equal(handoff__output_open(&output, dir, &error), -EISDIR);
	assert_non_null(strstr(error.text, dir));
	snprintf(name, sizeof(name), "%s/missing/picture", dir);
	assert_int_equal(handoff__output_open(&output, name, &error), -ENOENT);
	assert_non_null(strstr(error.text, "No such file or directory"));
	assert_int_equal(names(), 0);
}

/* In /tmp, say: they would choose what is replaced, or read what is written. */
static void
what_others_put_there_is_refused(void **state)
{
	char shared[256], name[300], target[300];

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(shared, sizeof(shared), "%s/shared", dir);
	snprintf(name, sizeof(name), "%s/name", shared);
	snprintf(target, sizeof(target), "%s/target", dir);
	assert_int_equal(mkdir(shared, 0700), 0);
	assert_int_equal(chmod(shared, 01777), 0);
	write_file(target, "precious");
	assert_int_equal(symlink(target, name), 0);
	assert_int_equal(lchown(name, 65534, 65534), 0);
	assert_int_equal(handoff__output_open(&output, name, &error), -EACCES);
	assert_non_null(strstr(error.text, "/name: cannot open it: it is a "
					   "link of uid 65534"));
	assert_file(target, "precious");
	assert_int_equal(unlink(name), 0);
	assert_int_equal(mkfifo(name, 0666), 0);
	assert_int_equal(lchown(name, 65534, 65534), 0);
	int reader = __real_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_int_equal(handoff__output_open(&output, name, &error), -EACCES);
	assert_non_null(strstr(error.text, "it is a file of uid 65534"));
	close(reader);
	assert_int_equal(unlink(name), 0);
	/* A link of one's own is followed there too. */
	assert_int_equal(symlink(target, name), 0);
	write_file(name, "new");
	assert_file(target, "new");
}

#define output_test(f)                                                         \
	cmocka_unit_test_setup_teardown(f, setup, support_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		output_test(file_appears_when_it_is_whole),
		output_test(file_replaces_another),
		output_test(dropped_file_leaves_nothing),
		output_test(file_that_is_not_on_the_disc_is_none),
		output_test(leftovers_are_replaced),
		output_test(link_is_followed),
		output_test(name_without_a_directory_is_here),
		output_test(device_is_written_to),
		output_test(pipe_needs_a_reader),
		output_test(dash_is_standard_output),
		output_test(what_cannot_be_is_told),
		output_test(what_others_put_there_is_refused),
	};

	return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
