/* SPDX-License-Identifier: MIT */
/*
 * A lock by flock(2), which the kernel releases however its holder ends. The
 * file stays; it belongs to the owner of the directory, so that this one and
 * root may both upgrade.
 */
#include "upgrade_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns 0 or an errno. */
static int
lock_file(int at, int fd)
{
	char pid[16];
	struct stat st;
	int len = snprintf(pid, sizeof(pid), "%d", (int)getpid());

	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(at, &st) < 0 ||
		(geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) < 0) ||
		ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) < 0)
		return errno;
	return 0;
}

static int
fail(const char *dir, int fd, int err, char *why, size_t size)
{
	char pid[16] = "";
	ssize_t n = fd >= 0 ? pread(fd, pid, sizeof(pid) - 1, 0) : 0;

	pid[n > 0 ? n : 0] = '\0';
	if (err == EWOULDBLOCK)
		snprintf(why, size,
			"another upgrade is under way in %s, by handoffctl "
			"(pid %s): wait for its end",
			dir, pid);
	else
		snprintf(why, size, "%s/upgrade cannot be locked: %s", dir,
			strerror(err));
	if (fd >= 0)
		close(fd);
	return -1;
}

int
upgrade_lock(const char *dir, char *why, size_t size)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = -1, err;

	if (at < 0)
		return fail(dir, -1, errno, why, size);
	fd = openat(
		at, "upgrade", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	err = fd < 0 ? errno : lock_file(at, fd);
	close(at);
	return err == 0 ? 0 : fail(dir, fd, err, why, size);
}
