/* SPDX-License-Identifier: MIT */
/*
 * The pid file. Its lock belongs to the process and not to the descriptor
 * (F_SETLK, fcntl_locking(2)): children do not keep it alive, and the kernel
 * reports the holder whatever the file contains. Closing any descriptor of the
 * file releases the lock, so nothing else here may open the file.
 */
#include "daemon/pidfile.h"

#include "base/loop.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_US  1000000
#define PAUSE_MS 5

/* Returns 0, or -EALREADY with the holder; the holder is 0 if it has no process
 * ID here. */
static int
lock_pidfile(int fd, pid_t *holder)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_SETLK, &fl) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return -errno;
	if (fcntl(fd, F_GETLK, &fl) < 0)
		return -errno;
	*holder = fl.l_type != F_UNLCK && fl.l_pid > 0 ? fl.l_pid : 0;
	return -EALREADY;
}

/* Whether the path still refers to this file. Its previous holder may have
 * removed it between our open and our lock. */
static bool
pidfile_in_place(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Opens and locks the file. -ESTALE: try again. */
static int
try_take(struct handoff__pidfile *file, pid_t *holder,
	struct handoff__error *error)
{
	struct handoff__error why;
	int err;
	int fd = handoff__path_open(file->path,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY |
			O_NONBLOCK,
		0644, &why);

	if (fd < 0)
		return handoff__fail(error, fd,
			"pid file %s: cannot open it: %.160s", file->path,
			why.text);
	err = lock_pidfile(fd, holder);
	if (err == 0 && !pidfile_in_place(fd, file->path))
		err = -ESTALE;
	if (err < 0)
		close(fd);
	if (err == -EALREADY || err == -ESTALE)
		return err;
	if (err < 0)
		return handoff__fail(error, err,
			"pid file %s: cannot lock it: %s", file->path,
			strerror(-err));
	return fd;
}

/* A mistyped path must not destroy a file: only a file that looks like a pid
 * file is overwritten, and later removed. */
static int
check_content(const struct handoff__pidfile *file, int fd,
	struct handoff__error *error)
{
	char old[32] = "";
	struct stat st;
	ssize_t n = -1;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = pread(fd, old, sizeof(old) - 1, 0);
	if (n >= 0 && st.st_size == n &&
		strspn(old, "0123456789\n") == (size_t)n)
		return 0;
	return handoff__fail(error, -EEXIST,
		"pid file %s: it exists and is not a pid file: name another, "
		"or remove it",
		file->path);
}

static int
write_pid(const struct handoff__pidfile *file, int fd,
	struct handoff__error *error)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	ssize_t n = ftruncate(fd, 0);
	int err;

	if (n == 0)
		n = pwrite(fd, text, (size_t)len, 0);
	if (n == len)
		return 0;
	err = n < 0 ? -errno : -ENOSPC;
	unlink(file->path);
	return handoff__fail(error, err, "pid file %s: cannot write it: %s",
		file->path, strerror(-err));
}

static int
held(const struct handoff__pidfile *file, pid_t holder,
	struct handoff__error *error)
{
	char who[32] = "another process";

	if (holder > 0)
		snprintf(who, sizeof(who), "process %d", (int)holder);
	return handoff__fail(error, -EALREADY,
		"pid file %s: already held by %s, which is running", file->path,
		who);
}

int
handoff__pidfile_take(
	struct handoff__pidfile *file, struct handoff__error *error)
{
	int64_t deadline_us = handoff__now_us() + HELD_US;
	pid_t holder = 0;
	int fd, err;

	for (;;) {
		fd = try_take(file, &holder, error);
		if (fd != -EALREADY && fd != -ESTALE)
			break;
		if (handoff__now_us() > deadline_us)
			return held(file, holder, error);
		if (fd == -EALREADY)
			poll(NULL, 0, PAUSE_MS);
	}
	if (fd < 0)
		return fd;
	err = check_content(file, fd, error);
	if (err >= 0)
		err = write_pid(file, fd, error);
	if (err < 0) {
		close(fd);
		return err;
	}
	file->fd = fd;
	file->pid = getpid();
	return 0;
}

void
handoff__pidfile_leave(struct handoff__pidfile *file)
{
	if (file->fd < 0)
		return;
	if (file->pid == getpid() && pidfile_in_place(file->fd, file->path))
		unlink(file->path);
	close(file->fd);
	file->fd = -1;
}
