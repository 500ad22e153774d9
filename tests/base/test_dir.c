/* SPDX-License-Identifier: MIT */
/*
 * The service directory: who may open it, locks that end with their process,
 * sockets and files in it. Tests that need a second user run as root only.
 */
#include "support/support.h"

#include "base/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static struct handoff__error error;

/* The next calls of each fail, as many as `times`, with `err`; of flock only
 * those that ask and do not take. */
static struct {
	int err, times;
} fail_flock, fail_openat, fail_close;

static bool
fails(int *times, int err)
{
	if (*times == 0)
		return false;
	--*times;
	errno = err;
	return true;
}

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

int
__wrap_flock(int fd, int how)
{
	return (how & LOCK_SH) && fails(&fail_flock.times, fail_flock.err)
		       ? -1
		       : __real_flock(fd, how);
}

int __real_openat(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat(int dir, const char *name, int flags, mode_t mode);

int
__wrap_openat(int dir, const char *name, int flags, mode_t mode)
{
	return fails(&fail_openat.times, fail_openat.err)
		       ? -1
		       : __real_openat(dir, name, flags, mode);
}

int __real_close(int fd);
int __wrap_close(int fd);

/* It closes all the same, as Linux does. */
int
__wrap_close(int fd)
{
	int rc = __real_close(fd);

	return fails(&fail_close.times, fail_close.err) ? -1 : rc;
}

static void
open_dir(struct handoff__dir *dir)
{
	assert_int_equal(
		handoff__dir_open(dir, support_dir(), false, 0, &error), 0);
}

static int
open_refused(const char *path, bool create, uint32_t user)
{
	struct handoff__dir dir;
	int err;

	error.text[0] = '\0';
	err = handoff__dir_open(&dir, path, create, user, &error);
	assert_true(err < 0);
	assert_int_equal(dir.fd, -1);
	return err;
}

static void
created_directory_is_private(void **state)
{
	struct handoff__dir dir;
	char path[128];
	struct stat st;
	mode_t old = umask(0);
	int rc;

	(void)state;
	snprintf(path, sizeof(path), "%s/service", support_dir());
	rc = handoff__dir_open(&dir, path, true, 0, &error);
	umask(old);
	assert_int_equal(rc, 0);
	assert_int_equal(fstat(dir.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fcntl(dir.fd, F_GETFD), FD_CLOEXEC);
	assert_string_equal(dir.path, path);
	handoff__dir_close(&dir);
	assert_int_equal(dir.fd, -1);
	handoff__dir_close(&dir);
	/* It may be there already. */
	assert_int_equal(handoff__dir_open(&dir, path, true, 0, &error), 0);
	handoff__dir_close(&dir);
}

static void
open_directory_is_refused(void **state)
{
	static const mode_t modes[] = {0701, 0710, 0704, 0750, 0777};
	const char *path = support_dir();

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(
			open_refused(path, true, HANDOFF__ANY_USER), -EACCES);
		assert_non_null(strstr(error.text, "chmod 700"));
	}
	/* as /tmp: others need it as it is */
	assert_int_equal(chmod(path, 01777), 0);
	assert_int_equal(open_refused(path, true, HANDOFF__ANY_USER), -EACCES);
	assert_null(strstr(error.text, "chmod"));
	assert_non_null(strstr(error.text, "name a directory of the service's "
					   "own"));
	assert_int_equal(chmod(path, 0700), 0);
}

static void
foreign_directory_is_refused(void **state)
{
	struct handoff__dir dir;
	const char *path = support_dir();

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(path, NOBODY, NOBODY), 0);
	assert_int_equal(open_refused(path, false, 0), -EACCES);
	assert_non_null(strstr(error.text, "65534"));
	assert_int_equal(
		handoff__dir_open(&dir, path, false, HANDOFF__ANY_USER, &error),
		0);
	handoff__dir_close(&dir);
}

static void
what_is_no_directory_is_refused(void **state)
{
	struct handoff__dir dir;
	char path[1100], longest[1100];

	(void)state;
	open_dir(&dir);
	snprintf(path, sizeof(path), "%s/missing", dir.path);
	assert_int_equal(open_refused(path, false, 0), -ENOENT);
	assert_non_null(strstr(error.text, path));
	snprintf(path, sizeof(path), "%s/missing/deeper", dir.path);
	assert_int_equal(open_refused(path, true, 0), -ENOENT);
	assert_int_equal(handoff__dir_write(&dir, "file", "x", 1), 0);
	snprintf(path, sizeof(path), "%s/file", dir.path);
	assert_int_equal(open_refused(path, true, 0), -ENOTDIR);
	assert_int_equal(open_refused("", true, 0), -EINVAL);
	assert_int_equal(open_refused(NULL, true, 0), -EINVAL);
	memset(longest, '/', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(open_refused(longest, false, 0), -EINVAL);
	handoff__dir_close(&dir);
}

static void
hold_lock(const struct handoff__dir *dir, int ready)
{
	if (handoff__dir_lock(dir, "lock") < 0 || write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Like one who asks whether the lock is held and is slow about it. */
static void
ask_slowly(const struct handoff__dir *dir, int ready)
{
	int fd = openat(dir->fd, "lock", O_RDWR | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0 ||
		write(ready, "x", 1) != 1)
		_exit(1);
	poll(NULL, 0, 30);
	_exit(0);
}

/* A child that does this; it has begun. */
static pid_t
run_child(const struct handoff__dir *dir,
	void (*fn)(const struct handoff__dir *, int))
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(dir, ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void
kill_child(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void
lock_ends_with_its_process(void **state)
{
	struct handoff__dir dir;
	pid_t pid;
	int fd;

	(void)state;
	open_dir(&dir);
	assert_false(handoff__dir_locked(&dir, "lock"));
	pid = run_child(&dir, hold_lock);
	assert_true(handoff__dir_locked(&dir, "lock"));
	assert_int_equal(handoff__dir_lock(&dir, "lock"), -EWOULDBLOCK);
	kill_child(pid);
	assert_false(handoff__dir_locked(&dir, "lock"));
	fd = handoff__dir_lock(&dir, "lock");
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(handoff__dir_locked(&dir, "lock"));
	close(fd);
	assert_false(handoff__dir_locked(&dir, "lock"));
	handoff__dir_close(&dir);
}

/* Who only asks whether a lock is held must not keep anyone from taking it:
 * a status query would make a server believe that its place is taken. */
static void
asking_does_not_take_the_lock(void **state)
{
	struct handoff__dir dir;
	pid_t pid;
	int fd;

	(void)state;
	open_dir(&dir);
	close(handoff__dir_lock(&dir, "lock"));
	pid = run_child(&dir, ask_slowly);
	assert_false(handoff__dir_locked(&dir, "lock"));
	fd = handoff__dir_lock(&dir, "lock");
	assert_true(fd >= 0);
	assert_true(handoff__dir_locked(&dir, "lock"));
	close(fd);
	support_reap(pid);
	handoff__dir_close(&dir);
}

static void
lock_follows_no_link(void **state)
{
	struct handoff__dir dir;
	struct stat st;

	(void)state;
	open_dir(&dir);
	assert_int_equal(symlinkat("target", dir.fd, "lock"), 0);
	assert_int_equal(handoff__dir_lock(&dir, "lock"), -ELOOP);
	assert_int_equal(handoff__dir_locked(&dir, "lock"), -ELOOP);
	assert_int_equal(fstatat(dir.fd, "target", &st, 0), -1);
	handoff__dir_close(&dir);
}

/* An error is no answer; least of all "no", beside a peer that is there. */
static void
errors_are_not_taken_for_no(void **state)
{
	static const int openat_errors[] = {
		EMFILE, ENFILE, EIO, EACCES, ENOMEM, ENOTDIR};
	static const int flock_errors[] = {ENOLCK, EIO, ENOSYS};
	struct handoff__dir dir;
	int fd;

	(void)state;
	open_dir(&dir);
	fd = handoff__dir_lock(&dir, "lock");
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(openat_errors) / sizeof(int); i++) {
		fail_openat.err = openat_errors[i];
		fail_openat.times = 1;
		assert_int_equal(
			handoff__dir_locked(&dir, "lock"), -openat_errors[i]);
	}
	for (size_t i = 0; i < sizeof(flock_errors) / sizeof(int); i++) {
		fail_flock.err = flock_errors[i];
		fail_flock.times = 1;
		assert_int_equal(
			handoff__dir_locked(&dir, "lock"), -flock_errors[i]);
	}
	fail_openat.err = fail_flock.err = EINTR;
	fail_openat.times = fail_flock.times = 3;
	assert_int_equal(handoff__dir_locked(&dir, "lock"), 1);
	close(fd);
	fail_openat.times = fail_flock.times = 3;
	assert_int_equal(handoff__dir_locked(&dir, "lock"), 0);
	assert_int_equal(handoff__dir_locked(&dir, "none"), 0);
	handoff__dir_close(&dir);
}

static void
name_is_compared_with_what_is_held(void **state)
{
	struct handoff__dir dir;
	int fd, other;

	(void)state;
	open_dir(&dir);
	fd = handoff__dir_lock(&dir, "lock");
	assert_int_equal(handoff__dir_holds(&dir, "lock", fd), 1);
	assert_int_equal(unlinkat(dir.fd, "lock", 0), 0);
	assert_int_equal(handoff__dir_holds(&dir, "lock", fd), 0);
	assert_int_equal(handoff__dir_locked(&dir, "lock"), 0);
	other = handoff__dir_lock(&dir, "lock");
	assert_true(other >= 0);
	assert_int_equal(handoff__dir_holds(&dir, "lock", fd), 0);
	assert_int_equal(handoff__dir_holds(&dir, "lock", other), 1);
	assert_int_equal(handoff__dir_holds(&dir, "lock", -1), -EBADF);
	close(fd);
	close(other);
	handoff__dir_close(&dir);
}

/* Removes the file while the other waits for its lock, and lets go then. */
static void
remove_and_release(const struct handoff__dir *dir, int ready)
{
	int fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || flock(fd, LOCK_SH) < 0 || write(ready, "x", 1) != 1)
		_exit(1);
	poll(NULL, 0, 50);
	unlinkat(dir->fd, "lock", 0);
	_exit(0);
}

/* Or two would each have a lock of that name. */
static void
lock_is_of_the_file_that_has_the_name(void **state)
{
	struct handoff__dir dir;
	pid_t pid;
	int fd;

	(void)state;
	open_dir(&dir);
	pid = run_child(&dir, remove_and_release);
	fd = handoff__dir_lock(&dir, "lock");
	assert_true(fd >= 0);
	assert_int_equal(handoff__dir_holds(&dir, "lock", fd), 1);
	close(fd);
	support_reap(pid);
	handoff__dir_close(&dir);
}

/* Listens, connects, and sends a byte each way. */
static void
talk(const struct handoff__dir *dir, int type)
{
	int server, client, conn;
	struct stat st;
	char byte = 0;

	server = handoff__dir_listen(dir, "socket", type, &error);
	assert_true(server >= 0);
	assert_int_equal(fstatat(dir->fd, "socket", &st, 0), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fcntl(server, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
	client = handoff__dir_connect(dir, "socket", type);
	assert_true(client >= 0);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(client, F_GETFL) & O_NONBLOCK);
	conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	assert_true(conn >= 0);
	assert_int_equal(send(client, "a", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(conn, &byte, 1, 0), 1);
	assert_int_equal(byte, 'a');
	assert_int_equal(send(conn, "b", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(client, &byte, 1, 0), 1);
	assert_int_equal(byte, 'b');
	assert_int_equal(handoff__dir_allows(client, 0), 0);
	assert_int_equal(handoff__dir_allows(conn, 0), 0);
	close(conn);
	close(client);
	close(server);
	assert_int_equal(
		handoff__dir_connect(dir, "socket", type), -ECONNREFUSED);
}

static void
sockets_in_the_directory(void **state)
{
	struct handoff__dir dir;

	(void)state;
	open_dir(&dir);
	assert_int_equal(
		handoff__dir_connect(&dir, "socket", SOCK_STREAM), -ENOENT);
	talk(&dir, SOCK_SEQPACKET);
	/* In place of what the first one left. */
	talk(&dir, SOCK_STREAM);
	handoff__dir_close(&dir);
}

static void
sockets_in_a_long_path(void **state)
{
	struct handoff__dir dir;
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/%0200d", support_dir(), 1);
	assert_int_equal(handoff__dir_open(&dir, path, true, 0, &error), 0);
	talk(&dir, SOCK_SEQPACKET);
	handoff__dir_close(&dir);
}

static void
nothing_depends_on_the_working_directory(void **state)
{
	struct handoff__dir dir;
	int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	(void)state;
	assert_true(home >= 0);
	assert_int_equal(chdir(support_dir()), 0);
	assert_int_equal(
		handoff__dir_open(&dir, "relative", true, 0, &error), 0);
	assert_int_equal(fchdir(home), 0);
	close(home);
	talk(&dir, SOCK_STREAM);
	assert_int_equal(handoff__dir_write(&dir, "file", "x", 1), 0);
	assert_int_equal(fstatat(dir.fd, "file", &st, 0), 0);
	handoff__dir_close(&dir);
}

static void
socket_that_cannot_be_bound(void **state)
{
	struct handoff__dir dir;

	(void)state;
	open_dir(&dir);
	assert_int_equal(mkdirat(dir.fd, "socket", 0700), 0);
	assert_int_equal(
		handoff__dir_listen(&dir, "socket", SOCK_STREAM, &error),
		-EADDRINUSE);
	assert_non_null(strstr(error.text, "/socket: cannot listen"));
	handoff__dir_close(&dir);
}

/* Connects as another user; the directory is opened up for the test. */
static int
connect_as_nobody(const struct handoff__dir *dir)
{
	if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 1;

	int fd = handoff__dir_connect(dir, "socket", SOCK_STREAM);

	if (fd < 0)
		return 2;
	/* The listener belongs to root, which may speak to all. */
	return handoff__dir_allows(fd, 0) == 0 ? 0 : 3;
}

static void
peers_of_another_user_are_refused(void **state)
{
	struct handoff__dir dir;
	int server, conn;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	open_dir(&dir);
	server = handoff__dir_listen(&dir, "socket", SOCK_STREAM, &error);
	assert_true(server >= 0);
	assert_int_equal(fchmodat(dir.fd, "socket", 0666, 0), 0);
	assert_int_equal(fchmod(dir.fd, 0711), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(connect_as_nobody(&dir));
	assert_int_equal(support_poll(server, POLLIN), POLLIN);
	conn = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	assert_true(conn >= 0);
	assert_int_equal(handoff__dir_allows(conn, 0), -EPERM);
	assert_int_equal(handoff__dir_allows(conn, NOBODY + 1), -EPERM);
	assert_int_equal(handoff__dir_allows(conn, NOBODY), 0);
	support_reap(pid);
	close(conn);
	close(server);
	handoff__dir_close(&dir);
}

static void
peer_of_what_is_no_socket(void **state)
{
	struct handoff__dir dir;

	(void)state;
	open_dir(&dir);
	assert_int_equal(handoff__dir_allows(dir.fd, 0), -ENOTSOCK);
	handoff__dir_close(&dir);
}

static void
file_is_replaced_as_a_whole(void **state)
{
	struct handoff__dir dir;
	char data[16] = "";
	struct stat st, old;

	(void)state;
	open_dir(&dir);
	assert_int_equal(
		handoff__dir_read(&dir, "file", data, sizeof(data)), -ENOENT);
	assert_int_equal(
		handoff__dir_write(&dir, "file", "longer text", 11), 0);
	assert_int_equal(fstatat(dir.fd, "file", &old, 0), 0);
	assert_int_equal(old.st_mode & 07777, 0600);
	assert_int_equal(handoff__dir_write(&dir, "file", "short", 5), 0);
	assert_int_equal(
		handoff__dir_read(&dir, "file", data, sizeof(data)), 5);
	assert_memory_equal(data, "short", 5);
	assert_int_equal(handoff__dir_read(&dir, "file", data, 2), 2);
	assert_int_equal(fstatat(dir.fd, "file", &st, 0), 0);
	assert_true(st.st_ino != old.st_ino);
	assert_int_equal(handoff__dir_write(&dir, "file", NULL, 0), 0);
	assert_int_equal(
		handoff__dir_read(&dir, "file", data, sizeof(data)), 0);
	handoff__dir_close(&dir);
}

static int
count_entries(const struct handoff__dir *dir)
{
	int n = 0, fd = openat(dir->fd, ".", O_RDONLY | O_CLOEXEC);
	DIR *list = fdopendir(fd);
	struct dirent *entry;

	assert_non_null(list);
	while ((entry = readdir(list)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(list);
	return n;
}

static void
failed_write_leaves_nothing(void **state)
{
	struct handoff__dir dir;

	(void)state;
	open_dir(&dir);
	assert_int_equal(mkdirat(dir.fd, "file", 0700), 0);
	assert_int_equal(handoff__dir_write(&dir, "file", "x", 1), -EISDIR);
	assert_int_equal(count_entries(&dir), 1);
	assert_int_equal(symlinkat("/etc/hostname", dir.fd, "link"), 0);
	assert_int_equal(handoff__dir_read(&dir, "link", NULL, 0), -ELOOP);
	assert_int_equal(handoff__dir_write(&dir, "link", "x", 1), 0);
	assert_int_equal(count_entries(&dir), 2);
	handoff__dir_close(&dir);
}

/* What root makes for the user that it becomes is that user's, and root can
 * open it again; another user's it opens for that user alone. */
static void
root_makes_it_for_a_user(void **state)
{
	struct handoff__dir dir;
	char path[128];
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof(path), "%s/service", support_dir());
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			handoff__dir_open(&dir, path, true, NOBODY, &error), 0);
		assert_int_equal(fstat(dir.fd, &st), 0);
		assert_int_equal(st.st_uid, NOBODY);
		handoff__dir_close(&dir);
	}
	assert_int_equal(open_refused(path, true, 0), -EACCES);
	assert_int_equal(open_refused(path, true, NOBODY - 1), -EACCES);
}

static void
interrupted_files_are_written_and_read(void **state)
{
	struct handoff__dir dir;
	char data[16];

	(void)state;
	open_dir(&dir);
	fail_openat.err = fail_close.err = EINTR;
	fail_openat.times = 2;
	fail_close.times = 1;
	assert_int_equal(handoff__dir_write(&dir, "file", "text", 4), 0);
	assert_int_equal(fail_openat.times + fail_close.times, 0);
	fail_openat.times = 2;
	assert_int_equal(
		handoff__dir_read(&dir, "file", data, sizeof(data)), 4);
	assert_memory_equal(data, "text", 4);
	/* Any other error may mean that it is not all there. */
	fail_close.err = ENOSPC;
	fail_close.times = 1;
	assert_int_equal(handoff__dir_write(&dir, "file", "text", 4), -ENOSPC);
	assert_int_equal(count_entries(&dir), 1);
	handoff__dir_close(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(created_directory_is_private),
		handoff_test(open_directory_is_refused),
		handoff_test(foreign_directory_is_refused),
		handoff_test(root_makes_it_for_a_user),
		handoff_test(what_is_no_directory_is_refused),
		handoff_test(lock_ends_with_its_process),
		handoff_test(asking_does_not_take_the_lock),
		handoff_test(lock_follows_no_link),
		handoff_test(errors_are_not_taken_for_no),
		handoff_test(name_is_compared_with_what_is_held),
		handoff_test(lock_is_of_the_file_that_has_the_name),
		handoff_test(sockets_in_the_directory),
		handoff_test(sockets_in_a_long_path),
		handoff_test(nothing_depends_on_the_working_directory),
		handoff_test(socket_that_cannot_be_bound),
		handoff_test(peers_of_another_user_are_refused),
		handoff_test(peer_of_what_is_no_socket),
		handoff_test(file_is_replaced_as_a_whole),
		handoff_test(failed_write_leaves_nothing),
		handoff_test(interrupted_files_are_written_and_read),
	};

	return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}
